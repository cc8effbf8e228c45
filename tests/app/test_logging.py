"""Logs: JSON lines with the ids that belong to them, and never a secret."""

import json
import logging
from typing import Any

import pytest
import structlog
from fastapi import APIRouter
from pydantic import SecretStr
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from app.logging import configure_logging
from app.main import create_app
from app.redaction import redact, redact_text
from tests.api import client_of, new_tenant, settings_for
from tests.servers import Database

KEY = "hf_live_" + "k3y" * 14 + "X"


@pytest.fixture(autouse=True)
def configured():
    """Logs as a process has them; the root logger as it was afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure_logging("INFO")
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_one_json_object_with_its_context(capsys: pytest.CaptureFixture[str]):
    with structlog.contextvars.bound_contextvars(request_id="r", workspace_id="w"):
        structlog.get_logger("app.somewhere").info("something happened", count=3, at=None)
    [line] = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "something happened",
        "level": "info",
        "logger": "app.somewhere",
        "request_id": "r",
        "workspace_id": "w",
        "count": 3,
        "at": None,
    }


def test_lines_of_libraries_look_the_same(capsys: pytest.CaptureFixture[str]):
    with structlog.contextvars.bound_contextvars(request_id="r"):
        logging.getLogger("uvicorn.error").warning("%s of %d", "three", 4)
    [line] = lines(capsys)
    assert (line["event"], line["level"], line["logger"]) == ("three of 4", "warning", "uvicorn.error")
    assert line["request_id"] == "r"


def test_what_is_below_the_level_is_silent_and_configuring_twice_doubles_nothing(
    capsys: pytest.CaptureFixture[str],
):
    configure_logging("WARNING")
    structlog.get_logger("a").info("too quiet")
    logging.getLogger("b").info("too quiet")
    structlog.get_logger("a").warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_a_line_inside_an_activity_names_workflow_and_attempt(capsys: pytest.CaptureFixture[str]):
    def work() -> None:
        structlog.get_logger("ours").info("ours")
        activity.logger.info("theirs")

    environment = ActivityEnvironment()
    environment.run(work)
    info = environment.info
    for line in lines(capsys):
        assert line["event"] == line["logger"].replace("temporalio.activity", "theirs")
        assert line["workflow_id"] == info.workflow_id
        assert line["run_id"] == info.workflow_run_id
        assert line["activity_type"] == info.activity_type
        assert line["attempt"] == info.attempt
        assert line["task_queue"] == info.task_queue


def test_a_line_of_a_workflow_names_its_run(capsys: pytest.CaptureFixture[str]):
    details = {"workflow_id": "job-1", "run_id": "run-1", "attempt": 2, "task_queue": "q", "namespace": "default"}
    logging.getLogger("temporalio.workflow").warning("moved on", extra={"temporal_workflow": details})
    [line] = lines(capsys)
    assert (line["workflow_id"], line["run_id"], line["attempt"], line["task_queue"]) == ("job-1", "run-1", 2, "q")


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"Bearer {KEY}",
        f"key={KEY};",
        "Authorization: Bearer abcdef-S3CRET.xyz",
        "authorization: Basic UzNDUkVUUzNDUkVU",
        "postgresql://holdfast_app:S3CRET@127.0.0.1:5432/holdfast",
        "postgresql+psycopg://u:p@ssS3CRET@host/db",
        "GET https://api.hunter.io/v2/companies/find?domain=a.example&api_key=S3CRET",
        "https://x.example/?access_token=S3CRET&a=1",
        "host=127.0.0.1 password=S3CRET dbname=x",
        "{'api_key': 'S3CRET', 'a': 1}",
        '{"password": "S3 CRET S3CRET", "a": 1}',
        "X-Api-Key: S3CRET",
        "Cookie: session=S3CRET",
    ],
)
def test_text_that_looks_like_a_secret_is_masked(text: str):
    masked = redact_text(text)
    assert "S3CRET" not in masked
    assert KEY not in masked
    assert "UzND" not in masked
    assert "***" in masked


@pytest.mark.parametrize(
    "text",
    [
        "POST /api/v1/workspaces/01a1fd81-8a76-73cb-a36b-0083d1bc3557/enrichment/jobs",
        "https://example.com:8443/a?page=2 and ana@example.com",
        "the token bucket is empty",
        "subject_key=domain:example.com position=7",
        "api_key_id 01a1fd81",
        "2 tokens left; no password given",
    ],
)
def test_text_that_only_resembles_one_is_left_alone(text: str):
    assert redact_text(text) == text


def test_secrets_are_masked_however_deep_they_are():
    class Odd:
        def __repr__(self) -> str:
            return f"Odd(password='S3CRET', key={KEY})"

    value = {
        "headers": [{"Authorization": "S3CRET", "x-api-key": "S3CRET", "Accept": "text/csv"}],
        "hunter_api_key": "S3CRET",
        "settings": SecretStr("S3CRET"),
        "odd": Odd(),
        KEY: (1, {"set-cookie": ["S3CRET"]}),
        "api_key_id": "not secret",
        "key": "row-1",
        "count": 3,
    }
    masked = redact(value)
    assert "S3CRET" not in str(masked)
    assert KEY not in str(masked)
    assert masked["headers"][0]["Accept"] == "text/csv"
    assert (masked["api_key_id"], masked["key"], masked["count"]) == ("not secret", "row-1", 3)


def test_secrets_in_an_exception_are_masked(capsys: pytest.CaptureFixture[str]):
    def connect() -> None:
        try:
            int(KEY)
        except ValueError as error:
            raise RuntimeError("postgresql://u:S3CRET@h/d") from error

    try:
        connect()
    except RuntimeError:
        structlog.get_logger("a").exception("failed", api_key="S3CRET", attempts=[KEY])
        logging.getLogger("b").exception("failed %s", KEY)
    output = capsys.readouterr().out
    assert output.count("Traceback") == 4  # two chained exceptions in each of two lines
    assert "S3CRET" not in output
    assert KEY not in output


async def test_no_log_line_of_a_request_holds_the_key_wherever_the_caller_put_it(
    database: Database, capsys: pytest.CaptureFixture[str]
):
    router = APIRouter()

    @router.get("/crash/{word}")
    async def crash(word: str) -> None:
        structlog.get_logger("app.test").info("about to fail", word=word, authorization=word)
        raise RuntimeError(f"cannot use {word}")

    tenant = await new_tenant(database)
    secret = tenant.api_key
    app = create_app(settings_for(database, log_level="DEBUG"))
    app.include_router(router)
    async with client_of(app) as client:
        await client.get(f"{tenant.path}/credits", headers=tenant.headers)
        await client.get(f"{tenant.path}/credits/entries?cursor={secret}", headers=tenant.headers)
        await client.get(f"{tenant.path}/credits?api_key={secret}", headers={"X-Request-Id": secret})
        await client.get(f"/api/v1/workspaces/{secret}/credits", headers=tenant.headers)
        answer = await client.get(f"/crash/{secret}", headers={"Cookie": f"session={secret}"})
        assert answer.status_code == 500
    output = capsys.readouterr().out
    assert output.count('"event": "request"') == 5
    assert secret not in output
    assert secret.removeprefix("hf_live_") not in output
