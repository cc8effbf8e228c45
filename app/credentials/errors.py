"""What can be wrong with a provider credential."""

from app.errors import AppError, Conflict


class CredentialNotTaken(Conflict):
    """The provider knows its callers by no key: there is nothing to store for it."""

    code = "credential_not_taken"


class CredentialsNotConfigured(AppError):
    """This installation has no key to encrypt credentials with, or lacks the one that a credential needs."""

    code = "credentials_not_configured"
    status = 503
    # An operator's mistake, and so over when it is mended.
    retryable = True


class CredentialUnreadable(AppError):
    """A stored credential does not decrypt: it was changed, or moved here from another workspace or provider."""

    code = "credential_unreadable"
