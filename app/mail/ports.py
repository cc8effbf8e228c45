"""Mail as the rest of the application sees it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one address. `html` says the same as `text`; who builds it has escaped what people wrote."""

    to: str
    subject: str
    text: str
    html: str


class Mailer(Protocol):
    """A way for mails to leave."""

    async def send(self, mail: Mail) -> None:
        """Hand the mail over. Raises MailRefused where it was not taken, MailDeferred where it may be later."""
        ...
