"""What a process holds open: database pools, the Temporal client, the providers. Opened by its entry point, closed at
its end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from app import temporal
from app.cache import Cache, open_cache
from app.db import Sessions, create_engine
from app.mail.mailers import mailer_of
from app.mail.outgoing import Outgoing
from app.mail.ports import Mailer
from app.metrics import new_registry
from app.notices import Notices
from app.plan_limits.limits import LimitsByPlan
from app.providers.adapters.webhooks import HttpDeliverer
from app.providers.circuits import SharedCircuits, Told, nobody
from app.providers.health import report_health
from app.providers.metrics import ProviderMetrics
from app.providers.payments import PaymentsApi
from app.providers.ports import Deliverer, EnrichmentSource, Offer
from app.providers.quotas import SharedQuotas
from app.providers.registry import CIRCUITS, offers, open_payments, open_sources
from app.settings import Settings, SettingsError


@dataclass(frozen=True, slots=True)
class ApiResources:
    """The API starts and queries workflows: no provider is called from its process. `circuits` are the names of the
    providers that have one. `plan_limits` is None where no plans are sold, and nothing is limited by one."""

    settings: Settings
    sessions: Sessions
    temporal: Client
    offers: Mapping[str, Offer]
    circuits: Collection[str]
    started_at: datetime
    mails: Outgoing
    cache: Cache
    notices: Notices
    plan_limits: LimitsByPlan | None = None


@dataclass(frozen=True, slots=True)
class WorkerResources:
    """`platform_sessions` are the relay's and the sweeps': their role sees every workspace. `reports` is what keeps
    the table of provider health up to date, to be run for as long as the process lives, and `circuits` and
    `quotas` what keeps circuits and quotas in step with those of the other workers. `payments` is None where there is
    no key to the payment provider, and so no billing."""

    settings: Settings
    sessions: Sessions
    platform_sessions: Sessions
    platform_engine: AsyncEngine
    temporal: Client
    sources: Mapping[str, EnrichmentSource]
    metrics: CollectorRegistry
    reports: Callable[[], Coroutine[Any, Any, None]]
    circuits: SharedCircuits
    quotas: SharedQuotas
    deliverer: Deliverer
    mailer: Mailer
    watched: dict[UUID, asyncio.Event]
    payments: PaymentsApi | None
    plan_limits: LimitsByPlan | None = None


@asynccontextmanager
async def open_api(
    settings: Settings, metrics: CollectorRegistry | None = None, limits: LimitsByPlan | None = None
) -> AsyncIterator[ApiResources]:
    """Nothing that it opens must be up: each call fails, and recovers, on its own. `limits` are those of the plans that
    are sold where there is a key to the payment provider."""
    async with AsyncExitStack() as stack:
        engine = await _engine(stack, settings, settings.database_url, "api")
        client = await temporal.connect(settings.temporal, lazy=True)
        metrics = new_registry() if metrics is None else metrics
        mails = Outgoing(mailer_of(settings.mail), metrics)
        stack.push_async_callback(mails.close)
        cache = open_cache(settings.redis_url, metrics)
        stack.push_async_callback(cache.close)
        notices = Notices(engine)
        stack.push_async_callback(notices.close)
        yield ApiResources(
            settings,
            Sessions(engine),
            client,
            offers(settings.providers),
            CIRCUITS,
            datetime.now(UTC),
            mails,
            cache,
            notices,
            limits if settings.providers.stripe.api_key is not None else None,
        )


@asynccontextmanager
async def open_worker(
    settings: Settings, told: Told = nobody, limits: LimitsByPlan | None = None
) -> AsyncIterator[WorkerResources]:
    """`told` hears of each change of a circuit, in the transaction of the platform's role that stores it. `limits` are
    those of the plans, as for the API.

    Raises SettingsError without HOLDFAST_PLATFORM_DATABASE_URL, Unavailable where Temporal cannot be reached.
    """
    if settings.platform_database_url is None:
        raise SettingsError("HOLDFAST_PLATFORM_DATABASE_URL: Field required")
    async with AsyncExitStack() as stack:
        engine = await _engine(stack, settings, settings.database_url, "worker")
        platform = await _engine(stack, settings, settings.platform_database_url, "worker platform")
        client = await temporal.connect(settings.temporal, lazy=False)
        metrics = new_registry()
        shared = SharedCircuits(Sessions(platform), platform, told)
        quotas = SharedQuotas(Sessions(engine), engine)
        calls = ProviderMetrics(metrics)
        sources = await stack.enter_async_context(
            open_sources(settings.providers, metrics=calls, shared=shared, quotas=quotas)
        )
        payments = await stack.enter_async_context(
            open_payments(settings.providers.stripe, metrics=calls, shared=shared, quotas=quotas)
        )
        deliverer = HttpDeliverer(settings.webhooks)
        stack.push_async_callback(deliverer.close)
        await shared.restore()
        yield WorkerResources(
            settings,
            Sessions(engine),
            Sessions(platform),
            platform,
            client,
            sources,
            metrics,
            partial(report_health, Sessions(engine), sources),
            shared,
            quotas,
            deliverer,
            mailer_of(settings.mail),
            {},
            payments,
            limits if payments is not None else None,
        )


async def _engine(stack: AsyncExitStack, settings: Settings, url: SecretStr, application: str) -> AsyncEngine:
    engine = create_engine(url, settings.database, application=application)
    stack.push_async_callback(engine.dispose)
    return engine
