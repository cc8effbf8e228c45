"""In which order providers are asked where the caller leaves that to us, by what they were measured to know. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

# Of a provider that was never asked for a field: as if it had been ten times, and filled it every other time. A new one
# is tried, and a few answers say more of it than this.
PRIOR_ASKED = 10
PRIOR_FILLED = 5


@dataclass(frozen=True, slots=True)
class HitRates:
    """How often (asked, filled) each provider was asked for each field of one entity, and filled it, by (provider,
    field). A provider that comes late is asked for what others did not know: the rate is of that."""

    counts: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def of(self, provider: str, name: str) -> float:
        """The probability that the provider fills the field, above 0 and below 1."""
        asked, filled = self.counts.get((provider, name), (0, 0))
        return (filled + PRIOR_FILLED) / (asked + PRIOR_ASKED)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider that may be asked: what one answer of it costs at the most, and which wanted fields it can fill."""

    provider: str
    price: int
    fields: Collection[str]


def cheapest_first(candidates: Sequence[Candidate], rates: HitRates) -> list[str]:
    """The providers in the order in which they are asked: next is always the one whose price is least for each field
    that it is expected to fill, of those that the ones before it have probably left empty.

    What is free comes first, by what it fills; equals stay in the order in which they came. The price is taken as that
    of a call, although a call that finds nothing is not charged: it takes time and of the provider's quota, so of two
    that cost the same for what they find the one that finds more comes first.
    """
    left = list(candidates)
    missing = dict.fromkeys((name for each in candidates for name in each.fields), 1.0)
    order: list[str] = []
    while left:
        gains = [sum(missing[name] * rates.of(each.provider, name) for name in each.fields) for each in left]
        best = min(range(len(left)), key=lambda n: (_price_of_a_field(left[n].price, gains[n]), -gains[n]))
        taken = left.pop(best)
        order.append(taken.provider)
        for name in taken.fields:
            missing[name] *= 1 - rates.of(taken.provider, name)
    return order


def _price_of_a_field(price: int, gain: float) -> float:
    return price / gain if gain else float("inf")
