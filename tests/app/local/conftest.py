import subprocess
from pathlib import Path

import pytest
import pytest_asyncio

from tests.app.local.stacks import mark, stack_in


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory in which a stack ran once, and left the mark "kept"."""
    directory = tmp_path_factory.mktemp("template")
    async with stack_in(directory) as stack:
        mark(stack.state, "kept")
    return directory


@pytest.fixture
def used(template: Path, tmp_path: Path) -> Path:
    """A copy of that, for another start."""
    directory = tmp_path / "used"
    subprocess.run(["cp", "-a", template, directory], check=True)
    return directory
