"""The ways for mails to leave: by SMTP, as files, or not at all."""

import asyncio
import os
from pathlib import Path

import aiosmtplib

from app.db import new_id
from app.mail.errors import MailDeferred, MailRefused
from app.mail.message import message_of
from app.mail.ports import Mail, Mailer
from app.settings import MailSettings

_SMTP_SECONDS = 20
_PERMANENT = 500


def mailer_of(settings: MailSettings) -> Mailer:
    """The mailer that the settings ask for."""
    if settings.directory is not None:
        return DirectoryMailer(settings.directory, settings.sender)
    if settings.smtp_host is not None:
        return SmtpMailer(settings, settings.smtp_host)
    return NoMailer()


class NoMailer:
    """Refuses every mail: none of the settings says how one could leave."""

    async def send(self, mail: Mail) -> None:  # noqa: ARG002  # the port's
        raise MailRefused("No mail can be sent: set HOLDFAST_MAIL__SMTP_HOST.")


class DirectoryMailer:
    """Writes each mail as an ``.eml`` file, named in order of time, that its owner alone can read."""

    def __init__(self, directory: Path, sender: str) -> None:
        self._directory = directory
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        content = message_of(mail, self._sender).as_bytes()
        try:
            await asyncio.to_thread(self._write, content)
        except OSError as error:
            raise MailDeferred(f"The mail could not be written: {error.strerror}.") from error

    def _write(self, content: bytes) -> None:
        path = self._directory / f"{new_id()}.eml"
        # Under another name first: who looks for mails finds whole ones only.
        unfinished = path.with_suffix(".part")
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        unfinished.replace(path)


class SmtpMailer:
    """Hands each mail to an SMTP server, on a connection of its own."""

    def __init__(self, settings: MailSettings, host: str) -> None:
        self._settings = settings
        self._host = host

    async def send(self, mail: Mail) -> None:
        settings = self._settings
        password = settings.smtp_password
        try:
            await aiosmtplib.send(
                message_of(mail, settings.sender),
                hostname=self._host,
                port=settings.smtp_port,
                username=settings.smtp_username,
                password=password.get_secret_value() if password else None,
                use_tls=settings.smtp_tls == "implicit",
                # Demanded, where it is set: left to itself a connection that somebody tampers with stays in clear.
                start_tls=settings.smtp_tls == "starttls",
                timeout=_SMTP_SECONDS,
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            # What the server says may repeat the address, and is no caller's business.
            refusal = MailRefused if _is_final(error) else MailDeferred
            raise refusal(f"The mail server did not take the mail ({type(error).__name__}).") from error


def _is_final(error: Exception) -> bool:
    """RFC 5321, 4.2.1: 5yz is a "permanent negative completion", 4yz asks to be tried again (greylisting does)."""
    match error:
        case aiosmtplib.SMTPRecipientsRefused():
            return all(each.code >= _PERMANENT for each in error.recipients)
        case aiosmtplib.SMTPResponseException():
            return error.code >= _PERMANENT
    return isinstance(error, aiosmtplib.SMTPNotSupported)
