"""Keys that a query brings: used for its own call, refused for its own workspace, and of no account to the others."""

from collections.abc import Mapping

import pytest
from pydantic import SecretStr

from app.provider_settings import ProvidersSettings
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    Outage,
    PaymentRequired,
    ProviderError,
    RateLimited,
)
from app.providers.gate import GatedSource
from app.providers.ports import Found, Missed, Pending, Query
from app.providers.registry import open_sources
from app.sandbox.server import Sandbox
from tests.providers.conftest import Control
from tests.providers.stubs import answer, company, person, serving

OWN_KEY = SecretStr("own-secret-77d0")
PAID = ["apollo", "clearbit", "hunter", "peopledatalabs"]
QUERIES = [company("acme.com"), person(email="ana@acme.com"), person(full_name="Ana Roe", domain="acme.com")]
Sources = Mapping[str, GatedSource]


def asking(domain: str, key: str) -> Query:
    return Query("company", f"domain:{domain}", {"domain": domain}, None, SecretStr(key))


def without_keys(settings: ProvidersSettings) -> ProvidersSettings:
    sections = {name: getattr(settings, name).model_copy(update={"api_key": None}) for name in PAID}
    return settings.model_copy(update=sections)


@pytest.mark.parametrize(
    ("name", "query"),
    [(name, query) for query in QUERIES for name in PAID if name != "clearbit" or "full_name" not in query.subject],
)
async def test_the_key_of_a_query_goes_out_in_place_of_the_installations(
    provider_settings: ProvidersSettings, name: str, query: Query
):
    async with serving(answer(200, b'{"data": {}}')) as server:
        section = getattr(provider_settings, name).model_copy(update={"base_url": server.url})
        async with open_sources(provider_settings.model_copy(update={name: section})) as sources:
            await sources[name].look_up(Query(query.entity, query.key, query.subject, None, OWN_KEY))
            await sources[name].look_up(query)
    own, plain = server.requests
    platform = section.api_key.get_secret_value()
    assert (own.count(OWN_KEY.get_secret_value()), platform in own) == (1, False)
    assert (plain.count(platform), OWN_KEY.get_secret_value() in plain) == (1, False)


@pytest.mark.parametrize("name", PAID)
async def test_a_key_of_its_own_is_enough_where_the_installation_has_none(
    provider_settings: ProvidersSettings, name: str
):
    async with open_sources(without_keys(provider_settings)) as sources:
        with pytest.raises(CredentialRejected):
            await sources[name].look_up(company("acme.com"))
        assert isinstance(await sources[name].look_up(asking("acme.com", "own-key")), Found | Missed | Pending)
        await sources[name].verify(OWN_KEY)


@pytest.mark.parametrize("name", PAID)
async def test_a_provider_that_is_switched_off_takes_no_key(provider_settings: ProvidersSettings, name: str):
    section = getattr(provider_settings, name).model_copy(update={"enabled": False})
    async with open_sources(provider_settings.model_copy(update={name: section})) as sources:
        with pytest.raises(CredentialRejected):
            await sources[name].look_up(asking("acme.com", "own-key"))
        with pytest.raises(CredentialRejected):
            await sources[name].verify(OWN_KEY)


@pytest.mark.parametrize("name", PAID)
async def test_a_hundred_refusals_of_one_workspace_leave_the_others_their_provider(
    sources: Sources, control: Control, name: str
):
    for number in range(100):
        with pytest.raises(CredentialRejected):
            await sources[name].look_up(asking(f"company-{number}.com", "bad-key"))
    assert sources[name].circuit().state == "closed"
    for number in range(20):
        assert isinstance(await sources[name].look_up(company(f"company-{number}.com")), Found | Missed | Pending)
    assert sources[name].stats().success_rate == 1.0

    # Nor do they hide an outage that the others run into.
    await control("PUT", f"/_faults/{name}", mode="outage")
    for number in range(5):
        with pytest.raises(Outage):
            await sources[name].look_up(company(f"company-{number}.com"))
    assert sources[name].circuit().state == "open"


@pytest.mark.parametrize("name", ["website", "dns", "rdap", "github"])
async def test_a_provider_that_knows_no_keys_verifies_none(sources: Sources, name: str):
    with pytest.raises(CredentialRejected):
        await sources[name].verify(OWN_KEY)


@pytest.mark.parametrize(
    ("name", "key", "kind"),
    [
        ("hunter", "bad-key", CredentialRejected),
        ("hunter", "poor-key", PaymentRequired),
        ("apollo", "bad-key", CredentialRejected),
        ("apollo", "poor-key", PaymentRequired),
        ("apollo", "scoped-key", CredentialRejected),
        ("clearbit", "bad-key", CredentialRejected),
        ("clearbit", "scoped-key", CredentialRejected),
        ("peopledatalabs", "bad-key", CredentialRejected),
        ("peopledatalabs", "poor-key", PaymentRequired),
        ("peopledatalabs", "scoped-key", CredentialRejected),
    ],
)
async def test_a_check_says_that_a_key_is_refused(sources: Sources, name: str, key: str, kind: type[ProviderError]):
    with pytest.raises(kind):
        await sources[name].verify(SecretStr(key))
    assert sources[name].circuit().state == "closed"


@pytest.mark.parametrize("name", PAID)
async def test_a_check_of_a_good_key_costs_nothing(sandbox: Sandbox, sources: Sources, control: Control, name: str):
    assert sandbox.http_port
    await sources[name].verify(OWN_KEY)
    assert (await control("GET", "/_calls"))[name]["charged"] == 0


@pytest.mark.parametrize(
    ("name", "said", "kind"),
    [
        ("apollo", answer(200, b'{"healthy": true, "is_logged_in": false}'), CredentialRejected),
        ("apollo", answer(200, b"<html>", "text/html"), Malformed),
        ("apollo", answer(422, b"{}"), InvalidQuery),
        ("hunter", answer(200, b"[]"), Malformed),
        ("hunter", answer(404, b'{"errors": [{"id": "not_found"}]}'), Malformed),
        ("hunter", answer(200, b'{"data": {"requests": {"credits": {"used": 50, "available": 50}}}}'), PaymentRequired),
        ("hunter", answer(503), Outage),
        ("clearbit", answer(200, b"{}"), Malformed),
        ("clearbit", answer(402), PaymentRequired),
        ("clearbit", answer(429), RateLimited),
        ("peopledatalabs", answer(400, b"<html>", "text/html"), Malformed),
        ("peopledatalabs", answer(402, b"{}"), PaymentRequired),
        ("peopledatalabs", answer(400, b"{}", "application/json", "x-totallimit-remaining: 0"), PaymentRequired),
    ],
    ids=[
        "logged-out",
        "page",
        "refused-query",
        "list",
        "nobody",
        "spent",
        "away",
        "record",
        "plan",
        "pace",
        "html",
        "matches",
        "none-left",
    ],
)
async def test_a_check_reads_odd_answers_as_calls_do(
    provider_settings: ProvidersSettings, name: str, said: bytes, kind: type[ProviderError]
):
    async with serving(said) as server:
        section = getattr(provider_settings, name).model_copy(update={"base_url": server.url})
        async with open_sources(provider_settings.model_copy(update={name: section})) as sources:
            with pytest.raises(kind) as raised:
                await sources[name].verify(OWN_KEY)
    assert OWN_KEY.get_secret_value() not in str(raised.value)


@pytest.mark.parametrize(
    "requests", [b"{}", b'{"credits": {"used": 3, "available": 50}}', b'{"credits": null}'], ids=range(3)
)
async def test_hunter_takes_a_key_whose_account_is_not_spent(provider_settings: ProvidersSettings, requests: bytes):
    async with serving(answer(200, b'{"data": {"requests": ' + requests + b"}}")) as server:
        section = provider_settings.hunter.model_copy(update={"base_url": server.url})
        async with open_sources(provider_settings.model_copy(update={"hunter": section})) as sources:
            await sources["hunter"].verify(OWN_KEY)
    assert server.requests[0].startswith("GET /account")


def test_a_query_does_not_show_its_key():
    assert OWN_KEY.get_secret_value() not in repr(asking("acme.com", OWN_KEY.get_secret_value()))
