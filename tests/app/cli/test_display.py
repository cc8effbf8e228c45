import io
import re
from typing import Any

from rich.console import Console

from app.cli.display import display, outcome, status_line
from tests.app.cli.jobs_data import job, provider_data

COUNTS = {"total": 100, "pending": 100, "matched": 0, "partial": 0, "not_found": 0, "failed": 0, "cancelled": 0}
AWAY = provider_data("hunter", calls=20, errors=7, circuit="open", waiting_until="2026-11-21T09:31:05.000000Z")


def shown(*jobs: Any, terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120, color_system=None)
    with display(console, {"hunter": 2, "apollo": 3}) as screen:
        for each in jobs:
            screen.show(each)
    return file.getvalue()


def test_a_terminal_gets_a_table_of_the_providers():
    text = re.sub(r"\x1b\[\S*?[A-Za-z]", "", shown(job(), terminal=True))
    head, hunter, apollo = text.strip().splitlines()[-3:]
    assert head.split() == ["provider", "calls", "found", "errors", "circuit", "credits"]
    assert hunter.split() == ["hunter", "50", "31", "0", "closed", "62"]
    assert apollo.split() == ["apollo", "40", "10", "0", "closed", "30"]


def test_a_waiting_job_says_for_whom_and_until_when():
    waiting = job("waiting", waiting_for="outage", providers=[AWAY])
    assert status_line(waiting).startswith("waiting for hunter (outage) until ")
    assert status_line(waiting).endswith(":31:05")
    assert "open until" in shown(waiting, terminal=True)


def test_other_outputs_get_plain_lines_and_only_for_what_matters():
    a_little = {**COUNTS, "pending": 99, "matched": 1}
    lines = shown(
        job(counts=COUNTS, providers=[provider_data("hunter")]),
        job(counts=a_little, providers=[provider_data("hunter", calls=1)]),
        job("waiting", waiting_for="outage", counts=a_little, providers=[AWAY]),
        job("completed", finished_at="2026-11-21T09:31:00.000000Z"),
        terminal=False,
    ).splitlines()
    assert [line.split()[1].rstrip(";") for line in lines] == ["running", "waiting", "completed"]
    assert "\x1b" not in "".join(lines)


def test_the_work_done_grows_with_calls_and_with_ends():
    steps = [
        job(counts=COUNTS, providers=[provider_data("hunter"), provider_data("apollo")]),
        job(counts=COUNTS, providers=[provider_data("hunter", calls=100), provider_data("apollo")]),
        job(counts=COUNTS, providers=[provider_data("hunter", calls=100), provider_data("apollo", calls=50)]),
        job(providers=[provider_data("hunter", calls=130), provider_data("apollo", calls=50)]),
        job(counts={**COUNTS, "pending": 0, "matched": 100}),
    ]
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 1)


def test_the_end_is_told_in_one_line():
    ended = job("completed", finished_at="2026-11-21T09:30:12.500000Z")
    assert outcome(ended) == "100 records in 12.5 s: 30 matched, 6 partial, 3 not found, 1 failed; 72 credits."
