"""The API and the worker as their supervisor starts them."""

import sys
import urllib.request

import pytest

from app.metrics import new_registry, serve
from tests.programs import run_program

API = (sys.executable, "-m", "uvicorn", "app.main:create_app", "--factory", "--port", "0")
WORKER = (sys.executable, "-m", "worker")


@pytest.mark.parametrize("command", [API, WORKER], ids=["api", "worker"])
def test_wrong_settings_end_the_start_with_one_line_that_names_each_variable(command: tuple[str, ...]):
    wrong = {"HOLDFAST_TEMPORAL__TLS": "perhaps", "HOLDFAST_DATABASE_URL": "mysql://u:S3CRET@h/d"}
    ended = run_program(command, environment=wrong)
    assert ended.returncode == 1
    [line] = ended.stderr.strip().splitlines()
    assert "HOLDFAST_TEMPORAL__TLS" in line
    assert "HOLDFAST_DATABASE_URL" in line
    assert "S3CRET" not in ended.stderr + ended.stdout


def test_a_process_without_an_http_server_serves_its_metrics():
    server = serve(new_registry(), 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=5) as answer:
            assert b"process_resident_memory_bytes" in answer.read()
    finally:
        server.shutdown()
        server.server_close()
