"""Mails: how they look, and the ways that they leave by."""

import asyncio
import email
import email.policy
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from app.errors import Unavailable
from app.local.ports import LOOPBACK, free_port
from app.logging import configure_logging
from app.mail.errors import MailRefused
from app.mail.letters import compose, link
from app.mail.mailers import DirectoryMailer, NoMailer, SmtpMailer, mailer_of
from app.mail.message import message_of
from app.mail.outgoing import Outgoing
from app.mail.ports import Mail
from app.settings import MailSettings

SENDER = "Holdfast <holdfast@example.com>"
MAIL = Mail("ada@example.com", "Grüße", "Hello, Ädа\n", "<p>Hello, Ädа</p>\n")


class SmtpServer:
    """Speaks as much SMTP as a client needs; `refuses` is the command that it answers with an error: always, or so
    many `times`."""

    def __init__(
        self,
        refuses: str | None = None,
        *,
        answer: bytes = b"550 5.1.1 <ada@example.com> no such user",
        times: int | None = None,
    ) -> None:
        self.refuses = refuses
        self.answer = answer
        self.left = times
        self.said: list[str] = []
        self.data = b""
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        while line := await reader.readline():
            command = line.decode().strip()
            self.said.append(command)
            if self.refuses is not None and command.startswith(self.refuses) and self.left != 0:
                self.left = None if self.left is None else self.left - 1
                writer.write(self.answer + b"\r\n")
            elif command.startswith("EHLO"):
                writer.write(b"250-test\r\n250 AUTH PLAIN\r\n")
            elif command.startswith("AUTH"):
                writer.write(b"235 welcome\r\n")
            elif command == "DATA":
                writer.write(b"354 go on\r\n")
                self.data = await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 taken\r\n")
            elif command == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n")
        writer.close()
        await writer.wait_closed()
        self.ended.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[MailSettings]:
        """The settings to reach it by; at the end its client must have gone."""
        server = await asyncio.start_server(self.serve, LOOPBACK, 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            yield MailSettings(sender=SENDER, smtp_host=LOOPBACK, smtp_port=port, smtp_tls="none")
            async with asyncio.timeout(30):
                await self.ended.wait()


def read(content: bytes) -> tuple[str, str]:
    """The plain text and the HTML of a mail."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    return plain.get_content().replace("\r\n", "\n"), html.get_content().replace("\r\n", "\n")


async def test_a_mail_becomes_a_file_that_its_owner_alone_can_read(tmp_path: Path):
    mailer = DirectoryMailer(tmp_path, SENDER)
    for _ in range(3):
        await mailer.send(MAIL)
    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert {(file.suffix, stat.S_IMODE(file.stat().st_mode)) for file in files} == {(".eml", 0o600)}
    assert read(files[0].read_bytes()) == (MAIL.text, MAIL.html)


async def test_a_directory_that_is_not_there_refuses(tmp_path: Path):
    with pytest.raises(MailRefused, match="No such file"):
        await DirectoryMailer(tmp_path / "nowhere", SENDER).send(MAIL)


async def test_a_mail_goes_to_an_smtp_server():
    server = SmtpServer()
    async with server.running() as settings:
        password = SecretStr("the-secret")
        await mailer_of(settings.model_copy(update={"smtp_username": "me", "smtp_password": password})).send(MAIL)
    assert "MAIL FROM:<holdfast@example.com>" in " ".join(server.said)
    assert "RCPT TO:<ada@example.com>" in server.said
    assert any(line.startswith("AUTH") for line in server.said)
    assert read(server.data) == (MAIL.text, MAIL.html)


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "AUTH"])
async def test_what_a_server_refuses_is_said_without_its_words(command: str):
    async with SmtpServer(command).running() as settings:
        password = SecretStr("the-secret")
        mailer = mailer_of(settings.model_copy(update={"smtp_username": "me", "smtp_password": password}))
        with pytest.raises(MailRefused) as refusal:
            await mailer.send(MAIL)
    assert "ada" not in refusal.value.message
    assert "secret" not in refusal.value.message


async def test_a_server_without_tls_gets_nothing_where_tls_is_wanted():
    server = SmtpServer()
    async with server.running() as settings:
        with pytest.raises(MailRefused):
            await mailer_of(settings.model_copy(update={"smtp_tls": "starttls"})).send(MAIL)
    assert not any(line.startswith(("AUTH", "MAIL", "RCPT")) for line in server.said)


async def test_a_server_that_is_away_refuses():
    settings = MailSettings(smtp_host=LOOPBACK, smtp_port=free_port(), smtp_tls="none")
    with pytest.raises(MailRefused):
        await SmtpMailer(settings, LOOPBACK).send(MAIL)


async def test_without_settings_no_mail_is_sent():
    with pytest.raises(MailRefused, match="HOLDFAST_MAIL__SMTP_HOST"):
        await mailer_of(MailSettings()).send(MAIL)


@pytest.mark.parametrize(
    "mail", [Mail("a@b.c\r\nBcc: eve@b.c", "x", "", ""), Mail("a@b.c", "x\r\nBcc: eve@b.c", "", "")]
)
def test_nothing_breaks_out_of_a_header(mail: Mail):
    with pytest.raises(ValueError, match=r"linefeed|invalid"):
        message_of(mail, SENDER)


def test_what_people_wrote_is_escaped_in_html():
    mail = compose(to="a@b.c", subject="s", paragraphs=["<b>&</b>"], action='"go"', url="https://x/?a=1&b=2")
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in mail.html
    assert 'href="https://x/?a=1&amp;b=2"' in mail.html
    assert "<b>&</b>" in mail.text
    assert "https://x/?a=1&b=2" in mail.text


def test_a_link_carries_its_token_where_no_server_sees_it():
    assert link("https://example.com/holdfast/", "magic-link", "abc") == (
        "https://example.com/holdfast/links/magic-link#token=abc"
    )


async def _mail() -> Mail:
    return MAIL


async def _nothing() -> None:
    return None


async def _broken() -> Mail:
    raise ValueError("ada@example.com")


async def test_mails_leave_behind_an_answer_and_are_counted(tmp_path: Path):
    registry = CollectorRegistry()
    mails = Outgoing(DirectoryMailer(tmp_path, SENDER), registry)
    for letter in (_mail, _nothing, _broken, _mail):
        mails.post(letter)
    assert list(tmp_path.iterdir()) == []
    await mails.drain()
    assert len(list(tmp_path.iterdir())) == 2
    assert registry.get_sample_value("holdfast_mails_total", {"outcome": "sent"}) == 2
    assert registry.get_sample_value("holdfast_mails_total", {"outcome": "failed"}) == 1


async def test_a_mail_that_fails_is_a_log_line_without_the_address(capsys: pytest.CaptureFixture[str]):
    configure_logging("INFO")
    registry = CollectorRegistry()
    mails = Outgoing(NoMailer(), registry)
    mails.post(_mail)
    await mails.close()
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "mail failed"
    assert "ada@" not in line
    assert registry.get_sample_value("holdfast_mails_total", {"outcome": "failed"}) == 1


async def test_a_server_that_defers_twice_gets_the_mail_with_the_third_try():
    server = SmtpServer("RCPT", answer=b"451 4.7.1 greylisted, come again", times=2)
    registry = CollectorRegistry()
    written = 0

    async def letter() -> Mail:
        nonlocal written
        written += 1
        return MAIL

    async with server.running() as settings:
        mails = Outgoing(mailer_of(settings), registry, pauses=(0.01, 0.02, 0.04))
        mails.post(letter)
        async with asyncio.timeout(60):
            await mails.drain()
    assert read(server.data) == (MAIL.text, MAIL.html)
    assert [line for line in server.said if line.startswith("RCPT")] == ["RCPT TO:<ada@example.com>"] * 3
    assert written == 1
    assert registry.get_sample_value("holdfast_mails_total", {"outcome": "deferred"}) == 2
    assert registry.get_sample_value("holdfast_mails_total", {"outcome": "sent"}) == 1


async def test_a_server_that_defers_for_ever_is_given_up():
    server = SmtpServer("RCPT", answer=b"451 4.7.1 greylisted, come again")
    registry = CollectorRegistry()
    async with server.running() as settings:
        mails = Outgoing(mailer_of(settings), registry, pauses=(0.01, 0.02))
        mails.post(_mail)
        async with asyncio.timeout(60):
            await mails.drain()
    assert len([line for line in server.said if line.startswith("RCPT")]) == 3
    assert registry.get_sample_value("holdfast_mails_total", {"outcome": "failed"}) == 1


async def test_what_a_server_refuses_for_good_is_not_tried_again():
    server = SmtpServer("RCPT")
    registry = CollectorRegistry()
    async with server.running() as settings:
        mails = Outgoing(mailer_of(settings), registry)
        mails.post(_mail)
        async with asyncio.timeout(60):
            await mails.drain()
    assert len([line for line in server.said if line.startswith("RCPT")]) == 1
    assert registry.get_sample_value("holdfast_mails_total", {"outcome": "failed"}) == 1


async def test_a_letter_that_could_not_be_written_for_now_is_written_again(tmp_path: Path):
    tries = 0

    async def letter() -> Mail:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Unavailable("The database is not available; try again.")
        return MAIL

    mails = Outgoing(DirectoryMailer(tmp_path, SENDER), CollectorRegistry(), pauses=(0.01,))
    mails.post(letter)
    async with asyncio.timeout(60):
        await mails.drain()
    assert len(list(tmp_path.iterdir())) == 1


async def test_a_mail_that_waits_takes_no_place_of_the_others(tmp_path: Path):
    directory, registry = tmp_path / "mails", CollectorRegistry()
    mails = Outgoing(DirectoryMailer(directory, SENDER), registry, drain_seconds=0.05, pauses=(3600,))
    for _ in range(10):
        mails.post(_mail)
    # Refused, because there is no such directory yet.
    async with asyncio.timeout(60):
        while registry.get_sample_value("holdfast_mails_total", {"outcome": "deferred"}) != 10:
            await asyncio.sleep(0.01)
    directory.mkdir()
    mails.post(_mail)
    async with asyncio.timeout(60):
        while not list(directory.glob("*.eml")):
            await asyncio.sleep(0.01)
        await mails.close()


async def test_what_cannot_leave_does_not_keep_the_process(tmp_path: Path):
    started = asyncio.Event()

    async def hangs() -> Mail:
        started.set()
        await asyncio.Event().wait()
        return MAIL

    mails = Outgoing(DirectoryMailer(tmp_path, SENDER), CollectorRegistry(), drain_seconds=0.05)
    mails.post(hangs)
    await started.wait()
    async with asyncio.timeout(2):
        await mails.close()
