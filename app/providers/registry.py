"""The providers of this installation by name, each behind its gate. A new vendor is one adapter and one line here."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from app.providers.adapters.apollo import Apollo
from app.providers.adapters.dns import Dns
from app.providers.adapters.hunter import Hunter
from app.providers.adapters.website import Website
from app.providers.breaker import Breaker
from app.providers.gate import Adapter, GatedSource
from app.providers.metrics import ProviderMetrics
from app.providers.ports import CircuitView, Offer
from app.settings import PREFIX, ProviderSettings, ProvidersSettings, SettingsError

# Each takes its section of the settings, which has the same name.
ADAPTERS: Mapping[str, Callable[[Any], Adapter]] = {
    "website": Website,
    "dns": Dns,
    "hunter": Hunter,
    "apollo": Apollo,
}


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
        )
        for name, adapter, section in _adapters(settings)
    }


@asynccontextmanager
async def open_sources(
    settings: ProvidersSettings,
    *,
    metrics: CollectorRegistry | None = None,
    on_transition: Callable[[CircuitView], None] = lambda _: None,
) -> AsyncIterator[Mapping[str, GatedSource]]:
    """Every provider, also those that are switched off or lack a credential: they refuse all, so that work which was
    planned for them ends instead of waiting for ever. Connections open with the first call and close at the end.

    `metrics` is where the metrics are registered (None: in a registry of their own); `on_transition` hears of every
    change of a circuit and must not raise. Raises SettingsError for a section that no adapter can be made of.
    """
    families = ProviderMetrics(metrics or CollectorRegistry())
    async with AsyncExitStack() as stack:
        sources = {}
        for name, adapter, section in _adapters(settings):
            stack.push_async_callback(adapter.close)
            sources[name] = GatedSource(
                adapter,
                Breaker(name, section.breaker, on_transition=on_transition),
                families,
                concurrency=section.concurrency,
                is_enabled=section.enabled,
                has_credential=bool(section.api_key),
            )
        yield sources


def _adapters(settings: ProvidersSettings) -> list[tuple[str, Adapter, ProviderSettings]]:
    made = []
    for name, adapter in ADAPTERS.items():
        section: ProviderSettings = getattr(settings, name)
        if section.base_url is not None and not section.base_url.startswith(("http://", "https://")):
            raise SettingsError(f"{PREFIX}PROVIDERS__{name.upper()}__BASE_URL: must begin with http:// or https://")
        try:
            made.append((name, adapter(section), section))
        except ValueError as error:
            raise SettingsError(f"{PREFIX}PROVIDERS__{name.upper()}: {error}") from None
    return made
