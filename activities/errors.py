"""The Temporal door: an AppError becomes an ApplicationError that says when to come back, or that there is no point."""

import functools
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from app.enrichment.errors import LookupPostponed
from app.errors import AppError
from app.providers.errors import CircuitOpen, RateLimited

P = ParamSpec("P")
R = TypeVar("R")

# Waiting for these is the normal course of things: no error in logs and metrics.
_BENIGN = (CircuitOpen, RateLimited, LookupPostponed)


def mapped(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Let the activity raise AppErrors; Temporal gets their code as the type, and `retry_after` as the next delay."""

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except AppError as error:
            delay = timedelta(seconds=error.retry_after) if error.retryable and error.retry_after else None
            raise ApplicationError(
                # Read in the Temporal UI as the last failure of what is pending.
                error.message if delay is None else f"{error.message}, next attempt {_time_in(delay)}",
                type=error.code,
                non_retryable=not error.retryable,
                next_retry_delay=delay,
                category=(
                    ApplicationErrorCategory.BENIGN
                    if isinstance(error, _BENIGN)
                    else ApplicationErrorCategory.UNSPECIFIED
                ),
            ) from error

    return call


def _time_in(delay: timedelta) -> str:
    return f"{datetime.now(UTC) + delay:%H:%M:%S} UTC"
