"""The API process as its supervisor starts it."""

import os
import subprocess
import sys
import urllib.request

from app.metrics import new_registry, serve


def start_with(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return subprocess.run(
        [sys.executable, "-m", "uvicorn", "app.main:create_app", "--factory", "--port", "0"],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_wrong_settings_end_the_start_with_one_line_that_names_each_variable():
    ended = start_with({"HOLDFAST_TEMPORAL__TLS": "perhaps", "HOLDFAST_DATABASE_URL": "mysql://u:S3CRET@h/d"})
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
