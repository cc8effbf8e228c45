"""Which activities each task queue serves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from activities.credentials import Credentials
from activities.enrichment import Enrichment
from activities.ledger import Ledger
from activities.workspaces import Closing
from app.credentials.opening import Opener
from app.credits.audit import Differences
from app.resources import WorkerResources
from workflows import options


def build(resources: WorkerResources) -> Mapping[str, Sequence[Callable[..., Any]]]:
    """Queue name, without the stack's prefix → its activities, bound to the resources of this process."""
    opener = Opener.of(resources.settings.credentials)
    enrichment = Enrichment(resources.sessions, resources.sources, opener, resources.settings.enrichment)
    credentials = Credentials(resources.sessions, resources.sources, opener)
    closing = Closing(resources.sessions)
    ledger = Ledger(resources.sessions, resources.platform_sessions, Differences(resources.metrics))
    return {
        options.DATABASE: [
            enrichment.plan,
            enrichment.waits,
            enrichment.settle,
            ledger.audit_accounts,
            ledger.audit_charges,
            closing.cancel_jobs,
            closing.finish_closing,
            credentials.give_up,
        ],
        **{options.provider_queue(provider): [enrichment.lookup, credentials.verify] for provider in resources.sources},
    }
