"""The file of plans: read when a process starts, which says what is wrong with it, and where."""

import sys
from pathlib import Path
from subprocess import PIPE, run

import pytest

from app.billing.plans import load_plans
from app.main import create_app
from app.settings import SettingsError
from tests.api import settings_for
from tests.servers import Database

FREE = """
[[plans]]
name = "free"
title = "Free"
"""
PLUS = """
[[plans]]
name = "plus"
title = "Plus"

[[plans.prices]]
id = "price_plus"
interval = "month"
credits = 10
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_plans_that_come_along_go_from_the_least_to_the_most():
    plans = load_plans(None)
    assert [plan.name for plan in plans] == ["free", "starter", "growth", "scale"]
    assert plans.free is plans.get("free")
    ranks = [plans.rank(plan) for plan in plans]
    assert ranks == sorted(ranks)
    granted = {price.id: (price.interval, price.credits) for plan in plans for price in plan.prices}
    assert granted == {
        "price_starter_monthly": ("month", 5_000),
        "price_starter_yearly": ("year", 60_000),
        "price_growth_monthly": ("month", 25_000),
        "price_growth_yearly": ("year", 300_000),
        "price_scale_monthly": ("month", 120_000),
    }


def test_a_price_leads_to_its_plan_and_an_unknown_one_nowhere():
    plans = load_plans(None)
    sold = plans.price("price_growth_yearly")
    assert sold is not None
    assert (sold[0].name, sold[1].interval) == ("growth", "year")
    assert plans.price("price_of_others") is None
    assert plans.get("enterprise") is None


def test_the_limits_of_a_plan_that_is_sold_no_longer_are_those_of_the_free_one():
    limits = load_plans(None).limits
    assert limits.of("growth").members == 100
    assert limits.of("scale").members is None
    assert limits.of("withdrawn") == limits.of("free") == limits.of(None)


def test_what_a_plan_leaves_out_is_not_limited_and_never_expires(tmp_path: Path):
    plans = load_plans(write(tmp_path / "plans.toml", FREE + PLUS))
    plus = plans.get("plus")
    assert plus is not None
    assert plus.rollover_periods is None
    assert plus.limits.records_per_job is None
    assert plus.limits.fairness_weight is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("plans = 1", "plans: Input should be a valid tuple"),
        ("", "plans: Field required"),
        ("plans = []", "plans: Tuple should have at least 1 item"),
        ("[[plans]", "is not TOML"),
        (FREE + "colour = 'red'", "plan free: colour: Extra inputs are not permitted"),
        (FREE + PLUS + "[plans.limits]\nrecords = 5", "plan plus: limits.records: Extra inputs are not permitted"),
        (FREE + PLUS + "[plans.limits]\nmembers = 0", "plan plus: limits.members: Input should be greater"),
        (FREE + PLUS + "[plans.limits]\nfairness_weight = 0", "plan plus: limits.fairness_weight: Input should be"),
        (FREE + PLUS.replace("10", "-1"), "plan plus: prices.0.credits: Input should be greater than or equal to 0"),
        (FREE + PLUS.replace("month", "week"), "plan plus: prices.0.interval: Input should be 'month' or 'year'"),
        (FREE + PLUS.replace('id = "price_plus"', ""), "plan plus: prices.0.id: Field required"),
        (FREE + PLUS + PLUS.replace('"plus"', '"more"'), "plan more: prices: price_plus is there already"),
        (FREE + PLUS + PLUS.replace("price_plus", "other"), "plan plus: name: another plan has it"),
        (PLUS, "plan plus: name: the first plan, and no other, is called free"),
        (PLUS + FREE, "plan free: name: the first plan, and no other, is called free"),
        (PLUS.replace('"plus"', '"free"'), "plan free: prices: it has none"),
        ("[[plans]]\ntitle = 'Nameless'", "plan 1: name: Field required"),
    ],
)
def test_a_mistake_is_named_with_its_file_plan_and_field(tmp_path: Path, text: str, problem: str):
    file = write(tmp_path / "plans.toml", text)
    with pytest.raises(SettingsError) as error:
        load_plans(file)
    assert str(error.value).startswith(f"HOLDFAST_BILLING__PLANS_FILE: {file}")
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_said_to_be(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"nothing.toml cannot be read \(FileNotFoundError\)"):
        load_plans(tmp_path / "nothing.toml")


def test_an_api_does_not_start_with_plans_that_are_wrong(database: Database, tmp_path: Path):
    file = write(tmp_path / "plans.toml", FREE + "colour = 'red'")
    with pytest.raises(SystemExit, match="plan free: colour"):
        create_app(settings_for(database, billing={"plans_file": file}))


def test_a_worker_does_not_start_with_plans_that_are_wrong(database: Database, temporal_server: str, tmp_path: Path):
    file = write(tmp_path / "plans.toml", FREE + "colour = 'red'")
    environment = {
        "HOLDFAST_DATABASE_URL": database.app_url,
        "HOLDFAST_PLATFORM_DATABASE_URL": database.platform_url,
        "HOLDFAST_TEMPORAL__ADDRESS": temporal_server,
        "HOLDFAST_BILLING__PLANS_FILE": str(file),
    }
    ended = run([sys.executable, "worker.py"], env=environment, stderr=PIPE, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "plan free: colour" in ended.stderr.splitlines()[-1]
