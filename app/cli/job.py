"""A job as the command line shows it, read from the API's answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class ProviderProgress:
    """How a job stands with one provider. `found` are results that were charged."""

    name: str
    calls: int
    found: int
    errors: int
    circuit: str
    waiting_until: datetime | None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        until = data["waiting_until"]
        return cls(
            name=data["name"],
            calls=data["calls"],
            found=data["matches"],
            errors=data["errors"],
            circuit=data["circuit"],
            waiting_until=datetime.fromisoformat(until) if until else None,
        )


@dataclass(frozen=True, slots=True)
class Job:
    """A job at one moment. `counts` are records by how they ended, `url` is the job in the Temporal UI."""

    id: str
    status: str
    waiting_for: str | None
    error: str | None
    total: int
    pending: int
    counts: Mapping[str, int]
    charged: int
    providers: Sequence[ProviderProgress]
    url: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        counts = dict(data["counts"])
        return cls(
            id=data["id"],
            status=data["status"],
            waiting_for=data["waiting_for"],
            error=data["error"],
            total=counts.pop("total"),
            pending=counts.pop("pending"),
            counts=counts,
            charged=data["credits"]["charged"],
            providers=[ProviderProgress.of(each) for each in data["providers"]],
            url=data["workflow"]["url"],
            created_at=datetime.fromisoformat(data["created_at"]),
            started_at=_moment(data["started_at"]),
            finished_at=_moment(data["finished_at"]),
        )

    @property
    def ended(self) -> int:
        """How many records have an end."""
        return self.total - self.pending

    @property
    def done(self) -> float:
        """About how much of the work is done, 0 to 1. Never falls.

        A record has its end only with its last provider, so those that are still under way count by the providers
        that were asked.
        """
        asked = [min(1.0, each.calls / self.total) for each in self.providers]
        ended = self.ended / self.total
        return ended + (1 - ended) * sum(asked) / len(asked)

    @property
    def waiting_until(self) -> datetime | None:
        """When a provider that keeps the job waiting is asked again: the first of them."""
        return min((each.waiting_until for each in self.providers if each.waiting_until), default=None)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
