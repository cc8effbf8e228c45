"""What a job is asked to do, checked against what the installation offers."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.enrichment.ordering import Candidate, HitRates, cheapest_first
from app.errors import Detail, InvalidRequest
from app.providers.ports import FIELDS, Entity, Offer, Query

OnOutage = Literal["wait", "skip"]


@dataclass(frozen=True, slots=True)
class JobOptions:
    """A job as its caller wants it. `fields` and `providers`: None leaves the choice to `choose`, which orders the
    providers by their hit rates where `auto`."""

    entity: Entity
    fields: Sequence[str] | None = None
    providers: Sequence[str] | None = None
    auto: bool = False
    on_outage: OnOutage = "wait"
    max_wait_seconds: float = 86_400
    max_credits: int | None = None
    min_confidence: float = 0.5
    reuse_within_seconds: float = 0
    max_credits_per_record: int | None = None
    verify_email: bool = False
    strict: bool = False

    def limited(self, credits: int) -> int:
        """So many credits, or `max_credits` where that is less."""
        return credits if self.max_credits is None else min(credits, self.max_credits)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which fields a job fills and which providers it asks, in order. The `verifier`, where there is one, is asked of
    each e-mail address that one of them finds. A record costs no more than `most_per_record` credits."""

    entity: Entity
    fields: tuple[str, ...]
    providers: tuple[Offer, ...]
    verifier: Offer | None = None
    most_per_record: int | None = None

    def cost(self, inputs: Collection[str]) -> int:
        """The credits that a record with these inputs (a subset of SUBJECT_KEYS) costs at the most: as if each provider
        that can look it up and fills a wanted field found something, and a new address each."""
        query = Query(self.entity, "", dict.fromkeys(inputs, ""))
        most = sum(
            self.price(offer) for offer in self.providers if offer.capabilities.can_look_up(query) and self.fills(offer)
        )
        return most if self.most_per_record is None else min(most, self.most_per_record)

    def worst_case(self, leaders: Mapping[tuple[str, ...], int]) -> int:
        """The credits that all records cost at the most; `leaders`: how many have which inputs."""
        return sum(records * self.cost(inputs) for inputs, records in leaders.items())

    def fills(self, offer: Offer) -> frozenset[str]:
        """The wanted fields that this provider can fill."""
        return frozenset(self.fields).intersection(offer.capabilities.fields.get(self.entity, ()))

    def price(self, offer: Offer) -> int:
        """The credits that one answer of this provider costs at the most, with the check of the address in it."""
        if self.verifier is None or "email" not in offer.capabilities.fields.get(self.entity, ()):
            return offer.credit_cost
        return offer.credit_cost + self.verifier.credit_cost

    def ordered(self, rates: HitRates) -> "Choice":
        """The same with its providers in the order of app/enrichment/ordering.py."""
        candidates = [Candidate(offer.name, self.price(offer), self.fills(offer)) for offer in self.providers]
        offers = {offer.name: offer for offer in self.providers}
        return replace(self, providers=tuple(offers[name] for name in cheapest_first(candidates, rates)))


def choose(
    options: JobOptions, offers: Mapping[str, Offer], rates: HitRates | None = None, *, within: str = ""
) -> Choice:
    """Make the choices that the options leave open: all available providers that are asked by default and fill a wanted
    field, cheapest first, or by their hit `rates` where the options say auto; all fields that the providers fill. A
    verifier of addresses is among them where ``email_status`` was asked for.

    Raises InvalidRequest that names each field and provider that cannot be had; `within` is put before their paths.
    """
    details = [
        *_problems("fields", options.fields, _field_problem(options.entity), within),
        *_problems("providers", options.providers, _provider_problem(options.entity, offers), within),
    ]
    if details:
        raise InvalidRequest("The job asks for something that there is not.", details=details)
    verifier = (
        _verifier(options, offers, within)
        if options.verify_email and "email" in (options.fields or ("email",))
        else None
    )
    if options.providers is None:
        able = [
            offer
            for offer in offers.values()
            if offer.available and offer.by_default and _fills(offer, options) and offer != verifier
        ]
        # The sort is stable: equal prices stay in the order of the registry.
        providers = tuple(sorted(able, key=lambda offer: offer.credit_cost))
    else:
        providers = tuple(offers[name] for name in options.providers)
    filled = {field for offer in providers for field in offer.capabilities.fields.get(options.entity, ())}
    fields = tuple(options.fields or (field for field in FIELDS[options.entity] if field in filled))
    if not providers or not fields:
        raise InvalidRequest(
            f"No available provider fills a wanted field of a {options.entity}.",
            details=[Detail(f"{within}fields", "None of the available providers fills these.")],
        )
    choice = Choice(options.entity, fields, providers, verifier, options.max_credits_per_record)
    return choice.ordered(rates or HitRates()) if options.auto else choice


def _verifier(options: JobOptions, offers: Mapping[str, Offer], within: str) -> Offer | None:
    """The cheapest one that is available. Raises InvalidRequest where there is none, or it is to find something too."""
    if options.entity != "person":
        return None
    able = [offer for offer in offers.values() if offer.available and offer.capabilities.verifies_email]
    if not able:
        problem = "There is no available provider that verifies e-mail addresses."
        raise InvalidRequest("The addresses cannot be verified.", details=[Detail(f"{within}verify_email", problem)])
    verifier = min(able, key=lambda offer: offer.credit_cost)
    if verifier.name in (options.providers or ()):
        problem = f"{verifier.name} verifies what the others find; leave it out here, or leave out verify_email."
        raise InvalidRequest("A provider has two parts.", details=[Detail(f"{within}providers", problem)])
    return verifier


def with_defaults(options: JobOptions, offers: Mapping[str, Offer], names: Sequence[str] | None) -> JobOptions:
    """The options with what the workspace has chosen for jobs that name no providers: those of `names` that are
    available and fill a wanted field. Where none does it is all of them, for `choose` to say why not: what a workspace
    has not chosen is not asked."""
    if options.providers is not None or not names:
        return options
    able = [name for name in names if name in offers and offers[name].available and _fills(offers[name], options)]
    return replace(options, providers=able or list(names))


def _fills(offer: Offer, options: JobOptions) -> bool:
    # A status is not worth its price to whoever did not ask for it.
    if offer.capabilities.verifies_email and options.fields is None:
        return False
    fillable = offer.capabilities.fields.get(options.entity, ())
    return any(field in fillable for field in options.fields or fillable)


def _problems(
    option: str, names: Sequence[str] | None, problem_of: Callable[[str], str | None], within: str
) -> Iterator[Detail]:
    for n, name in enumerate(names or ()):
        problem = f"{name!r} is named twice." if name in (names or ())[:n] else problem_of(name)
        if problem:
            yield Detail(f"{within}{option}[{n}]", problem)


def _field_problem(entity: Entity) -> Callable[[str], str | None]:
    known = FIELDS[entity]
    return lambda name: None if name in known else f"A {entity} has no field {name!r}; there are {', '.join(known)}."


def _provider_problem(entity: Entity, offers: Mapping[str, Offer]) -> Callable[[str], str | None]:
    def problem(name: str) -> str | None:
        offer = offers.get(name)
        if offer is None:
            return f"There is no provider {name!r}; there are {', '.join(offers)}."
        if not offer.available:
            return f"{name} is not available: it is disabled, or its credential is missing or was rejected."
        if not offer.capabilities.fields.get(entity):
            return f"{name} knows nothing of a {entity}."
        return None

    return problem
