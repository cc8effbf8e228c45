"""What people install from: the lock, the compose file, the README's length."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPOSE = ROOT / "docker-compose.yml"
SECRETS = ("HOLDFAST_APP_PASSWORD", "HOLDFAST_PLATFORM_PASSWORD", "POSTGRES_PASSWORD", "TEMPORAL_PASSWORD")


def test_the_lock_pins_everything_with_hashes_and_names_no_host():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert not re.search(r"^\s*-", lock.replace("    --hash=", ""), re.MULTILINE)
    for requirement in re.split(r"\n(?=\S)", lock.strip()):
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+( ; .*)? \\\n    --hash=sha256:", requirement), requirement


def test_no_secret_is_in_the_compose_file_and_none_may_be_missing():
    used = re.findall(r"\$\{(\w*PASSWORD\w*)(:\?)?", COMPOSE.read_text())
    assert {name for name, _ in used} == set(SECRETS)
    assert all(required for _, required in used)


def test_every_port_of_the_compose_file_is_on_loopback():
    published = re.findall(r"^    ports:\n((?:      - .*\n)+)", COMPOSE.read_text(), re.MULTILINE)
    assert published
    for port in "".join(published).split("\n")[:-1]:
        assert port.strip().startswith("- 127.0.0.1:")


def test_the_compose_file_has_the_services_of_production():
    services = COMPOSE.read_text().partition("\nservices:\n")[2].partition("\nconfigs:\n")[0]
    named = set(re.findall(r"^  ([a-z-]+):$", services, re.MULTILINE))
    assert {"postgres", "temporal", "temporal-ui", "redis", "migrate", "api", "worker"} <= named


def test_docker_compose_accepts_the_compose_file():
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no docker compose here")
    command = [docker, "compose", "--file", COMPOSE, "config", "--quiet"]
    environment = {**os.environ, **dict.fromkeys(SECRETS, "secret")}
    complete = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert complete.returncode == 0, complete.stderr
    for name in SECRETS:
        without = {key: value for key, value in environment.items() if key != name}
        assert name in subprocess.run(command, env=without, capture_output=True, text=True, check=False).stderr


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
