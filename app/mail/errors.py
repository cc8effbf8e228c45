"""What can be wrong with mail."""

from app.errors import Unavailable


class MailRefused(Unavailable):
    """The mail was not handed over, and would not be the next time: no server is named, or it said no for good."""

    code = "mail_refused"
    retryable = False


class MailDeferred(MailRefused):
    """The mail was not handed over for now: the server is away, or asks to be tried again."""

    code = "mail_deferred"
    retryable = True
