"""What the children of a local stack are told of the providers."""

from pathlib import Path

import pytest

from app.local import environment
from app.local.environment import Addresses
from app.provider_settings import HunterSettings
from app.sandbox.__main__ import WEBHOOK_SECRET
from app.sandbox.stripe_meters import EVENT_NAME, METER
from app.settings import load_settings

ADDRESSES = Addresses(
    app_url="postgresql://app@127.0.0.1:1/holdfast",
    platform_url="postgresql://platform@127.0.0.1:1/holdfast",
    owner_url="postgresql://owner@127.0.0.1:1/holdfast",
    api_port=1,
    signing_key="key",
    encryption_key="a" * 43 + "=",
    webhook_secret="whsec_planted",
    mail_directory=Path("mail"),
    temporal_port=2,
    temporal_ui_port=3,
    sandbox_port=4,
    dns_port=5,
)


def loaded(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> HunterSettings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings().providers.hunter


def test_the_sandbox_has_no_quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    hunter = loaded(monkeypatch, environment.worker(ADDRESSES, metrics_port=6))
    assert hunter.quotas == ()


def test_both_providers_of_hunter_ask_its_one_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    hunter = loaded(monkeypatch, environment.worker(ADDRESSES, metrics_port=6))
    verifier = load_settings().providers.hunter_verifier
    assert verifier.base_url == hunter.base_url
    assert verifier.api_key == hunter.api_key
    assert verifier.quotas == ()


def test_quotas_that_the_user_has_set_hold_in_the_sandbox_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_PROVIDERS__HUNTER__QUOTAS", '[{"calls": 3, "seconds": 1}]')
    hunter = loaded(monkeypatch, environment.worker(ADDRESSES, metrics_port=6))
    assert [(window.calls, window.seconds) for window in hunter.quotas] == [(3, 1)]


def test_a_vendor_of_the_users_own_keeps_its_quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_PROVIDERS__HUNTER__BASE_URL", "https://api.hunter.io/v2")
    variables = environment.worker(ADDRESSES, metrics_port=6)
    hunter = loaded(monkeypatch, variables)
    assert [(window.calls, window.seconds) for window in hunter.quotas] == [(15, 1), (500, 60)]
    assert variables["HOLDFAST_PROVIDERS__APOLLO__QUOTAS"] == "[]"


def test_plans_are_sold_by_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(monkeypatch, environment.api(ADDRESSES))
    settings = load_settings()
    stripe = settings.providers.stripe
    assert (stripe.base_url, stripe.quotas) == ("http://127.0.0.1:4/stripe", ())
    assert stripe.api_key is not None
    assert (stripe.meter, stripe.meter_id) == (EVENT_NAME, METER)
    assert [secret.get_secret_value() for secret in settings.billing.webhook_secrets] == ["whsec_planted"]
    assert environment.sandbox(ADDRESSES)[WEBHOOK_SECRET] == "whsec_planted"


def test_an_account_of_the_users_own_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_PROVIDERS__STRIPE__API_KEY", "sk_live_own")
    loaded(monkeypatch, environment.api(ADDRESSES))
    settings = load_settings()
    assert environment.pays_elsewhere()
    assert settings.providers.stripe.base_url == "https://api.stripe.com"
    assert settings.billing.webhook_secrets == ()
