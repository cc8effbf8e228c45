"""The turns of a provider with the records of a lookup: what an answer comes to, what is left, and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from app.enrichment.budget import Budget
from app.enrichment.flush import Flusher, FoundFields, Turn
from app.enrichment.lookup_repository import OpenRecord, RunningJob
from app.enrichment.verification import UNVERIFIED, verified
from app.enrichment.waterfall import Outcome, StoredAnswer, Value, improves
from app.providers.errors import InvalidQuery, ProviderError
from app.providers.ports import Answer, Found, Missed, Pending
from app.settings import EnrichmentSettings

# The reason of an answer whose address was verified begins so; what follows is its status.
_VERIFIED = "email_"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a record. It costs `credits` where it is of use, and is older than this job where it is
    `reused`."""

    found: FoundFields
    at: datetime
    credits: int
    reused: bool


class Turns:
    """`rest` are the records whose turn has not ended, by position, and of those: `values`, what earlier providers
    filled; `failures`, to be tried again; `later`, when the provider is to be asked whether its answer is there;
    `unverified`, what is to be verified; `bound`, the positions for whose answers the price is reserved. `found` counts
    those that ended with something useful."""

    def __init__(
        self,
        provider: str,
        settings: EnrichmentSettings,
        job: RunningJob,
        budget: Budget,
        flusher: Flusher,
        *,
        verify: bool,
    ) -> None:
        self._provider = provider
        self._settings = settings
        self._job = job
        self._budget = budget
        self._flusher = flusher
        self._verify = verify
        self.rest: dict[int, OpenRecord] = {}
        self.values: dict[int, Mapping[str, Value]] = {}
        self.failures: dict[int, ProviderError] = {}
        self.later: dict[int, datetime] = {}
        self.unverified: dict[int, Finding] = {}
        self.bound: set[int] = set()
        self.found = 0

    def own_answer(self, record: OpenRecord) -> StoredAnswer | None:
        """What is stored of this provider about the record."""
        return next((answer for answer in record.answers if answer.provider == self._provider), None)

    def take_known(self, record: OpenRecord, answer: StoredAnswer) -> None:
        """The workspace was given this answer before: it costs nothing."""
        found = {field: value for field, value in (answer.found or {}).items() if field in self._job.fields}
        if found and answer.reason and answer.reason.startswith(_VERIFIED):
            self._end_found(record, Finding(found, answer.answered_at, 0, reused=True), reason=answer.reason)
        elif found:
            self._take_found(record, found, answer.answered_at, credits=0, reused=True)
        else:
            outcome: Outcome = "unreachable" if answer.outcome == "unreachable" else "missed"
            self._add(record, outcome, answer.answered_at, answer.reason, reused=True)

    def take(self, record: OpenRecord, answer: Answer | ProviderError) -> None:
        """The provider has said this of the record."""
        if isinstance(answer, Found):
            found = {
                field: (answer.values[field], answer.confidences.get(field, answer.confidence))
                for field in self._job.fields
                if field in answer.values
            }
            self._take_found(record, found, datetime.now(UTC), credits=self._job.credit_cost, raw=answer.raw)
        elif isinstance(answer, Missed):
            self._add(record, "missed", datetime.now(UTC), answer.reason)
        elif isinstance(answer, Pending):
            self._take_pending(record, answer.handle, answer.retry_after)
        elif isinstance(answer, ProviderError):
            self.fail(record, answer)
        else:
            self._add(record, "unreachable", datetime.now(UTC), answer.reason)

    def remember_unverified(self, record: OpenRecord, own: StoredAnswer) -> None:
        """An earlier run of the lookup found this, and did not come to verify it."""
        reused = own.reused_at is not None
        price = 0 if reused else self._job.credit_cost
        found = {field: (value, confidence) for field, (value, confidence) in (own.found or {}).items()}
        self.unverified[record.position] = Finding(found, own.answered_at, price, reused)

    def verified_as(self, record: OpenRecord, status: str, credits: int = 0) -> None:
        """End the turn with a record whose address has this status, which it cost so many credits to learn."""
        unverified = self.unverified.pop(record.position)
        found = verified(unverified.found, status)
        self._end_found(
            record,
            replace(unverified, found=found),
            reason=f"{_VERIFIED}{status}",
            extra=credits,
        )

    def end(self, record: OpenRecord, outcome: Outcome, reason: str | None) -> None:
        """End the provider's turn with the record without a value. Of what was found and not verified the rest counts:
        it was paid for."""
        if record.position in self.unverified:
            self.verified_as(record, UNVERIFIED)
        else:
            self._add(record, outcome, datetime.now(UTC), reason)

    def give_back(self, record: OpenRecord, credits: int = 0) -> None:
        """What is reserved for the record, but for so many credits, is free again."""
        if record.position in self.bound:
            self.bound.discard(record.position)
            self._budget.give_back(credits)

    def fail(self, record: OpenRecord, error: ProviderError) -> None:
        """Have the record be tried again, unless it was refused: its subject, or its address by the verifier."""
        if not isinstance(error, InvalidQuery):
            self.failures[record.position] = error
        elif record.position in self.unverified:
            self.verified_as(record, "invalid")
        else:
            self.end(record, "rejected", error.code)

    def _take_found(
        self,
        record: OpenRecord,
        found: FoundFields,
        at: datetime,
        *,
        credits: int,
        reused: bool = False,
        raw: bytes | None = None,
    ) -> None:
        if not self._verify or "email" not in found:
            self._end_found(record, Finding(found, at, credits, reused), raw=raw)
            return
        self.unverified[record.position] = Finding(found, at, credits, reused)
        # Before the verifier is asked: what was bought must not be bought again.
        self._flusher.add(Turn(record, "unverified", at, found=found, reused=reused, raw=raw))

    def _take_pending(self, record: OpenRecord, handle: str, seconds: float, tries: int = 1) -> None:
        own, now = self.own_answer(record), datetime.now(UTC)
        asked_at = own.answered_at if own and own.outcome == "pending" else now
        if (now - asked_at).total_seconds() >= self._settings.longest_pending_seconds:
            self.end(record, "gave_up", "pending")
            return
        poll_at = self.later[record.position] = now + timedelta(seconds=seconds)
        self._flusher.add(Turn(record, "pending", now, handle=handle, poll_at=poll_at, tries=tries))

    def _end_found(
        self,
        record: OpenRecord,
        finding: Finding,
        *,
        reason: str | None = None,
        extra: int = 0,
        raw: bytes | None = None,
    ) -> None:
        useful = improves(finding.found, self.values.get(record.position, {}), self._job.min_confidence)
        self.found += useful
        self._add(
            record,
            "found" if useful else "missed",
            finding.at,
            reason or (None if useful else "nothing_wanted"),
            found=finding.found or None,
            credits=(finding.credits if useful else 0) + extra,
            reused=finding.reused,
            raw=raw,
        )

    def _add(
        self,
        record: OpenRecord,
        outcome: Outcome,
        at: datetime,
        reason: str | None,
        *,
        found: FoundFields | None = None,
        credits: int = 0,
        reused: bool = False,
        raw: bytes | None = None,
    ) -> None:
        del self.rest[record.position]
        self.later.pop(record.position, None)
        self.give_back(record, credits)
        self._flusher.add(Turn(record, outcome, at, reason, found, credits, reused=reused, raw=raw))
