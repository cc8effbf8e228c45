"""Builders of jobs as the API tells them."""

from typing import Any

from app.cli.job import Job

JOB_ID = "01a1fdb9-1814-739f-862b-c81f81b9881e"


def job_data(status: str = "running", **changes: Any) -> dict[str, Any]:
    """A job of a hundred records; `changes` are members of the answer."""
    counts = {"total": 100, "pending": 60, "matched": 30, "partial": 6, "not_found": 3, "failed": 1, "cancelled": 0}
    return {
        "id": JOB_ID,
        "status": status,
        "waiting_for": None,
        "error": None,
        "counts": counts,
        "credits": {"held": 100, "charged": 72},
        "providers": [provider_data("hunter", calls=50, matches=31), provider_data("apollo", calls=40, matches=10)],
        "workflow": {"id": "enrichment-job/1", "run_id": None, "url": None},
        "created_at": "2026-11-21T09:30:00.000000Z",
        "started_at": "2026-11-21T09:30:00.200000Z",
        "finished_at": None,
    } | changes


def provider_data(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "calls": 0,
        "matches": 0,
        "errors": 0,
        "circuit": "closed",
        "waiting_until": None,
    } | changes


def job(status: str = "running", **changes: Any) -> Job:
    return Job.of(job_data(status, **changes))
