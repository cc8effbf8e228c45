"""How many dead letters wait for people, as a metric of each worker."""

from prometheus_client import CollectorRegistry, Gauge

from app.db import Sessions
from app.deadletters import repository


class OpenLetters:
    """Counts the open letters of all workspaces, by process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge(
            "holdfast_dead_letters_open",
            "Dead letters that wait to be redriven or discarded.",
            ["process"],
            registry=registry,
        )

    async def sweep(self, platform_sessions: Sessions) -> None:
        """Look, once. Raises Unavailable."""
        async with platform_sessions.unscoped() as session:
            counts = await repository.count_open(session)
        for process, letters in counts.items():
            self._open.labels(process).set(letters)
