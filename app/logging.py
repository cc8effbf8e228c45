"""Logs: one JSON object a line on stdout, for our own lines and for those of the libraries.

Every line has `event`, `level`, `logger`, `timestamp`; inside a request `request_id` and `workspace_id`; inside a
workflow or an activity `workflow_id`, `run_id`, `task_queue`, `attempt` (and `activity_type`). No line has a secret.
"""

import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from threading import RLock
from typing import Any, TextIO

import structlog
from structlog.typing import Processor
from temporalio import activity, workflow

from app.redaction import is_harmless, redact_named

EventDict = MutableMapping[str, Any]

_ENCODER = json.JSONEncoder(ensure_ascii=False)

_LEVELS = logging.getLevelNamesMapping()

# Of whoever writes a line.
_stdout = RLock()

# The name of a detail in temporalio's logging → its name in our lines.
_TEMPORAL = {
    "workflow_id": "workflow_id",
    "run_id": "run_id",
    "workflow_run_id": "run_id",
    "activity_type": "activity_type",
    "attempt": "attempt",
    "task_queue": "task_queue",
}


def configure_logging(level: str) -> None:
    """Send all logs of this process, from `level` on, to stdout as JSON. To be called again changes the level."""
    structlog.configure(
        processors=_OURS,
        logger_factory=_Lines,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=True,
    )
    handler = _StdoutHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.PositionalArgumentsFormatter(), _lift_temporal],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_RENDERING],
        )
    )
    root = logging.getLogger()
    for former in [each for each in root.handlers if isinstance(each, _StdoutHandler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level)
    _adopt_libraries()


class _Lines:
    """Writes the lines of one of our loggers to what sys.stdout is at that moment."""

    def __init__(self, name: str) -> None:
        self.name = name

    def write(self, line: str) -> None:
        with _stdout:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    debug = info = warning = error = critical = write


class _StdoutHandler(logging.StreamHandler[TextIO]):
    """The same for the loggers of libraries."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    def createLock(self) -> None:  # noqa: N802  # logging's name
        self.lock = _stdout

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    @stream.setter
    def stream(self, _: TextIO) -> None:
        raise AttributeError("follows sys.stdout")


def _adopt_libraries() -> None:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    # Our own access line says more.
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    # It tells of each call, and whole bodies: of whom they are about, and addresses of pages that are for one person.
    logging.getLogger("stripe").setLevel(logging.WARNING)
    # The details go into fields, not into the text as well.
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False


def _filter_by_level(_logger: Any, method: str, event: EventDict) -> EventDict:
    if _LEVELS[method.upper()] < logging.root.level:
        raise structlog.DropEvent
    return event


def _add_activity(_logger: Any, _method: str, event: EventDict) -> EventDict:
    if activity.in_activity():
        info = activity.info()
        event.setdefault("workflow_id", info.workflow_id)
        event.setdefault("run_id", info.workflow_run_id)
        event.setdefault("activity_type", info.activity_type)
        event.setdefault("attempt", info.attempt)
        event.setdefault("task_queue", info.task_queue)
    return event


def _lift_temporal(_logger: Any, _method: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    for attribute in ("temporal_workflow", "temporal_activity"):
        details = getattr(record, attribute, None)
        if isinstance(details, Mapping):
            event.update({ours: details[theirs] for theirs, ours in _TEMPORAL.items() if theirs in details})
    return event


def _render(_logger: Any, _method: str, event: EventDict) -> str:
    # Nearly every line holds nothing that looks like a secret, which is seen faster of the whole than of its parts.
    with suppress(TypeError):
        line = _ENCODER.encode(event)
        if is_harmless(line):
            return line
    return _ENCODER.encode({name: redact_named(name, value) for name, value in event.items()})


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_RENDERING: list[Processor] = [structlog.processors.format_exc_info, _render]
# Our own lines do not pass through logging, which costs more than all else of a line. One list for as long as the
# process lives: loggers keep it.
_OURS: list[Processor] = [_filter_by_level, *_SHARED, _add_activity, *_RENDERING]
