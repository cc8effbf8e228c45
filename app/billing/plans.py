"""The plans that this installation sells: data in plans.toml, read once when a process starts."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidationError

from app.plan_limits.limits import LimitsByPlan, PlanLimits
from app.provider_settings import Section
from app.settings import SettingsError

Interval: TypeAlias = Literal["month", "year"]

FREE = "free"

_OWN_FILE = Path(__file__).with_name("plans.toml")
_VARIABLE = "HOLDFAST_BILLING__PLANS_FILE"

_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
_Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


@dataclass(frozen=True, slots=True)
class PlanPrice:
    """A price of Stripe's: `credits` are granted for each of its periods and each unit of the quantity."""

    id: str
    interval: Interval
    credits: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan. What its prices grant expires so many periods after the one that it was for; None: never."""

    name: str
    title: str
    prices: tuple[PlanPrice, ...]
    rollover_periods: int | None
    limits: PlanLimits


class Plans:
    """The plans in order, from the least to the most; the first is the free one."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._plans = tuple(plans)
        self._by_name = {plan.name: plan for plan in plans}
        self._by_price = {price.id: (plan, price) for plan in plans for price in plan.prices}
        self._ranks = {plan.name: rank for rank, plan in enumerate(plans)}

    def __iter__(self) -> Iterator[Plan]:
        return iter(self._plans)

    @property
    def free(self) -> Plan:
        """What a workspace has that pays nothing."""
        return self._by_name[FREE]

    @property
    def limits(self) -> LimitsByPlan:
        return LimitsByPlan(self.free.limits, {plan.name: plan.limits for plan in self._plans})

    def get(self, name: str) -> Plan | None:
        return self._by_name.get(name)

    def price(self, price_id: str) -> tuple[Plan, PlanPrice] | None:
        """The plan of a price; None for one that is of no plan."""
        return self._by_price.get(price_id)

    def rank(self, plan: Plan) -> int:
        """The more, the more it is."""
        return self._ranks[plan.name]


class _Price(Section):
    id: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
    interval: Interval
    credits: Annotated[int, Field(ge=0, le=1_000_000_000)]


class _Limits(Section):
    records_per_job: _Count | None = None
    members: _Count | None = None
    requests_per_minute: _Count | None = None
    # What Temporal takes.
    fairness_weight: Annotated[float, Field(ge=0.001, le=1000)] | None = None


class _Plan(Section):
    name: _Name
    title: Annotated[str, Field(min_length=1, max_length=100)]
    prices: tuple[_Price, ...] = ()
    rollover_periods: Annotated[int, Field(ge=0, le=1000)] | None = None
    limits: _Limits = _Limits()

    def plan(self) -> Plan:
        prices = tuple(PlanPrice(**dict(price)) for price in self.prices)
        limits = PlanLimits(self.title, **dict(self.limits))
        return Plan(self.name, self.title, prices, self.rollover_periods, limits)


class _File(Section):
    plans: Annotated[tuple[_Plan, ...], Field(min_length=1)]


def load_plans(path: Path | None) -> Plans:
    """The plans in a file; None: those of app/billing/plans.toml.

    Raises SettingsError with one line that names the file, and the plan and field of each mistake.
    """
    file = path or _OWN_FILE
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{_VARIABLE}: {file} cannot be read ({type(error).__name__})") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{_VARIABLE}: {file} is not TOML: {error}") from error
    try:
        plans = Plans([each.plan() for each in _File.model_validate(found).plans])
    except ValidationError as error:
        problems = [f"{_place(found, each['loc'])}: {each['msg']}" for each in error.errors()]
    else:
        problems = list(_mistakes(plans))
    if problems:
        raise SettingsError(f"{_VARIABLE}: {file}: {'; '.join(problems)}")
    return plans


def _place(found: Any, location: tuple[int | str, ...]) -> str:
    """The plan by its name, as far as it has one, and the field in it."""
    match location:
        case ("plans", int(number), *fields):
            plan = found["plans"][number]
            name = plan.get("name", number + 1) if isinstance(plan, dict) else number + 1
            return f"plan {name}: {'.'.join(map(str, fields))}"
    return ".".join(map(str, location))


def _mistakes(plans: Plans) -> Iterator[str]:
    names: set[str] = set()
    prices: set[str] = set()
    for number, plan in enumerate(plans):
        if (plan.name == FREE) != (number == 0):
            yield f"plan {plan.name}: name: the first plan, and no other, is called {FREE}"
        elif plan.name == FREE and plan.prices:
            yield f"plan {plan.name}: prices: it has none"
        if plan.name in names:
            yield f"plan {plan.name}: name: another plan has it"
        names.add(plan.name)
        for price in plan.prices:
            if price.id in prices:
                yield f"plan {plan.name}: prices: {price.id} is there already"
            prices.add(price.id)
