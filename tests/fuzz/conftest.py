"""One loop and one vendor for all the examples of a module: hypothesis calls a test that is no coroutine."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.fuzz.answers import Vendor, vendor


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def server(loop: asyncio.Runner) -> Iterator[Vendor]:
    running = vendor()
    yield loop.run(running.__aenter__())
    loop.run(running.__aexit__(None, None, None))
