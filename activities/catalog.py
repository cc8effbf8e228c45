"""Which activities each task queue serves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from activities.billing import Billing
from activities.checkout import Checkout
from activities.credentials import Credentials
from activities.deadletters import Redriving
from activities.enrichment import Enrichment
from activities.erasures import Erasures
from activities.ledger import Ledger
from activities.reconciliation import Reconciling
from activities.usage import Usage
from activities.webhooks import Webhooks
from activities.workspaces import Closing
from app.billing.plans import load_plans
from app.billing.reconciliation import Comparison
from app.billing.usage import Reporter
from app.credentials.opening import Opener
from app.credits.audit import Differences
from app.deadletters import deliveries
from app.providers.payments import PaymentsApi
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
    closing = Closing(resources.sessions, sells_plans=resources.payments is not None)
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
    payments = resources.payments
    return {
        options.WORKFLOWS: [enrichment.plan],
        options.DATABASE: [
            enrichment.plan,
            enrichment.waits,
            enrichment.settle,
            ledger.audit_accounts,
            ledger.audit_charges,
            closing.cancel_jobs,
            closing.erase_secrets,
            closing.finish_closing,
            credentials.give_up,
            erasures.erase_records,
            erasures.erase_raw_answers,
            erasures.erase_events,
            erasures.erase_remembered_answers,
            erasures.finish_erasure,
            redriving.redrive_records,
            redriving.redrive_deliveries,
            redriving.redrive_usage,
            redriving.finish_redrive,
            *([] if payments is None else _of_billing(resources, payments)),
        ],
        options.DELIVERY: [webhooks.deliver, webhooks.tell_owners],
        **{options.provider_queue(provider): [enrichment.lookup, credentials.verify] for provider in resources.sources},
        **({} if payments is None else {options.provider_queue("stripe"): _of_payments(resources, payments)}),
    }


def _of_payments(resources: WorkerResources, payments: PaymentsApi) -> Sequence[Callable[..., Any]]:
    """What calls the payment provider."""
    settings = resources.settings
    plans = load_plans(settings.billing.plans_file)
    billing = Billing(
        resources.sessions, payments, plans, settings.billing, low_threshold=settings.credits.low_threshold
    )
    checkout = Checkout(resources.sessions, payments)
    return [
        billing.sync,
        checkout.open_page,
        checkout.cancel_subscriptions,
        _reconciling(resources, payments).compare,
        _usage(resources, payments).report,
    ]


def _of_billing(resources: WorkerResources, payments: PaymentsApi) -> Sequence[Callable[..., Any]]:
    """What billing has to do in our own rows alone."""
    reconciling = _reconciling(resources, payments)
    return [
        reconciling.begin,
        reconciling.corrections,
        reconciling.finish,
        _usage(resources, payments).close,
        Checkout(resources.sessions, payments).give_up,
    ]


def _reconciling(resources: WorkerResources, payments: PaymentsApi) -> Reconciling:
    comparison = Comparison(resources.sessions, resources.platform_sessions, payments)
    return Reconciling(resources.platform_sessions, comparison)


def _usage(resources: WorkerResources, payments: PaymentsApi) -> Usage:
    reporter = Reporter(resources.sessions, resources.platform_sessions, payments)
    return Usage(resources.sessions, resources.platform_sessions, reporter)
