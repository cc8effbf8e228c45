"""Checks of what a control request may say: each returns the value it accepts or raises `RefusedError`."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

Check = Callable[[object], Any]
"""Takes a value as JSON gave it; returns it in the type of the field it is for."""


class RefusedError(ValueError):
    """A control request asks for something that does not exist; the message says what."""


def share(value: object) -> float:
    """A number from 0 to 1."""
    number = _number(value)
    if not 0 <= number <= 1:
        raise RefusedError("must be a number from 0 to 1")
    return number


def milliseconds(value: object) -> float:
    """A number from 0 to 600,000: ten minutes are longer than any client waits."""
    number = _number(value)
    if not 0 <= number <= 600_000:
        raise RefusedError("must be a number of milliseconds from 0 to 600000")
    return number


def seconds(value: object) -> float:
    """A number above 0."""
    number = _number(value)
    if number <= 0:
        raise RefusedError("must be a number of seconds above 0, or null")
    return number


def count(value: object) -> int:
    """A whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RefusedError("must be a whole number above 0, or null")
    return value


def optional(check: Check) -> Check:
    """The check, or null."""
    return lambda value: None if value is None else check(value)


def one_of(*choices: object) -> Check:
    """Exactly one of the choices, type included: `true` is not `1`."""

    def check(value: object) -> object:
        for choice in choices:
            if type(choice) is type(value) and choice == value:
                return choice
        raise RefusedError(f"must be one of {', '.join(map(str, choices))}")

    return check


def flag(value: object) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise RefusedError("must be true or false")
    return value


def checked(body: object, checks: Mapping[str, Check]) -> dict[str, Any]:
    """The fields of a JSON object, each through its check; unknown ones are refused, absent ones left out."""
    if not isinstance(body, dict):
        raise RefusedError("the body must be a JSON object")
    accepted: dict[str, Any] = {}
    for name, value in body.items():
        if name not in checks:
            raise RefusedError(f"{name}: no such field; there are {', '.join(checks)}")
        try:
            accepted[name] = checks[name](value)
        except RefusedError as refused:
            raise RefusedError(f"{name}: {refused}") from None
    return accepted


def _number(value: object) -> float:
    # JSON from Python may carry NaN and Infinity, and True is an int: none is a number that anybody meant.
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise RefusedError("must be a number")
    return value
