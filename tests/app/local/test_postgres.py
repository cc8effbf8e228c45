import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.local.ports import free_port
from app.local.postgres import SUPERUSER, Cluster, answers, open_cluster, url
from tests.servers import running, wait_until


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cluster = open_cluster(tmp_path_factory.mktemp("clusters") / "template")
    cluster.initialise("the-password", durable=False)
    return cluster.directory


@pytest.fixture
def cluster(template: Path, tmp_path: Path) -> Cluster:
    """A cluster of this test's own."""
    subprocess.run(["cp", "-a", template, tmp_path / "data"], check=True)
    return open_cluster(tmp_path / "data")


@contextmanager
def _serving(cluster: Cluster) -> "Iterator[subprocess.Popen[bytes]]":
    """The server, when it takes the superuser's password."""
    port, log = free_port(), cluster.directory.with_name("log")
    with running(cluster.command(port), log) as server:
        wait_until(lambda: answers(url(SUPERUSER, "the-password", port, "postgres")), server, log)
        yield server


def test_a_server_that_was_left_running_is_ended_before_the_next(cluster: Cluster):
    with _serving(cluster) as orphan:
        cluster.release()
        assert orphan.wait(timeout=5) == 0
        with _serving(cluster):
            pass


def test_a_server_that_was_killed_stops_no_start(cluster: Cluster):
    with _serving(cluster) as server:
        server.kill()
        server.wait()
        cluster.release()
        with _serving(cluster):
            pass


def test_a_pid_that_somebody_else_has_by_now_stops_no_start_and_nobody_else(cluster: Cluster):
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (cluster.directory / "postmaster.pid").write_text(f"{bystander.pid}\n{cluster.directory}\n")
        cluster.release()
        with _serving(cluster):
            assert bystander.poll() is None
        bystander.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_a_copy_that_root_made_is_given_to_the_servers_user(cluster: Cluster):
    for path in (cluster.directory, *cluster.directory.rglob("*")):
        os.chown(path, 0, 0)
    with _serving(open_cluster(cluster.directory)):
        assert (cluster.directory / "PG_VERSION").stat().st_uid == cluster.identity.user
