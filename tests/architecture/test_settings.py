"""A setting that is wrong or missing stops the start with one line that names its variable."""

import os
from collections.abc import Callable

import pytest

import worker
from app.main import create_app
from app.settings import SettingsError, load_settings
from tests.programs import run_here

GOOD = {
    "HOLDFAST_DATABASE_URL": "postgresql://holdfast_app:secret@127.0.0.1:1/holdfast",
    "HOLDFAST_PLATFORM_DATABASE_URL": "postgresql://holdfast_platform:secret@127.0.0.1:1/holdfast",
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("HOLDFAST_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("main", [create_app, worker.main], ids=["api", "worker"])
@pytest.mark.parametrize(
    ("wrong", "variable"),
    [
        ({"HOLDFAST_DATABASE_URL": None}, "HOLDFAST_DATABASE_URL"),
        ({"HOLDFAST_PROVIDERS__HUNTER__CONCURRENCY": "many"}, "HOLDFAST_PROVIDERS__HUNTER__CONCURRENCY"),
    ],
    ids=["missing", "wrong"],
)
def test_the_start_ends_with_one_line(main: Callable[[], None], wrong: dict[str, str | None], variable: str) -> None:
    """That of real processes: tests/app/test_main.py."""
    environment = {name: value for name, value in {**GOOD, **wrong}.items() if value is not None}

    ended = run_here(main, environment=environment)

    assert ended.returncode != 0
    assert [variable in line for line in (ended.stdout + ended.stderr).strip().splitlines()] == [True]
    assert "secret" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOLDFAST_DATABASE_URL", "mysql://x"),
        ("HOLDFAST_PROVIDERS__HUNTR", "{}"),
        ("HOLDFAST_ENRICHMENT__CHUNK", "0"),
        ("HOLDFAST_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    for name, good in {**GOOD, variable: value}.items():
        monkeypatch.setenv(name, good)
    with pytest.raises(SettingsError, match=variable):
        load_settings()


def test_a_section_that_is_given_in_part_keeps_its_other_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**GOOD, "HOLDFAST_PROVIDERS__HUNTER__API_KEY": "key"}.items():
        monkeypatch.setenv(name, value)
    hunter = load_settings().providers.hunter
    assert (hunter.base_url, hunter.credit_cost) == ("https://api.hunter.io/v2", 2)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**GOOD, "HOLDFAST_PROVIDERS__HUNTER__API_KEY": "hunter2"}.items():
        monkeypatch.setenv(name, value)
    shown = repr(load_settings())
    assert "secret" not in shown.lower().replace("secretstr", "").replace("webhook_secrets", "")
    assert "hunter2" not in shown
