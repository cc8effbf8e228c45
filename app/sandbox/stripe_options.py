"""What can be set about the emulated Stripe (`PUT /_options/stripe`): how events arrive, how it fails, its rules."""

from dataclasses import dataclass

from app.sandbox.checks import RefusedError, count, milliseconds, one_of, optional, share
from app.sandbox.options import Options, option


def not_negative(value: object) -> int:
    """A whole number from 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RefusedError("must be a whole number from 0")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeOptions(Options):
    """`hit_rate` means nothing here.

    Events: a share is never sent (`drop_share`), sent twice (`duplicate_share`), or held back behind later ones
    (`reorder_share`, by up to `reorder_ms`); each waits `delay_from_ms` to `delay_to_ms`. What is not answered with 2xx
    is sent again, after `retry_ms` and twice as long each time, `tries` times in all.

    Calls: `fail_share` of them fail, of those with other keys than `sk_…spared…`. `fail_forms` names which forms take
    turns at random, "all" or one of them: before the effect `error` (500, not remembered) and `reset` (no answer);
    `stored_error` (500 without an effect, and its idempotency key keeps answering it); after the effect
    `stored_error_after` and `drop` (no answer).

    Rules: an invoice of a renewal stays a draft for `draft_seconds` (Stripe: 3600). A payment that failed is tried
    again `retries` times, every `retry_days`; then the subscription becomes `unpaid_as`.

    `proration_parent` chooses between readings that no primary source decides: under which `parent` a line says that it
    is a proration. `duplicate_usage`: whether a meter event with an identifier that is known is an error, or accepted
    and not counted.
    """

    drop_share: float = option(0.0, share)
    duplicate_share: float = option(0.0, share)
    reorder_share: float = option(0.0, share)
    reorder_ms: float = option(500.0, milliseconds)
    delay_from_ms: float = option(0.0, milliseconds)
    delay_to_ms: float = option(0.0, milliseconds)
    retry_ms: float = option(1000.0, milliseconds)
    tries: int = option(8, count)
    fail_share: float = option(0.0, share)
    fail_forms: str = option("all", one_of("all", "error", "reset", "stored_error", "stored_error_after", "drop"))
    requests_per_second: int | None = option(None, optional(count))
    draft_seconds: int = option(0, not_negative)
    retries: int = option(3, not_negative)
    retry_days: int = option(3, count)
    unpaid_as: str = option("canceled", one_of("canceled", "unpaid", "past_due"))
    proration_parent: str = option(
        "subscription_item_details", one_of("subscription_item_details", "invoice_item_details")
    )
    duplicate_usage: str = option("error", one_of("error", "accepted"))
