"""What the emulated Stripe keeps across restarts: all of it in one file, written anew at most once a second and at the
end. A crash loses the last second. It also lets time pass where nobody calls."""

import asyncio
import os
from pathlib import Path

import orjson

from app.sandbox.stripe_clocks import WORLD
from app.sandbox.stripe_idempotency import Idempotency, Stored
from app.sandbox.stripe_parts import Parts

_EVERY_S = 1.0
_VERSION = 1
_EVENTS_KEPT_FOR = 30 * 86_400


class Keeper:
    """`path` None: nothing is kept."""

    def __init__(self, parts: Parts, idempotency: Idempotency, path: Path | None) -> None:
        self._parts = parts
        self._idempotency = idempotency
        self._path = path
        self._written = -1
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Go on from the file, if there is one, and keep it from now on. Raises ValueError for one that is not ours."""
        if self._path is not None and self._path.exists():
            self._load(self._path.read_bytes())
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Write the last of it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._path is not None:
            self._write(self._path, self._dump())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            self._parts.life.catch_up()
            revision = self._parts.world.revision
            if self._path is not None and revision != self._written:
                # What is dumped belongs together; only the disk is waited for elsewhere.
                await asyncio.to_thread(self._write, self._path, self._dump())
                self._written = revision

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        # It holds the secrets that events are signed with.
        descriptor = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".new").replace(path)

    def _dump(self) -> bytes:
        world, meters = self._parts.world, self._parts.meters
        return orjson.dumps(
            {
                "version": _VERSION,
                "objects": {kind: each.rows for kind, each in world.collections.items()},
                "clocks": world.clocks.dump(),
                "used": meters.used,
                "identifiers": sorted(meters.identifiers),
                "pending": list(self._parts.webhooks.pending.values()),
                "idempotency": {
                    key: [each.fingerprint, each.status, each.body.decode(), each.request_id, each.at]
                    for key, each in self._idempotency.stored.items()
                },
            },
            option=orjson.OPT_NON_STR_KEYS,
        )

    def _load(self, content: bytes) -> None:
        try:
            kept = orjson.loads(content)
        except orjson.JSONDecodeError:
            kept = None
        if not isinstance(kept, dict) or kept.get("version") != _VERSION:
            raise ValueError(f"{self._path} is not the state of this version of the sandbox")
        world, meters = self._parts.world, self._parts.meters
        world.clear()
        world.clocks.load(kept["clocks"])
        oldest = world.clocks.get(WORLD).now() - _EVENTS_KEPT_FOR
        for kind, rows in kept["objects"].items():
            for row in rows:
                if kind != "events" or row["created"] >= oldest:
                    world.collections[kind].add(row)
        meters.identifiers = set(kept["identifiers"])
        meters.used = {
            event: {owner: {int(at): value for at, value in each.items()} for owner, each in of.items()}
            for event, of in kept["used"].items()
        }
        for key, (fingerprint, status, body, request_id, at) in kept["idempotency"].items():
            self._idempotency.stored[key] = Stored(fingerprint, status, body.encode(), request_id, at, 0.0)
        self._parts.life.reschedule()
        self._parts.webhooks.resume(kept["pending"])
