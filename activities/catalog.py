"""Which activities each task queue serves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from activities.enrichment import Enrichment
from app.resources import WorkerResources
from workflows import options


def build(resources: WorkerResources) -> Mapping[str, Sequence[Callable[..., Any]]]:
    """Queue name, without the stack's prefix → its activities, bound to the resources of this process."""
    enrichment = Enrichment(resources.sessions, resources.sources, resources.settings.enrichment)
    return {
        options.DATABASE: [enrichment.plan, enrichment.settle],
        **{options.provider_queue(provider): [enrichment.lookup] for provider in resources.sources},
    }
