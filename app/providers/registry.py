"""The providers of this installation by name, each behind its gate. A new vendor is one adapter and one line here."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from app.provider_settings import (
    BreakerSettings,
    GateSettings,
    ProviderSettings,
    ProvidersSettings,
    StripeSettings,
)
from app.providers import normalise
from app.providers.adapters.apollo import Apollo
from app.providers.adapters.clearbit import Clearbit
from app.providers.adapters.dns import Dns
from app.providers.adapters.edgar import Edgar
from app.providers.adapters.github import Github
from app.providers.adapters.gleif import Gleif
from app.providers.adapters.hunter import Hunter
from app.providers.adapters.hunter_verifier import HunterVerifier
from app.providers.adapters.peopledatalabs import PeopleDataLabs
from app.providers.adapters.rdap import Rdap
from app.providers.adapters.stripe import Stripe
from app.providers.adapters.website import Website
from app.providers.adapters.wikidata import Wikidata
from app.providers.circuit import Circuit
from app.providers.circuits import SharedCircuits
from app.providers.gate import Adapter, GatedSource
from app.providers.gated_payments import GatedPayments
from app.providers.metrics import ProviderMetrics
from app.providers.payments import PaymentsApi
from app.providers.ports import CircuitView, Offer
from app.providers.quota import Quota
from app.providers.quotas import SharedQuotas
from app.settings import PREFIX, SettingsError

# Each takes its section of the settings, which has the same name.
ADAPTERS: Mapping[str, Callable[[Any], Adapter]] = {
    "website": Website,
    "dns": Dns,
    "rdap": Rdap,
    "gleif": Gleif,
    "wikidata": Wikidata,
    "edgar": Edgar,
    "github": Github,
    "hunter": Hunter,
    "hunter_verifier": HunterVerifier,
    "apollo": Apollo,
    "clearbit": Clearbit,
    "peopledatalabs": PeopleDataLabs,
}
# The payment provider, by the name of its section.
PAYMENTS = Stripe.name

# Those that have a circuit, which outages are of and operators can steer.
CIRCUITS: Collection[str] = (*ADAPTERS, PAYMENTS)

log = structlog.get_logger(__name__)

# An answer that takes more of the time it may take than this counts as late.
_SLOW_SHARE = 0.8


def offers(settings: ProvidersSettings) -> Mapping[str, Offer]:
    """What the installation offers of each provider. Opens nothing and needs no event loop.

    Raises SettingsError for a section that no adapter can be made of.
    """
    return {
        name: Offer(
            name,
            adapter.capabilities,
            adapter.credit_cost,
            available=section.enabled and (not adapter.capabilities.requires_credential or bool(section.api_key)),
            enabled=section.enabled,
            own_credential_cost=section.own_credential_cost,
            limits=[(window.calls, window.seconds) for window in section.quotas],
            by_default=section.by_default,
        )
        for name, adapter, section in _adapters(settings)
    }


@asynccontextmanager
async def open_sources(
    settings: ProvidersSettings,
    *,
    metrics: ProviderMetrics | None = None,
    shared: SharedCircuits | None = None,
    quotas: SharedQuotas | None = None,
    on_transition: Callable[[CircuitView], None] = lambda _: None,
) -> AsyncIterator[Mapping[str, GatedSource]]:
    """Every provider, also those that are switched off or lack a credential: they refuse all, so that work which was
    planned for them ends instead of waiting for ever. Connections open with the first call and close at the end.

    `metrics` counts the calls (None: in a registry of its own); `shared` are the circuits of all
    processes, which these join (None: each decides alone); `quotas` keeps the quotas of all processes (None: there are
    none); `on_transition` hears of every change that a circuit makes here and must not raise. Raises SettingsError for
    a section that no adapter can be made of.
    """
    normalise.load_lists()
    families = metrics or ProviderMetrics(CollectorRegistry())
    async with AsyncExitStack() as stack:
        sources = {}
        for name, adapter, section in _adapters(settings):
            stack.push_async_callback(adapter.close)
            breaker = section.breaker if adapter.capabilities.asks_named_hosts else _unless_slow(section)
            circuit = _circuit(name, breaker, adapter.timeout_seconds, families, shared, on_transition)
            quota = _quota(stack, name, section, quotas)
            sources[name] = GatedSource(
                adapter,
                circuit,
                families,
                quota=quota,
                concurrency=section.concurrency,
                is_enabled=section.enabled,
                has_credential=bool(section.api_key),
            )
        yield sources


@asynccontextmanager
async def open_payments(
    settings: StripeSettings,
    *,
    metrics: ProviderMetrics | None = None,
    shared: SharedCircuits | None = None,
    quotas: SharedQuotas | None = None,
    on_transition: Callable[[CircuitView], None] = lambda _: None,
) -> AsyncIterator[PaymentsApi | None]:
    """The payment provider; None without a key to it. Connections open with the first call and close at the end.

    The parameters are those of `open_sources`. Raises SettingsError for a section that no adapter can be made of.
    """
    if settings.api_key is None:
        yield None
        return
    families = metrics or ProviderMetrics(CollectorRegistry())
    _check_base_url(PAYMENTS, settings)
    async with AsyncExitStack() as stack:
        try:
            adapter = Stripe(settings)
        except ValueError as error:
            raise SettingsError(f"{PREFIX}PROVIDERS__{PAYMENTS.upper()}: {error}") from None
        stack.push_async_callback(adapter.close)
        breaker = _unless_slow(settings)
        circuit = _circuit(adapter.name, breaker, adapter.timeout_seconds, families, shared, on_transition)
        quota = _quota(stack, adapter.name, settings, quotas)
        yield GatedPayments(
            adapter,
            circuit,
            families,
            quota=quota,
            concurrency=settings.concurrency,
            is_enabled=settings.enabled,
        )


def _circuit(
    name: str,
    breaker: BreakerSettings,
    call_seconds: float,
    metrics: ProviderMetrics,
    shared: SharedCircuits | None,
    on_transition: Callable[[CircuitView], None],
) -> Circuit:
    circuit = Circuit(
        name,
        breaker,
        shared=shared,
        call_seconds=call_seconds,
        on_transition=partial(_transition, metrics, on_transition),
    )
    if shared is not None:
        shared.add(circuit)
    return circuit


def _quota(stack: AsyncExitStack, name: str, section: GateSettings, quotas: SharedQuotas | None) -> Quota:
    quota = Quota(name, section.quotas, quotas)
    stack.push_async_callback(quota.close)
    if quotas is not None:
        quotas.add(quota)
    return quota


def _transition(metrics: ProviderMetrics, on_transition: Callable[[CircuitView], None], view: CircuitView) -> None:
    log.warning("circuit changed", provider=view.provider, state=view.state, opens_until=view.opens_until)
    metrics.transition(view)
    on_transition(view)


def _unless_slow(section: GateSettings) -> BreakerSettings:
    if section.breaker.slow_seconds is not None:
        return section.breaker
    return section.breaker.model_copy(update={"slow_seconds": _SLOW_SHARE * section.timeout_seconds})


def _adapters(settings: ProvidersSettings) -> list[tuple[str, Adapter, ProviderSettings]]:
    made = []
    for name, adapter in ADAPTERS.items():
        section: ProviderSettings = getattr(settings, name)
        _check_base_url(name, section)
        try:
            made.append((name, adapter(section), section))
        except ValueError as error:
            raise SettingsError(f"{PREFIX}PROVIDERS__{name.upper()}: {error}") from None
    return made


def _check_base_url(name: str, section: GateSettings) -> None:
    if section.base_url is not None and not section.base_url.startswith(("http://", "https://")):
        raise SettingsError(f"{PREFIX}PROVIDERS__{name.upper()}__BASE_URL: must begin with http:// or https://")
