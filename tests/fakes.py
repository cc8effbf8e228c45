"""Fakes at the ports: each implements one, and behaves as a test tells it."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

from pydantic import SecretStr

from app.providers.errors import ProviderError
from app.providers.ports import Answer, Capabilities, Entity, Found, Missed, Query

FAKE_FIELDS = ("industry", "employee_count", "city")


class FakeSource:
    """An EnrichmentSource without a provider behind it.

    `answer` decides what a query gets: an Answer, or a ProviderError to raise. `calls` counts by key. While `gate` is
    cleared, calls hang. `batches` are the sizes of calls for many, `polled` the handles that were asked. `keys` are the
    workspaces' own that came with calls; `verdict` is what `verify` raises.
    """

    def __init__(
        self,
        name: str = "alpha",
        answer: Callable[[Query], Answer | ProviderError] | None = None,
        *,
        fields: tuple[str, ...] = FAKE_FIELDS,
        credit_cost: int = 2,
        latency: float = 0.0,
        entity: Entity = "company",
        needs: str = "domain",
        bulk: int = 1,
    ) -> None:
        self.name = name
        self.capabilities = Capabilities(
            {entity: fields}, {entity: (frozenset({needs}),)}, requires_credential=False, bulk={entity: bulk}
        )
        self.credit_cost = credit_cost
        self.last_answer_at: float | None = None
        self.answer = answer or (lambda query: Found(dict.fromkeys(fields, f"{name} {query.key}")))
        self.latency = latency
        self.calls: Counter[str] = Counter()
        self.started_at: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.keys: list[str] = []
        self.verdict: ProviderError | None = None
        self.batches: list[int] = []
        self.polled: list[str] = []

    async def look_up(self, query: Query) -> Answer:
        if query.handle is not None:
            self.polled.append(query.handle)
        if query.api_key is not None:
            self.keys.append(query.api_key.get_secret_value())
        self.calls[query.key] += 1
        self.started_at.append(time.monotonic())
        await self.gate.wait()
        if self.latency:
            await asyncio.sleep(self.latency)
        answer = self.answer(query)
        if isinstance(answer, ProviderError):
            raise answer
        self.last_answer_at = time.time()
        return answer

    async def look_up_many(self, queries: Sequence[Query]) -> Sequence[Answer | ProviderError]:
        """One call; an error of `answer` is that of its query alone."""
        self.batches.append(len(queries))
        for query in queries:
            self.calls[query.key] += 1
        await self.gate.wait()
        self.last_answer_at = time.time()
        return [self.answer(query) for query in queries]

    async def verify(self, api_key: SecretStr) -> None:
        self.keys.append(api_key.get_secret_value())
        if self.verdict is not None:
            raise self.verdict


def misses(_: Query) -> Answer:
    return Missed()
