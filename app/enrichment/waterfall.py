"""The waterfall as pure functions: what a record still lacks, what its answers come to, and how it ends.

Answers are always handed in in the order of the job's providers. The first answer that gives a wanted field with at
least the wanted confidence gives its value; a later provider fills only what is still missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from app.providers.ports import JsonValue

# Outcomes that end a provider's turn with a record. "retrying" does not.
Outcome = Literal["found", "missed", "unreachable", "skipped_outage", "gave_up", "rejected", "malformed", "budget"]
RecordStatus = Literal["matched", "partial", "not_found", "failed"]

# The reason of a found answer that was not bought for this job.
REUSED = "reused"

# Why a record without a single value failed rather than was not found: the first of these among its outcomes.
# With none of them every provider said that it does not know, which is an answer.
_FAILURES: Mapping[str, str] = {
    "gave_up": "provider_unavailable",
    "skipped_outage": "provider_unavailable",
    "rejected": "provider_rejected",
    "malformed": "malformed",
    "budget": "budget",
}


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """One provider's answer about one record; `found` is {field: [value, confidence]} where something was found."""

    provider: str
    outcome: str
    answered_at: datetime
    found: Mapping[str, tuple[JsonValue, float]] | None = None
    credits: int = 0
    tries: int = 1
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A field with its provenance."""

    value: JsonValue
    provider: str
    confidence: float
    fetched_at: datetime


def merge(wanted: Sequence[str], answers: Iterable[StoredAnswer], min_confidence: float) -> dict[str, Value]:
    """The values of the wanted fields, each from the first answer that knows it well enough."""
    values: dict[str, Value] = {}
    for answer in answers:
        if answer.found is None:
            continue
        for field in wanted:
            if field not in values and field in answer.found:
                value, confidence = answer.found[field]
                if confidence >= min_confidence:
                    values[field] = Value(value, answer.provider, confidence, answer.answered_at)
    return values


def verdict(wanted: Sequence[str], filled: Iterable[str], outcomes: Iterable[str]) -> tuple[RecordStatus, str | None]:
    """How a record ends whose wanted fields `filled` have values: its status, and the reason of what is missing."""
    count = len(set(filled))
    if count == len(wanted):
        return "matched", None
    seen = set(outcomes)
    reason = next((_FAILURES[outcome] for outcome in _FAILURES if outcome in seen), None)
    if count:
        return "partial", reason
    return ("failed", reason) if reason else ("not_found", None)
