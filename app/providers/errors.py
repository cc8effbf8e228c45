"""What a provider's answer means when it is not a result: one class per consequence.

A miss is data, an error is an exception. The taxonomy, with each vendor's wording, is docs/providers.md.

    ProviderError
    ├── InvalidQuery       the vendor refuses this input; final for this record
    │   └── Missing            what the call is about is not there, or no longer
    ├── KeyRefusal         the vendor does not serve this key; no verdict on the vendor's health
    │   ├── CredentialRejected the vendor refuses the key; final for this workspace and vendor
    │   │   └── SwitchedOff        we ask the vendor nothing, whatever the key; ends work in the same way
    │   └── PaymentRequired    the vendor account has no credits left; final until somebody pays
    ├── RateLimited        a window is spent; retry after its reset; no verdict on the vendor's health
    │   └── Throttled          we did not ask: our own quota, the vendor's hint, or the slow start after an outage
    ├── Malformed          an answer that cannot be read; one retry, then final for this record
    └── Refusal            not now, through no fault of the input; Temporal retries
        ├── StoredFailure  the vendor keeps answering this idempotency key with the failure of its first use
        ├── Transient      this call failed (5xx, timeout, broken connection); evidence for the circuit
        ├── Outage         the vendor is away (connection refused, host unknown, 503); evidence for the circuit
        └── CircuitOpen    we did not ask; `retry_after` is the time until the next probe
"""

from typing import ClassVar

from app.errors import AppError


class ProviderError(AppError):
    """Base. `provider` is the registry name; `message` never holds a secret or a vendor's body."""

    code = "provider_error"
    status = 502
    # Counts towards opening the provider's circuit.
    is_outage: ClassVar[bool] = False

    def __init__(self, provider: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{provider}: {message}", retry_after=retry_after)
        self.provider = provider


class InvalidQuery(ProviderError):
    code = "invalid_query"


class Missing(InvalidQuery):
    code = "provider_object_missing"


class KeyRefusal(ProviderError):
    code = "key_refused"


class CredentialRejected(KeyRefusal):
    code = "credential_rejected"


class SwitchedOff(CredentialRejected):
    code = "provider_switched_off"


class PaymentRequired(KeyRefusal):
    code = "payment_required"


class RateLimited(ProviderError):
    code = "provider_rate_limited"
    retryable = True


class Throttled(RateLimited):
    pass


class Malformed(ProviderError):
    code = "malformed_response"
    retryable = True
    is_outage = True


class Refusal(ProviderError):
    code = "provider_refusal"
    status = 503
    retryable = True


class StoredFailure(Refusal):
    code = "provider_stored_failure"


class Transient(Refusal):
    code = "provider_transient"
    is_outage = True


class NotReady(Transient):
    code = "provider_not_ready"
    is_outage = False


class Outage(Refusal):
    code = "provider_outage"
    is_outage = True


class CircuitOpen(Refusal):
    code = "circuit_open"
