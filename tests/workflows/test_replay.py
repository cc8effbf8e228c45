"""Every history that was ever kept replays on the workflows of today."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from workflows.catalog import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*/*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=[f"{path.parent.name}/{path.stem}" for path in HISTORIES])
async def test_history_replays(path: Path) -> None:
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    # Without the limit of two seconds a task: that is for what runs, and here a busy machine is no deadlock.
    await Replayer(workflows=WORKFLOWS, debug_mode=True).replay_workflow(history)


def test_every_workflow_has_a_history() -> None:
    kept = {path.parent.name for path in HISTORIES}
    assert {workflow.__name__ for workflow in WORKFLOWS} <= kept
