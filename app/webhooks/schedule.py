"""When a delivery is attempted again, and when an endpoint is left alone."""

import random

# Before each attempt after the first, as Standard Webhooks has them: 75 hours in all.
_DELAYS_SECONDS = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
_JITTER = 0.2

ATTEMPTS = 1 + len(_DELAYS_SECONDS)
"""So many, and then a delivery has failed."""

LONGEST_RETRY_AFTER_SECONDS = 24 * 3600.0
"""What an endpoint may ask for with Retry-After."""

OPENS_AFTER = 5
"""Attempts that fail in a row open an endpoint's circuit: then one is made after each pause, until one does not."""

FAILING_DAYS = 5
"""An endpoint that took nothing for so long, however often it was tried, is disabled."""


def delay_seconds(attempts: int, retry_after: float | None) -> float | None:
    """How long to wait after so many `attempts` that failed, and as long as the endpoint asked for; None: no more."""
    if attempts >= ATTEMPTS:
        return None
    delay = _DELAYS_SECONDS[attempts - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  # no secret
    return max(delay, retry_after or 0.0)
