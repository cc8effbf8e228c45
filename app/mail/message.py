"""A mail in the form that is sent."""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

from app.mail.ports import Mail

# Longer lines are encoded: a file that somebody opens to follow its link is better read as it is.
_POLICY = SMTP.clone(max_line_length=500)


def message_of(mail: Mail, sender: str) -> EmailMessage:
    """Plain text with HTML beside it. Raises ValueError where an address or the subject would break a header."""
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].rstrip("> ") or "localhost")
    # Nobody answers with "I am on holiday".
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message
