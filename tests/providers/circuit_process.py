"""A worker process as far as one circuit goes, to be told on stdin what to do: ``python -m`` with a database's URL.

Each line is answered by one: ``fail``, ``answer`` and ``probe`` by the state afterwards, ``await STATE`` by the moment
at which it was so (monotonic seconds, the same clock in all processes). A ``probe`` has no end.
"""

import asyncio
import sys
import time

from pydantic import SecretStr

from app.db import Sessions, create_engine
from app.provider_settings import BreakerSettings
from app.providers.circuit import Circuit
from app.providers.circuits import SharedCircuits
from app.providers.errors import CircuitOpen, Outage
from app.settings import DatabaseSettings

RESET_SECONDS = 0.2
CALL_SECONDS = 10.0


async def _serve(url: str) -> None:
    engine = create_engine(SecretStr(url), DatabaseSettings(pool_size=3), application="tests")
    shared = SharedCircuits(Sessions(engine), engine)
    circuit = Circuit("vendor", BreakerSettings(reset_seconds=RESET_SECONDS), shared=shared, call_seconds=CALL_SECONDS)
    shared.add(circuit)
    await shared.restore()
    running = asyncio.create_task(shared.run())
    _say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, *arguments = line.split()
        _say(await _obey(circuit, command, *arguments))
    running.cancel()
    await asyncio.wait([running])
    await engine.dispose()


async def _obey(circuit: Circuit, command: str, *arguments: str) -> str:
    if command == "await":
        while circuit.view().state not in arguments:
            await asyncio.sleep(0.001)
        return str(time.monotonic())
    if command == "fail":
        for key in range(5):
            admission = circuit.admit(str(key))
            admission.__exit__(Outage, Outage("vendor", "connection refused"), None)
        return circuit.view().state
    try:
        admitted = await circuit.probe("a key")
    except CircuitOpen:
        return "refused"
    if command == "answer":
        with admitted:
            pass
    return circuit.view().state


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
