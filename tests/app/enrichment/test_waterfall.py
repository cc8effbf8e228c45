"""The waterfall's decisions, each rule a row."""

from datetime import UTC, datetime

import pytest

from app.enrichment.waterfall import StoredAnswer, gaps, improves, merge

AT = datetime(2026, 11, 21, tzinfo=UTC)


def answer(provider: str, outcome: str = "found", **found: tuple[str, float]) -> StoredAnswer:
    return StoredAnswer(provider, outcome, AT, found or None)


ALPHA = answer("alpha", city=("Oslo", 0.7))


@pytest.mark.parametrize(
    ("answers", "winner"),
    [
        ([ALPHA], ("Oslo", "alpha")),
        ([ALPHA, answer("beta", city=("Bergen", 0.9))], ("Bergen", "beta")),
        ([ALPHA, answer("beta", city=("Bergen", 0.7))], ("Oslo", "alpha")),
        ([ALPHA, answer("beta", city=("Bergen", 0.6))], ("Oslo", "alpha")),
        ([answer("beta", city=("Bergen", 0.4)), ALPHA], ("Oslo", "alpha")),
        ([answer("beta", city=("Bergen", 0.4))], None),
        ([answer("beta", "missed", city=("Bergen", 0.9))], None),
        ([answer("beta", "unverified", city=("Bergen", 0.9)), ALPHA], ("Oslo", "alpha")),
        ([answer("beta", "missed"), ALPHA], ("Oslo", "alpha")),
        ([answer("beta", employees=("9", 1.0))], None),
        ([], None),
    ],
    ids=[
        "one answer",
        "the more confident wins",
        "the earlier of two equals wins",
        "the less confident loses",
        "one that is not confident enough does not count",
        "nobody is confident enough",
        "what was of no use does not count",
        "what is not verified does not count yet",
        "a miss",
        "a field that was not wanted",
        "nobody was asked",
    ],
)
def test_the_value_of_a_field(answers: list[StoredAnswer], winner: tuple[str, str] | None):
    value = merge(("city",), answers, 0.5).get("city")
    assert (value and (value.value, value.answer.provider)) == winner


@pytest.mark.parametrize(
    ("found", "is_better"),
    [
        ({"industry": ("Tools", 0.5)}, True),
        ({"industry": ("Tools", 0.4)}, False),
        ({"city": ("Bergen", 0.8)}, True),
        ({"city": ("Bergen", 0.7)}, False),
        ({}, False),
    ],
    ids=["fills a gap", "is not sure", "is surer", "says it again", "says nothing"],
)
def test_an_answer_is_paid_for_where_it_makes_the_record_better(found: dict[str, tuple[str, float]], is_better: bool):
    assert improves(found, merge(("city", "industry"), [ALPHA], 0.5), 0.5) is is_better


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([answer("alpha", "missed")], "unknown"),
        ([answer("alpha", city=("Oslo", 0.2))], "low_confidence"),
        ([answer("alpha", "skipped_outage"), answer("beta", "missed")], "provider_unavailable"),
        ([answer("alpha", "budget")], "budget"),
        ([answer("alpha", "rejected"), answer("beta", "missed")], "provider_rejected"),
        ([answer("alpha", "pending"), answer("beta", "missed")], "pending"),
    ],
)
def test_a_missing_field_says_why(answers: list[StoredAnswer], reason: str):
    assert gaps(("city",), (), answers, 0.5) == {"city": reason}
