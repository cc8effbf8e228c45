"""The key that a stack encrypts provider credentials with: its own, the same for ever, in its private state."""

import json
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE

import pytest

from app.local.stack import RunningStack
from tests.app.local.stacks import get, stack_in

VARIABLE = "HOLDFAST_CREDENTIALS__KEYS"


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="holdfast-stack-") as directory:
        Path(directory).chmod(0o755)  # PostgreSQL enters as another user
        yield Path(directory) / "data"


def handed_to(stack: RunningStack, url: str) -> str:
    assert stack.state
    variables: dict[str, str] = json.loads(get(f"{url}/environment"))
    return variables[VARIABLE]


async def test_api_and_worker_get_the_stacks_own_key_at_every_start(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    # What a shell may have left over from another installation.
    monkeypatch.setenv(VARIABLE, '{"production": "a-key-of-somebody-else"}')
    monkeypatch.setenv(f"{VARIABLE}__PRODUCTION", "a-key-of-somebody-else")
    seen, said = set(), list[str]()
    for _ in range(2):
        async with stack_in(data_dir, say=said.append) as stack:
            memory = json.loads((data_dir / "state.json").read_text())
            worker_url = f"http://127.0.0.1:{memory['ports']['worker-1']}"
            seen |= {handed_to(stack, stack.state.api_url), handed_to(stack, worker_url)}
            assert b"somebody-else" not in get(f"{stack.state.api_url}/environment")
    assert seen == {json.dumps({"local": memory["encryption_key"]})}
    assert len(b64decode(memory["encryption_key"])) == 32
    assert S_IMODE((data_dir / "state.json").stat().st_mode) == 0o600
    assert any(line.startswith(VARIABLE) for line in said)
