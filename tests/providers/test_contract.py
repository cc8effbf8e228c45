"""What every provider promises, held against its emulator: the same suite for all of them."""

import asyncio
import traceback
from collections.abc import Callable, Mapping
from itertools import count

import psutil
import pytest
from pydantic import SecretStr

from app.providers.adapters.hunter import NotReady
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    Outage,
    PaymentRequired,
    ProviderError,
    RateLimited,
    Transient,
)
from app.providers.gate import GatedSource
from app.providers.ports import FIELDS, Answer, EnrichmentSource, Found, Missed, Query, Unreachable
from app.providers.registry import ADAPTERS, open_sources
from app.sandbox.server import Sandbox
from app.settings import ProvidersSettings
from tests.providers.conftest import API_KEY, Control
from tests.providers.stubs import company, person, until

ALL = sorted(ADAPTERS)
PAID = ["apollo", "hunter"]
Sources = Mapping[str, GatedSource]

# How each fault reaches who asked: the class of what is raised, or of what is answered.
VENDOR = {
    "outage": Outage,
    "flaky": Transient,
    "slow": Transient,
    "hang": Transient,
    "rate_limited": RateLimited,
    "quota_exhausted": PaymentRequired,
    "auth": CredentialRejected,
    "malformed": Malformed,
    "drop_after_effect": Transient,
}
MEANING: Mapping[str, Mapping[str, type]] = {
    "hunter": VENDOR,
    "apollo": VENDOR,
    # Whatever is wrong with the page of a company is a result.
    "website": dict.fromkeys(VENDOR, Unreachable),
    # A resolver that fails for every name is away, in whatever way it fails.
    "dns": dict.fromkeys(VENDOR, Outage),
}


async def outcome(source: EnrichmentSource, query: Query) -> Answer | ProviderError:
    try:
        return await source.look_up(query)
    except ProviderError as error:
        return error


async def first(source: EnrichmentSource, kind: type, make: Callable[[int], Query]) -> tuple[Query, Answer]:
    """The first of a row of subjects that is answered in this way: the sandbox's world is always the same."""
    for number in count():
        query = make(number)
        said = await source.look_up(query)
        if isinstance(said, kind):
            return query, said
    raise AssertionError


def numbered_company(number: int) -> Query:
    return company(f"company-{number}.com")


def numbered_person(number: int) -> Query:
    return person(email=f"ana.roe@company-{number}.com")


@pytest.mark.parametrize("name", ALL)
async def test_what_is_found_is_canonical_and_promised(sources: Sources, name: str):
    source = sources[name]
    for entity, make in (("company", numbered_company), ("person", numbered_person)):
        if entity not in source.capabilities.fields:
            continue
        for start in range(0, 60, 6):
            query, found = await first(source, Found, lambda n, start=start, make=make: make(start + n))
            assert isinstance(found, Found)
            assert source.capabilities.can_look_up(query)
            assert found.values
            assert found.values.keys() <= set(source.capabilities.fields[entity]) <= set(FIELDS[entity])  # type: ignore[index]
            assert not any(value in (None, "", []) for value in found.values.values())
            assert found.confidences.keys() <= found.values.keys()
            assert all(0 <= each <= 1 for each in (found.confidence, *found.confidences.values()))


@pytest.mark.parametrize("name", ALL)
async def test_what_is_not_found_is_an_answer(sources: Sources, name: str):
    kind = Missed if name in PAID else Unreachable
    await first(sources[name], kind, numbered_company)


@pytest.mark.parametrize("name", ALL)
async def test_the_same_subject_gets_the_same_answer(sources: Sources, name: str):
    for number in range(5):
        query = numbered_company(number)
        assert await sources[name].look_up(query) == await sources[name].look_up(query)


@pytest.mark.parametrize("mode", VENDOR)
@pytest.mark.parametrize("name", ALL)
async def test_each_fault_has_its_meaning_and_shows_no_secret(sources: Sources, control: Control, name: str, mode: str):
    query, _ = await first(sources[name], Found, numbered_company)
    await control("PUT", f"/_faults/{name}", mode=mode, rate=1)
    expected = MEANING[name][mode]
    turns = 3 if mode in ("malformed", "outage") else 1  # these rotate through their forms
    for _ in range(turns):
        said = await outcome(sources[name], query)
        if (name, mode) == ("website", "malformed"):
            assert isinstance(said, Found | Missed | Unreachable)  # half a page may say enough
        else:
            assert type(said) is expected
        if isinstance(said, ProviderError):
            shown = "".join(traceback.format_exception(said)) + repr(said) + repr(said.__context__)
            assert API_KEY not in shown
            assert said.provider == name


@pytest.mark.parametrize("name", ALL)
async def test_it_recovers_when_the_fault_is_over(sources: Sources, control: Control, name: str):
    query, found = await first(sources[name], Found, numbered_company)
    await control("PUT", f"/_faults/{name}", mode="outage")
    assert await outcome(sources[name], query) != found
    await control("DELETE", f"/_faults/{name}")
    assert await sources[name].look_up(query) == found


@pytest.mark.parametrize("name", ALL)
async def test_nobody_there_is_an_outage(provider_settings: ProvidersSettings, sandbox: Sandbox, name: str):
    async with open_sources(provider_settings) as sources:
        await sandbox.close()
        with pytest.raises(Outage):
            await sources[name].look_up(numbered_company(1))


@pytest.mark.parametrize("name", ALL)
async def test_a_cancelled_call_leaves_no_open_connection(sources: Sources, control: Control, name: str):
    await control("PUT", f"/_faults/{name}", mode="hang")
    connections = _connections()
    calls = [asyncio.create_task(sources[name].look_up(numbered_company(n))) for n in range(5)]
    await until(lambda: _connections() > connections)
    for call in calls:
        call.cancel()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(each) for each in ended} == {asyncio.CancelledError}
    await until(lambda: _connections() <= connections)


@pytest.mark.parametrize("name", PAID)
async def test_a_request_is_made_once_even_where_the_answer_got_lost(sources: Sources, control: Control, name: str):
    query, _ = await first(sources[name], Found, numbered_company)  # a connection to use again is there
    await control("DELETE", "/_calls")
    await control("PUT", f"/_faults/{name}", mode="drop_after_effect")
    assert type(await outcome(sources[name], query)) is Transient
    calls = (await control("GET", "/_calls"))[name]
    assert calls["total"] == 1
    assert calls["charged"] == 1


@pytest.mark.parametrize("name", PAID)
async def test_a_miss_costs_nothing_where_it_says_so(sources: Sources, control: Control, name: str):
    assert not sources[name].capabilities.charges_on_miss
    query, _ = await first(sources[name], Missed, numbered_company)
    await control("DELETE", "/_calls")
    await sources[name].look_up(query)
    assert (await control("GET", "/_calls"))[name]["charged"] == 0


@pytest.mark.parametrize("name", ["dns", "website"])
async def test_five_hundred_dead_domains_open_no_circuit(sources: Sources, control: Control, name: str):
    await control("PUT", f"/_options/{name}", hit_rate=0)
    ended = await asyncio.gather(*(outcome(sources[name], company(f"dead-{n}.com")) for n in range(500)))
    assert {type(each) for each in ended} == {Unreachable}
    assert sources[name].circuit().state == "closed"


@pytest.mark.parametrize("name", ["apollo", "dns", "hunter"])
async def test_an_outage_opens_the_circuit(sources: Sources, control: Control, name: str):
    await control("PUT", f"/_faults/{name}", mode="outage")
    for number in range(5):
        await outcome(sources[name], numbered_company(number))
    assert sources[name].circuit().state == "open"


@pytest.mark.parametrize(
    ("name", "key", "kind"),
    [
        ("hunter", "bad-key", CredentialRejected),
        ("hunter", "poor-key", PaymentRequired),
        ("apollo", "bad-key", CredentialRejected),
        ("apollo", "scoped-key", CredentialRejected),
        ("apollo", "poor-key", PaymentRequired),
    ],
)
async def test_a_key_that_is_refused_is_no_outage(
    provider_settings: ProvidersSettings, name: str, key: str, kind: type[ProviderError]
):
    section = getattr(provider_settings, name).model_copy(update={"api_key": SecretStr(key)})
    async with open_sources(provider_settings.model_copy(update={name: section})) as sources:
        for number in range(10):
            assert type(await outcome(sources[name], numbered_company(number))) is kind
        assert sources[name].circuit().state == "closed"


@pytest.mark.parametrize("miss_form", ["null", "absent", "empty"])
async def test_apollo_misses_in_each_form(sources: Sources, control: Control, miss_form: str):
    await control("PUT", "/_options/apollo", miss_form=miss_form, hit_rate=0)
    assert await sources["apollo"].look_up(numbered_company(1)) == Missed()
    assert await sources["apollo"].look_up(numbered_person(1)) == Missed()


@pytest.mark.parametrize("status", [402, 403, 422, 429])
async def test_apollo_without_credits_whatever_the_status(sources: Sources, control: Control, status: int):
    await control("PUT", "/_options/apollo", credit_status=status)
    await control("PUT", "/_faults/apollo", mode="quota_exhausted")
    assert type(await outcome(sources["apollo"], numbered_company(1))) is PaymentRequired


async def test_apollo_says_when_its_window_opens_again(sources: Sources, control: Control):
    await control("PUT", "/_options/apollo", requests_per_minute=1)
    await sources["apollo"].look_up(numbered_company(1))
    limited = await outcome(sources["apollo"], numbered_company(2))
    assert isinstance(limited, RateLimited)
    assert limited.retry_after is not None
    assert 55 < limited.retry_after <= 61


async def test_apollo_keeps_a_locked_address_to_itself(sources: Sources):
    _, found = await first(sources["apollo"], Found, lambda n: person(email=f"locked.{'x' * n}@company-1.com"))
    assert isinstance(found, Found)
    assert "email" not in found.values
    assert found.values["email_status"] == "locked"


@pytest.mark.parametrize("finder_miss", ["null", "404"])
async def test_hunter_misses_an_address_in_either_form(sources: Sources, control: Control, finder_miss: str):
    await control("PUT", "/_options/hunter", finder_miss=finder_miss, hit_rate=0)
    query = person(full_name="Ana Roe", domain="company-1.com")
    assert await sources["hunter"].look_up(query) == Missed()


async def test_hunter_reads_employees_in_either_form(sources: Sources, control: Control):
    await control("PUT", "/_options/hunter", employees_form="range", hit_rate=1)
    ranges = [await sources["hunter"].look_up(numbered_company(n)) for n in range(10)]
    assert any(isinstance(each, Found) and "employee_range" in each.values for each in ranges)
    assert not any(isinstance(each, Found) and "employee_count" in each.values for each in ranges)


async def test_hunter_finds_an_address_with_the_confidence_of_its_score(sources: Sources, control: Control):
    await control("PUT", "/_options/hunter", hit_rate=1)
    found = await sources["hunter"].look_up(person(full_name="Ana Roe", domain="company-1.com"))
    assert isinstance(found, Found)
    assert 0.7 <= found.confidence < 1
    assert str(found.values["email"]).endswith("@company-1.com")


async def test_hunter_tells_nothing_of_who_objected(sources: Sources):
    assert await sources["hunter"].look_up(person(email="suppressed@company-1.com")) == Missed("legal")


async def test_hunter_is_asked_again_for_what_is_still_worked_out(sources: Sources):
    query = person(full_name="Pending Roe", domain="company-1.com")
    pending = await outcome(sources["hunter"], query)
    assert isinstance(pending, NotReady)
    assert isinstance(await sources["hunter"].look_up(query), Found | Missed)


async def test_hunter_refuses_what_is_no_domain(sources: Sources):
    assert isinstance(await outcome(sources["hunter"], company("no domain")), InvalidQuery)


def _connections() -> int:
    return len(psutil.Process().net_connections("inet"))
