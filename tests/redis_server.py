"""A real Redis for tests, where one is installed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from app.local.ports import LOOPBACK
from app.local.process import Command
from tests.servers import running, wait_until

PASSWORD = "secret"
_PROGRAM = shutil.which("redis-server")

needs_redis = pytest.mark.skipif(_PROGRAM is None, reason="redis-server is not installed")


@contextmanager
def running_redis(port: int, directory: Path) -> Iterator[str]:
    """A Redis on this port, in memory only, for the length of the block; yields its URL."""
    arguments = ("--port", str(port), "--bind", LOOPBACK, "--dir", str(directory), "--save", "", "--appendonly", "no")
    log = directory / "redis.log"
    with running(Command((str(_PROGRAM), *arguments, "--requirepass", PASSWORD)), log) as process:
        wait_until(lambda: _answers(port), process, log)
        yield redis_url(port)


def redis_url(port: int) -> str:
    return f"redis://:{PASSWORD}@{LOOPBACK}:{port}/0"


def _answers(port: int) -> bool:
    client = redis.Redis(host=LOOPBACK, port=port, password=PASSWORD)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
