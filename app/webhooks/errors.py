"""What can be wrong with webhooks."""

from app.errors import Conflict


class TooManyWebhooks(Conflict):
    """The workspace has as many webhooks as there can be: delete one that is not used."""

    code = "too_many_webhooks"


class TooManySecrets(Conflict):
    """The secret was rotated so often that too many still sign: wait until the oldest of them does no more."""

    code = "too_many_secrets"


class WebhookDisabled(Conflict):
    """Nothing is sent to a webhook that is disabled: enable it first."""

    code = "webhook_disabled"
