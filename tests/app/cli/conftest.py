from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.local.state import LocalState
from tests.app.cli.commands import started, wait_for_stack


@dataclass(frozen=True)
class Up:
    """A stack that `holdfast up` runs, and its data directory."""

    data_dir: Path
    state: LocalState


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    data_dir = tmp_path_factory.mktemp("up") / "data"
    with started("up", "--data-dir", data_dir, cwd=data_dir.parent) as process:
        yield Up(data_dir, wait_for_stack(data_dir, process))
