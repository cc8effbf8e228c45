"""What can be set about a running provider: how much it knows, its speed, its reading of open questions."""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

from app.sandbox.checks import Check, checked, count, milliseconds, optional, share


def option(default: Any, check: Check) -> Any:
    """A dataclass field with the check for its values; typed Any because it stands for its default."""
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of every provider.

    `hit_rate` is the share of names that it knows; each provider has its own default. `latency_ms` delays
    each answer by exactly that much, without jitter.
    """

    hit_rate: float = option(0.6, share)
    latency_ms: float = option(0.0, milliseconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedOptions(Options):
    """Options of a provider that can limit: None, the default, lets everything through."""

    requests_per_minute: int | None = option(None, optional(count))


OptionsT = TypeVar("OptionsT", bound=Options)


def amend(options: OptionsT, changes: object) -> OptionsT:
    """A copy of the options with the fields of a JSON object in it; raises `RefusedError` for a wrong one."""
    return replace(options, **checked(changes, checks_of(type(options))))


def checks_of(options: type[Options]) -> dict[str, Check]:
    """The checks by field. A subclass that gives only another default keeps the check of its parent."""
    return {
        name: check
        for cls in reversed(options.__mro__)
        if issubclass(cls, Options)
        for name, check in ((f.name, f.metadata.get("check")) for f in fields(cls))
        if check is not None
    }


def as_json(options: Options) -> dict[str, object]:
    """The options as the control interface shows them."""
    return asdict(options)
