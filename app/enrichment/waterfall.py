"""The waterfall as pure functions: what a record still lacks, what its answers come to, and how it ends.

Answers are always handed in in the order of the job's providers. Field by field the value is that of the most confident
answer, of the earlier provider where two are as confident, and of none that is less confident than is wanted. A later
provider is asked only while a field is missing; what else it says counts by the same rule.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from app.providers.ports import JsonValue

# Outcomes that end a provider's turn with a record.
Outcome = Literal["found", "missed", "unreachable", "skipped_outage", "gave_up", "rejected", "malformed", "budget"]
RecordStatus = Literal["matched", "partial", "not_found", "failed"]

# Outcomes that do not: another call follows, the vendor works it out, or its e-mail address is to be verified.
OPEN_OUTCOMES = frozenset({"retrying", "pending", "unverified"})

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
    """One provider's answer about one record. `order` is the provider's place among those of the job. `found` is
    {field: [value, confidence]} of what it said, also where that was of no use. A pending one has a `handle` and
    `poll_at`. `reused_at`: when it was taken over from an earlier job; `run_id`: the workflow run that asked."""

    provider: str
    outcome: str
    answered_at: datetime
    found: Mapping[str, tuple[JsonValue, float]] | None = None
    credits: int = 0
    tries: int = 1
    reason: str | None = None
    order: int = 0
    handle: str | None = None
    poll_at: datetime | None = None
    reused_at: datetime | None = None
    run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A field with its provenance: the answer that it is from."""

    value: JsonValue
    confidence: float
    answer: StoredAnswer


def merge(wanted: Sequence[str], answers: Iterable[StoredAnswer], min_confidence: float) -> dict[str, Value]:
    """The values of the wanted fields, each from the most confident answer that is confident enough, the earlier one of
    two that are equally so."""
    values: dict[str, Value] = {}
    for answer in answers:
        if answer.outcome != "found" or answer.found is None:
            continue
        for field in wanted:
            if field in answer.found:
                value, confidence = answer.found[field]
                best = values.get(field)
                if confidence >= min_confidence and (best is None or confidence > best.confidence):
                    values[field] = Value(value, confidence, answer)
    return values


def improves(found: Mapping[str, tuple[JsonValue, float]], values: Mapping[str, Value], min_confidence: float) -> bool:
    """Whether what was found fills a field that is missing in `values`, or is more confident of one."""
    return any(
        confidence >= min_confidence and (field not in values or confidence > values[field].confidence)
        for field, (_, confidence) in found.items()
    )


def gaps(
    wanted: Sequence[str], values: Collection[str], answers: Sequence[StoredAnswer], min_confidence: float
) -> dict[str, str]:
    """Why each wanted field without a value has none: ``low_confidence`` (somebody said something, and was not sure
    enough), ``pending`` (a provider has not answered yet), a reason of `verdict`, or ``unknown`` (none that could tell
    knows it)."""
    outcomes = {answer.outcome for answer in answers}
    reason = "pending" if outcomes & OPEN_OUTCOMES else _failure(outcomes) or "unknown"
    unsure = {
        field
        for answer in answers
        for field, (_, confidence) in (answer.found or {}).items()
        if confidence < min_confidence
    }
    return {field: "low_confidence" if field in unsure else reason for field in wanted if field not in values}


def verdict(wanted: Sequence[str], filled: Iterable[str], outcomes: Iterable[str]) -> tuple[RecordStatus, str | None]:
    """How a record ends whose wanted fields `filled` have values: its status, and the reason of what is missing."""
    count = len(set(filled))
    if count == len(wanted):
        return "matched", None
    reason = _failure(set(outcomes))
    if count:
        return "partial", reason
    return ("failed", reason) if reason else ("not_found", None)


def _failure(outcomes: Collection[str]) -> str | None:
    return next((_FAILURES[outcome] for outcome in _FAILURES if outcome in outcomes), None)
