"""What can be wrong with mail."""

from app.errors import Unavailable


class MailRefused(Unavailable):
    """The mail was not handed over: no server, or one that did not take it."""

    code = "mail_refused"
