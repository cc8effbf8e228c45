"""What can be wrong with billing."""

from app.errors import AppError, Conflict


class BillingNotConfigured(AppError):
    """This installation has no key to the payment provider: plans are not sold here."""

    code = "billing_not_configured"
    status = 503


class NoSubscription(Conflict):
    """The workspace has never paid: there is nothing to manage."""

    code = "no_subscription"


class AlreadySubscribed(Conflict):
    """The workspace has a plan: it is changed in the portal, not bought a second time."""

    code = "already_subscribed"


class EventRefused(AppError):
    """What came is not taken for an event of Stripe's. Its subclasses say why; nothing of it is stored."""

    code = "event_refused"
    status = 400


class SignatureInvalid(EventRefused):
    """There is no signature, or none by a secret of ours."""

    code = "signature_invalid"


class SignatureExpired(EventRefused):
    """The signature was made too long ago, or by a clock that is ahead of ours."""

    code = "signature_expired"


class EventTooLarge(EventRefused):
    """The event is larger than any of Stripe's."""

    code = "event_too_large"


class EventMalformed(EventRefused):
    """The body is no event: not JSON, or without an id, a type or a time."""

    code = "event_malformed"


class EventUnsupported(EventRefused):
    """The event is a thin one (v2), which the endpoint at Stripe is not to be sent."""

    code = "event_not_supported"


class SyncPostponed(AppError):
    """What Stripe has could not be read as a whole: it refuses us, or a list became another meanwhile. To be read again
    after `retry_after` seconds."""

    code = "billing_sync_postponed"
    status = 503
    retryable = True
