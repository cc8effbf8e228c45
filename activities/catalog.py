"""Which activities each task queue serves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from activities.credentials import Credentials
from activities.deadletters import Redriving
from activities.enrichment import Enrichment
from activities.erasures import Erasures
from activities.ledger import Ledger
from activities.webhooks import Webhooks
from activities.workspaces import Closing
from app.credentials.opening import Opener
from app.credits.audit import Differences
from app.deadletters import deliveries
from app.providers.registry import offers
from app.resources import WorkerResources
from app.webhooks.deliver import Courier, Listeners
from workflows import options


def build(resources: WorkerResources) -> Mapping[str, Sequence[Callable[..., Any]]]:
    """Queue name, without the stack's prefix → its activities, bound to the resources of this process. Those of the
    workflows' own queue are done at hand."""
    settings = resources.settings
    opener = Opener.of(settings.credentials)
    enrichment = Enrichment(
        resources.sessions, resources.sources, opener, settings.enrichment, keeps_raw=settings.raw_retention_days > 0
    )
    credentials = Credentials(resources.sessions, resources.sources, opener)
    closing = Closing(resources.sessions)
    erasures = Erasures(resources.sessions)
    redriving = Redriving(
        resources.sessions,
        offers(settings.providers),
        settings.enrichment,
        low_threshold=settings.credits.low_threshold,
    )
    courier = Courier(
        resources.sessions,
        resources.deliverer,
        opener,
        settings.webhooks,
        resources.metrics,
        resources.watched,
        Listeners(deliveries.gave_up, deliveries.delivered),
    )
    webhooks = Webhooks(resources.sessions, courier, resources.mailer, public_url=settings.public_url)
    ledger = Ledger(resources.sessions, resources.platform_sessions, Differences(resources.metrics))
    return {
        options.WORKFLOWS: [enrichment.plan],
        options.DATABASE: [
            enrichment.plan,
            enrichment.waits,
            enrichment.settle,
            ledger.audit_accounts,
            ledger.audit_charges,
            closing.cancel_jobs,
            closing.finish_closing,
            credentials.give_up,
            erasures.erase_records,
            erasures.erase_raw_answers,
            erasures.erase_events,
            erasures.erase_remembered_answers,
            erasures.finish_erasure,
            redriving.redrive_records,
            redriving.redrive_deliveries,
            redriving.finish_redrive,
        ],
        options.DELIVERY: [webhooks.deliver, webhooks.tell_owners],
        **{options.provider_queue(provider): [enrichment.lookup, credentials.verify] for provider in resources.sources},
    }
