"""docs/adding-a-provider.md is true: the provider of its code passes what every provider has to."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import Field, SecretStr, create_model

from app import provider_settings as settings
from app.provider_settings import ProvidersSettings
from app.providers.errors import CredentialRejected, PaymentRequired
from app.providers.gate import GatedSource
from app.providers.registry import ADAPTERS, open_sources
from app.sandbox.server import VENDORS, Sandbox, SandboxOptions, Vendor, serve
from tests.providers import test_contract as contract
from tests.providers.conftest import API_KEY, Control

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-provider.md"
ADAPTER, SETTINGS, EMULATOR = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
NAME = "firmbook"


def module(code: str, **known: Any) -> ModuleType:
    made = ModuleType(f"the page's {NAME}")
    vars(made).update(known)
    exec(compile(code, str(PAGE), "exec", dont_inherit=True), vars(made))  # noqa: S102 - it is ours
    return made


@pytest.fixture
def section(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class of the settings, where the adapter imports it from."""
    made = module(
        SETTINGS,
        **{name: getattr(settings, name) for name in ("ProviderSettings", "QuotaWindow", "Annotated")},
        Field=Field,
    )
    monkeypatch.setattr(settings, "FirmbookSettings", made.FirmbookSettings, raising=False)
    return made.FirmbookSettings


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, section: Any) -> None:  # noqa: ARG001 - it is imported
    """The line in each registry, and the one in the contract."""
    emulator = module(EMULATOR)
    monkeypatch.setitem(ADAPTERS, NAME, module(ADAPTER).Firmbook)  # type: ignore[arg-type]
    monkeypatch.setitem(VENDORS, NAME, Vendor(emulator.Firmbook, emulator.FirmbookOptions))  # type: ignore[arg-type]
    monkeypatch.setitem(contract.MEANING, NAME, contract.VENDOR)  # type: ignore[arg-type]


@pytest.fixture
async def sandbox(lines: None) -> AsyncIterator[Sandbox]:  # noqa: ARG001
    running = await serve(SandboxOptions())
    yield running
    await running.close()


@pytest.fixture
def provider_settings(sandbox: Sandbox, section: Any) -> ProvidersSettings:
    at_the_sandbox = section(
        base_url=f"{sandbox.url}/{NAME}/v1", api_key=SecretStr(API_KEY), timeout_seconds=20, quotas=()
    )
    return create_model("WithOneMore", __base__=ProvidersSettings, **{NAME: (section, at_the_sandbox)})()


async def test_its_answers_are_what_was_promised(sources: Mapping[str, GatedSource]):
    await contract.test_what_is_found_is_canonical_and_promised(sources, NAME)
    await contract.test_what_is_not_found_is_an_answer(sources, NAME)
    await contract.test_the_same_subject_gets_the_same_answer(sources, NAME)


@pytest.mark.parametrize("mode", contract.VENDOR)
async def test_each_fault_has_its_meaning(
    sources: Mapping[str, GatedSource], hasty_sources: Mapping[str, GatedSource], control: Control, mode: str
):
    await contract.test_each_fault_has_its_meaning_and_shows_no_secret(sources, hasty_sources, control, NAME, mode)


async def test_a_fault_ends_and_a_cancelled_call_leaves_nothing(sources: Mapping[str, GatedSource], control: Control):
    await contract.test_it_recovers_when_the_fault_is_over(sources, control, NAME)
    await contract.test_a_cancelled_call_leaves_no_open_connection(sources, control, NAME)


async def test_nobody_there_is_an_outage(hasty_sources: Mapping[str, GatedSource], sandbox: Sandbox):
    await contract.test_nobody_there_is_an_outage(hasty_sources, sandbox, NAME)


async def test_money_is_spent_as_it_says(sources: Mapping[str, GatedSource], control: Control):
    await contract.test_a_miss_costs_what_it_says(sources, control, NAME)
    await contract.test_a_request_is_made_once_even_where_the_answer_got_lost(sources, control, NAME)
    await contract.test_an_outage_opens_the_circuit(sources, control, NAME)


@pytest.mark.parametrize(("key", "kind"), [("bad-key", CredentialRejected), ("poor-key", PaymentRequired)])
async def test_a_key_that_is_refused_is_no_outage(
    provider_settings: ProvidersSettings, key: str, kind: type[CredentialRejected | PaymentRequired]
):
    await contract.test_a_key_that_is_refused_is_no_outage(provider_settings, NAME, key, kind)


@pytest.mark.usefixtures("lines")
async def test_a_provider_without_a_section_in_the_settings_is_named():
    with pytest.raises(AttributeError, match=NAME):
        async with open_sources(ProvidersSettings()):
            pass
