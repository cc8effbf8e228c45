"""What a job would cost, before anything runs.

Three cases. The worst is what the job holds: each provider is asked of each record that it can look up, and finds
something. The expected one goes by the hit rates: a provider is asked where a field that it can fill is probably still
missing, is charged for what it probably finds, and not asked for what the workspace has. The best differs from that in
one thing: whoever is asked fills all that it can, so that a provider is asked only for what those before it cannot fill
at all. A miss costs nothing in any case.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from uuid import UUID

from app.db import Sessions
from app.enrichment import hit_rates_repository as hit_rates
from app.enrichment import quotes_repository as repository
from app.enrichment import staging
from app.enrichment.intake import Intake
from app.enrichment.options import Choice, JobOptions
from app.enrichment.ordering import HitRates
from app.providers.ports import Offer, Query


@dataclass(slots=True)
class Range:
    """Of calls, or credits: best ≤ expected ≤ worst."""

    best: float = 0
    expected: float = 0
    worst: float = 0

    def add(self, best: float, expected: float, worst: float) -> None:
        self.best += best
        self.expected += expected
        self.worst += worst


@dataclass(slots=True)
class ProviderQuote:
    """What one provider of the job would cost. `reusable`: how many of its calls in the worst case the workspace has
    the answers of."""

    offer: Offer
    verifies: bool
    reusable: int = 0
    calls: Range = field(default_factory=Range)
    credits: Range = field(default_factory=Range)


@dataclass(frozen=True, slots=True)
class Quote:
    """`distinct` records would be looked up: the others are invalid, or about the same subject as one of them.
    `providers` are in the order in which they are asked; a verifier of addresses comes last. Together they cost no more
    than `credits`, which the limits of the options hold down."""

    records: int
    invalid: int
    distinct: int
    fields: Sequence[str]
    credits: Range
    providers: Sequence[ProviderQuote]


async def quote(
    sessions: Sessions,
    workspace_id: UUID,
    intake: Intake,
    options: JobOptions,
    offers: Mapping[str, Offer],
    default_providers: Sequence[str] | None,
    *,
    within: str = "",
) -> Quote:
    """What a job of these rows would cost, by the same choice and the same rows as app/enrichment/submit.py. Stores
    nothing: the stage is empty again when the transaction ends.

    Raises InvalidRequest where the job would be refused for its options or rows, Unavailable; too few credits are no
    reason to refuse.
    """
    async with sessions.for_workspace(workspace_id) as session:
        choice = await staging.choice(session, workspace_id, options, offers, default_providers, within=within)
        staged = await staging.stage(session, intake, strict=options.strict)
        rates = await hit_rates.hit_rates(session, choice.entity)
        reusable: Mapping[str, int] = {}
        if options.reuse_within_seconds:
            fields = {offer.name: sorted(choice.fills(offer)) for offer in choice.providers}
            reusable = await repository.reusable(
                session, workspace_id, choice.entity, fields, within_seconds=options.reuse_within_seconds
            )
    total, providers = estimate(choice, staged.leaders, rates, reusable)
    return Quote(
        records=staged.total,
        invalid=staged.invalid,
        distinct=sum(staged.leaders.values()),
        fields=choice.fields,
        credits=Range(*(options.limited(round(each)) for each in (total.best, total.expected, total.worst))),
        providers=providers,
    )


def estimate(
    choice: Choice, leaders: Mapping[tuple[str, ...], int], rates: HitRates, reusable: Mapping[str, int]
) -> tuple[Range, Sequence[ProviderQuote]]:
    """The credits of all records together, and each provider's part. `leaders`: how many records have which inputs;
    `reusable`: of how many of them each provider need not be asked."""
    quotes = {offer.name: ProviderQuote(offer, verifies=False) for offer in choice.providers}
    able = {
        offer.name: sum(n for inputs, n in leaders.items() if _is_asked(choice, offer, inputs))
        for offer in choice.providers
    }
    if choice.verifier is not None:
        quotes[choice.verifier.name] = ProviderQuote(choice.verifier, verifies=True)
    total = Range()
    for inputs, records in leaders.items():
        cost = Range()
        missing = dict.fromkeys(choice.fields, 1.0)
        empty = set(choice.fields)
        for offer in choice.providers:
            if not _is_asked(choice, offer, inputs):
                continue
            fills, mine = choice.fills(offer), quotes[offer.name]
            mine.reusable = min(reusable.get(offer.name, 0), able[offer.name])
            bought = 1 - mine.reusable / able[offer.name]
            asked = Range(
                best=bought if empty & fills else 0,
                expected=bought * (1 - prod(1 - missing[name] for name in fills)),
                worst=1,
            )
            # What one answer holds comes together: it is there as often as the field that is there most often.
            found = max(rates.of(offer.name, name) for name in fills)
            _charge(mine, cost, asked, found, records)
            if choice.verifier is not None and "email" in fills:
                address = rates.of(offer.name, "email")
                checked = Range(asked.best * address, asked.expected * address, asked.worst)
                _charge(quotes[choice.verifier.name], cost, checked, 1, records)
            empty -= fills
            for name in fills:
                missing[name] *= 1 - rates.of(offer.name, name)
        limit = choice.cost(inputs)
        total.add(records * min(cost.best, limit), records * min(cost.expected, limit), records * limit)
    return total, list(quotes.values())


def _charge(quote: ProviderQuote, cost: Range, asked: Range, found: float, records: int) -> None:
    """Add what asking the provider with these probabilities comes to: of one record to `cost`, of all to `quote`."""
    price = quote.offer.credit_cost
    paid = Range(asked.best * found * price, asked.expected * found * price, asked.worst * price)
    cost.add(paid.best, paid.expected, paid.worst)
    quote.calls.add(asked.best * records, asked.expected * records, asked.worst * records)
    quote.credits.add(paid.best * records, paid.expected * records, paid.worst * records)


def _is_asked(choice: Choice, offer: Offer, inputs: Collection[str]) -> bool:
    query = Query(choice.entity, "", dict.fromkeys(inputs, ""))
    return bool(choice.fills(offer)) and offer.capabilities.can_look_up(query)
