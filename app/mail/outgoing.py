"""Mails that leave behind an answer: whoever asks for one learns nothing from how long it takes."""

from collections.abc import Awaitable, Callable, Sequence

import structlog
from prometheus_client import CollectorRegistry, Counter

from app.errors import AppError
from app.mail.ports import Mail, Mailer
from app.tasks import BackgroundTasks

# At a time, so that they leave the pool's other connections to requests.
_AT_A_TIME = 4
_MAX_WAITING = 1000
_DRAIN_SECONDS = 5
# Before each further try: less than five minutes in all, because the links of most mails are good for fifteen.
_PAUSES_SECONDS = (5.0, 20.0, 60.0, 180.0)

_log = structlog.get_logger(__name__)

Letter = Callable[[], Awaitable[Mail | None]]
"""Writes a mail, after looking up what belongs into it; None where there is none to send."""


class Outgoing:
    """Sends mails in the background of one process. What fails for now is tried again after each of `pauses`, what
    fails in the end is logged and counted: people ask again. A process that ends loses those that wait."""

    def __init__(
        self,
        mailer: Mailer,
        registry: CollectorRegistry,
        *,
        drain_seconds: float = _DRAIN_SECONDS,
        pauses: Sequence[float] = _PAUSES_SECONDS,
    ) -> None:
        self._mailer = mailer
        self._drain_seconds = drain_seconds
        self._pauses = pauses
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

    async def _send(self, letter: Letter, tries: int = 0) -> None:
        mail: Mail | None = None
        try:
            mail = await letter()
            if mail is None:
                return
            await self._mailer.send(mail)
        except AppError as error:
            if error.retryable and tries < len(self._pauses):
                self._try_again(letter, mail, tries, error)
                return
            self._mails.labels("failed").inc()
            _log.error("mail failed", error=error.message, cause=type(error.__cause__).__name__, tries=tries + 1)
        except Exception:  # noqa: BLE001  # a task that nobody awaits would fail without a word
            self._mails.labels("failed").inc()
            _log.exception("mail failed")
        else:
            self._mails.labels("sent").inc()

    def _try_again(self, letter: Letter, mail: Mail | None, tries: int, error: AppError) -> None:
        async def written() -> Mail | None:
            # Writing it once more would make another link.
            return mail or await letter()

        pause = self._pauses[tries]
        _log.warning("mail deferred", error=error.message, cause=type(error.__cause__).__name__, seconds=pause)
        self._mails.labels("deferred").inc()
        self._tasks.start(lambda: self._send(written, tries + 1), after_seconds=pause)
