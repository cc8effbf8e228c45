"""What Stripe refuses, in its words and shape: `{"error": {"type", "code", "message", "param", …}}`."""

from typing import Any


class StripeError(Exception):
    """A request that Stripe refuses. `is_stored`: it was executed before it failed, so that its idempotency key keeps
    answering this; what validation refuses is not remembered."""

    def __init__(self, status: int, error: dict[str, Any], *, is_stored: bool = False) -> None:
        super().__init__(error.get("message", ""))
        self.status = status
        self.error = error
        self.is_stored = is_stored


def invalid(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> StripeError:
    """400 for what makes no sense."""
    error: dict[str, Any] = {"type": "invalid_request_error", "message": message}
    if code is not None:
        error["code"] = code
        error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
    if param is not None:
        error["param"] = param
    return StripeError(status, error)


def missing(param: str) -> StripeError:
    """400 for what must be given."""
    return invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")


def unknown(param: str) -> StripeError:
    """400 for what nobody knows; also for what Stripe knows and this emulator does not."""
    return invalid(f"Received unknown parameter: {param}", param=param, code="parameter_unknown")


def no_such(kind: str, given: str, param: str = "id", *, status: int = 404) -> StripeError:
    """404 for what a path names, 400 for what a parameter names."""
    return invalid(f"No such {kind}: '{given}'", param=param, code="resource_missing", status=status)


def card_declined(code: str, *, charge: str | None = None, payment_intent: dict[str, Any] | None = None) -> StripeError:
    """402: the bank said no. `code` is the reason it gave."""
    error: dict[str, Any] = {
        "type": "card_error",
        "code": "card_declined",
        "decline_code": code,
        "message": "Your card was declined.",
        "doc_url": "https://stripe.com/docs/error-codes/card-declined",
    }
    if charge is not None:
        error["charge"] = charge
    if payment_intent is not None:
        error["payment_intent"] = payment_intent
    return StripeError(402, error, is_stored=True)


def unauthorized(message: str) -> StripeError:
    """401: no key, or one that nobody has."""
    return StripeError(401, {"type": "invalid_request_error", "message": message})


def forbidden() -> StripeError:
    """403: a key that may not do this."""
    said = "The provided key does not have the required permissions for this endpoint."
    return StripeError(403, {"type": "invalid_request_error", "code": "more_permissions_required", "message": said})


def rate_limited() -> StripeError:
    """429."""
    said = "Request rate limit exceeded."
    return StripeError(429, {"type": "invalid_request_error", "code": "rate_limit", "message": said})


def key_in_use() -> StripeError:
    """409: a request with this idempotency key is still under way."""
    said = "There is currently another in-progress request using this Idempotent Key."
    return StripeError(409, {"type": "idempotency_error", "code": "idempotency_key_in_use", "message": said})


def key_reused(key: str) -> StripeError:
    """400: this idempotency key belongs to another request."""
    said = (
        "Keys for idempotent requests can only be used with the same parameters they were first used with. "
        f"Try using a key other than '{key}' if you meant to execute a different request."
    )
    return StripeError(400, {"type": "idempotency_error", "message": said})


def broken() -> StripeError:
    """500, as Stripe words its own failures."""
    return StripeError(500, {"type": "api_error", "message": "An unknown error occurred."})
