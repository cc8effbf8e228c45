"""Mails that leave behind an answer: whoever asks for one learns nothing from how long it takes."""

from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import CollectorRegistry, Counter

from app.errors import AppError
from app.mail.ports import Mail, Mailer
from app.tasks import BackgroundTasks

# At a time, so that they leave the pool's other connections to requests.
_AT_A_TIME = 4
_MAX_WAITING = 1000
_DRAIN_SECONDS = 5

_log = structlog.get_logger(__name__)

Letter = Callable[[], Awaitable[Mail | None]]
"""Writes a mail, after looking up what belongs into it; None where there is none to send."""


class Outgoing:
    """Sends mails in the background of one process. What fails is logged and counted, and not tried again: people ask
    again. A process that is killed loses those that wait."""

    def __init__(self, mailer: Mailer, registry: CollectorRegistry, *, drain_seconds: float = _DRAIN_SECONDS) -> None:
        self._mailer = mailer
        self._drain_seconds = drain_seconds
        self._tasks = BackgroundTasks(_AT_A_TIME)
        self._mails = Counter("holdfast_mails", "Mails, by what became of them.", ("outcome",), registry=registry)

    def post(self, letter: Letter) -> None:
        """Write the mail and send it, some time after this call. Never raises and never waits."""
        if len(self._tasks) >= _MAX_WAITING:
            self._mails.labels("dropped").inc()
            _log.error("mail dropped", waiting=len(self._tasks))
            return
        self._tasks.start(lambda: self._send(letter))

    async def drain(self) -> None:
        """Wait until all that was posted has left or failed."""
        await self._tasks.drain()

    async def close(self) -> None:
        """Give what waits a few seconds to leave."""
        await self._tasks.close(self._drain_seconds)

    async def _send(self, letter: Letter) -> None:
        try:
            mail = await letter()
            if mail is None:
                return
            await self._mailer.send(mail)
        except AppError as error:
            self._mails.labels("failed").inc()
            _log.error("mail failed", error=error.message, cause=type(error.__cause__).__name__)
        except Exception:  # noqa: BLE001  # a task that nobody awaits would fail without a word
            self._mails.labels("failed").inc()
            _log.exception("mail failed")
        else:
            self._mails.labels("sent").inc()
