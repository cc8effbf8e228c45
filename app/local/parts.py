"""The programs of Holdfast that a stack runs beside PostgreSQL and Temporal.

Tests run the same stack with small programs of their own.
"""

import sys
from dataclasses import dataclass

from app.local.ports import LOOPBACK

# -P: a worker.py in the user's directory must not be taken for ours.
_PYTHON = (sys.executable, "-P", "-m")


@dataclass(frozen=True, slots=True)
class Parts:
    """Command lines, to which the stack adds ``--port`` for the API, ``--port`` and ``--dns-port`` for the sandbox.

    The worker takes all from its environment. `prepare` runs to its end before both: it migrates and seeds, makes a
    key with ``--new-key`` even where there is one, and prints ``{"workspace_id": …, "api_key": … or null}``.
    """

    prepare: tuple[str, ...]
    api: tuple[str, ...]
    worker: tuple[str, ...]
    sandbox: tuple[str, ...]


HOLDFAST = Parts(
    prepare=(*_PYTHON, "app.local.prepare"),
    api=(
        *_PYTHON,
        *("uvicorn", "app.main:create_app", "--factory", "--host", LOOPBACK),
        # Who sent a request is decided by HOLDFAST_TRUSTED_PROXIES alone.
        "--no-proxy-headers",
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
        # Streams of events end only when they are cut; the worker needs the rest of the shutdown's 15 s.
        *("--timeout-graceful-shutdown", "2"),
    ),
    worker=(*_PYTHON, "worker"),
    sandbox=(*_PYTHON, "app.sandbox"),
)
