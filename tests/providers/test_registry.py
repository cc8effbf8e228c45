"""The providers of an installation: which there are, and what becomes of those that cannot be used."""

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from app.provider_settings import BreakerSettings, DnsSettings, HunterSettings, ProvidersSettings, WebsiteSettings
from app.providers.errors import CredentialRejected, Outage
from app.providers.metrics import ProviderMetrics
from app.providers.ports import CircuitView, EnrichmentSource
from app.providers.registry import ADAPTERS, offers, open_sources
from app.settings import SettingsError
from tests.providers.stubs import company

KEY = SecretStr("planted-secret-41f0")


def test_offers_are_known_without_an_event_loop():
    offered = offers(ProvidersSettings(hunter=HunterSettings(api_key=KEY, credit_cost=7)))
    assert list(offered) == list(ADAPTERS)
    assert offered["hunter"].credit_cost == 7
    keyed = {name for name, offer in offered.items() if offer.capabilities.requires_credential}
    assert {"hunter", "apollo"} <= keyed
    assert {name for name, offer in offered.items() if offer.available} == offered.keys() - keyed | {"hunter"}


def test_an_empty_key_and_a_switched_off_provider_are_not_available():
    offered = offers(
        ProvidersSettings(hunter=HunterSettings(api_key=SecretStr("")), website=WebsiteSettings(enabled=False))
    )
    assert not offered["hunter"].available
    assert not offered["website"].available


async def test_every_provider_is_a_source_and_those_that_cannot_be_used_refuse():
    async with open_sources(ProvidersSettings(dns=DnsSettings(enabled=False))) as sources:
        assert sources.keys() == ADAPTERS.keys()
        assert all(isinstance(source, EnrichmentSource) for source in sources.values())
        for name in ("dns", "hunter", "apollo"):
            assert not sources[name].is_available
            with pytest.raises(CredentialRejected):
                await sources[name].look_up(company("acme.com"))


async def test_transitions_and_metrics_go_where_they_are_wanted():
    transitions: list[CircuitView] = []
    registry = CollectorRegistry()
    nobody = HunterSettings(base_url="http://127.0.0.1:1", api_key=KEY, breaker=BreakerSettings(fail_max=1, min_keys=1))
    async with open_sources(
        ProvidersSettings(hunter=nobody), metrics=ProviderMetrics(registry), on_transition=transitions.append
    ) as sources:
        with pytest.raises(Outage):
            await sources["hunter"].look_up(company("acme.com"))
    assert [(each.provider, each.state) for each in transitions] == [("hunter", "open")]
    labels = {"provider": "hunter", "outcome": "outage"}
    assert registry.get_sample_value("holdfast_provider_calls_total", labels) == 1


async def test_sources_can_be_opened_twice_in_a_process():
    async with open_sources(ProvidersSettings()), open_sources(ProvidersSettings()):
        pass


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        (ProvidersSettings(hunter=HunterSettings(base_url="api.hunter.io")), "HOLDFAST_PROVIDERS__HUNTER__BASE_URL"),
        (ProvidersSettings(dns=DnsSettings(resolver="localhost:53")), "HOLDFAST_PROVIDERS__DNS"),
    ],
)
def test_a_section_that_no_adapter_can_be_made_of_names_its_variable(settings: ProvidersSettings, variable: str):
    with pytest.raises(SettingsError, match=variable):
        offers(settings)


async def test_no_repr_of_a_source_shows_its_key():
    async with open_sources(ProvidersSettings(hunter=HunterSettings(api_key=KEY))) as sources:
        assert KEY.get_secret_value() not in repr(sources)
        assert KEY.get_secret_value() not in repr(vars(sources["hunter"]))


async def test_the_changes_of_a_circuit_are_counted_by_state():
    registry = CollectorRegistry()
    nobody = HunterSettings(base_url="http://127.0.0.1:1", api_key=KEY, breaker=BreakerSettings(fail_max=1, min_keys=1))
    async with open_sources(ProvidersSettings(hunter=nobody), metrics=ProviderMetrics(registry)) as sources:
        with pytest.raises(Outage):
            await sources["hunter"].look_up(company("acme.com"))
    labels = {"provider": "hunter", "state": "open"}
    assert registry.get_sample_value("holdfast_provider_circuit_transitions_total", labels) == 1
