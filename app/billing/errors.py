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
