"""What every provider promises, held against its emulator: the same suite for all of them."""

import asyncio
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count

import psutil
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
    Transient,
)
from app.providers.gate import GatedSource
from app.providers.ports import FIELDS, Answer, EnrichmentSource, Found, Missed, Pending, Query, Unreachable
from app.providers.registry import ADAPTERS, open_sources
from app.sandbox.server import Sandbox
from tests.providers.conftest import API_KEY, Control
from tests.providers.stubs import company, person, until

ALL = sorted(ADAPTERS)
PAID = ["apollo", "clearbit", "hunter", "hunter_verifier", "peopledatalabs"]
OPEN_DATA = ["edgar", "gleif", "wikidata"]
# Those that ask hosts which the input names.
NAMED_HOSTS = ["dns", "website"]
# Those that know companies by name only.
REGISTERS = ["edgar", "gleif"]
# Those that share the emulator of another.
EMULATOR = {"hunter_verifier": "hunter"}
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
    "hunter_verifier": VENDOR,
    "apollo": VENDOR,
    "clearbit": VENDOR,
    "peopledatalabs": VENDOR,
    # Those without keys have no account that could be empty.
    "gleif": {**VENDOR, "quota_exhausted": RateLimited},
    "wikidata": {**VENDOR, "quota_exhausted": RateLimited},
    "github": {**VENDOR, "quota_exhausted": RateLimited},
    # What is asked first is a host of the settings, which leads to those that the input names.
    "rdap": {**VENDOR, "quota_exhausted": RateLimited},
    # It says the same to everybody whom it does not serve.
    "edgar": {**VENDOR, "quota_exhausted": RateLimited, "auth": RateLimited},
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


async def settled(source: EnrichmentSource, query: Query) -> Answer:
    """The answer, also where the provider has to be asked again for it."""
    said = await source.look_up(query)
    while isinstance(said, Pending):
        said = await source.look_up(replace(query, handle=said.handle))
    return said


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


def numbered_name(number: int) -> Query:
    return Query("company", f"name:company {number}", {"name": f"Company {number}"})


def numbered(name: str) -> Callable[[int], Query]:
    """A row of subjects that this provider can look up."""
    if name in REGISTERS:
        return numbered_name
    return numbered_person if name == "hunter_verifier" else numbered_company


def emulator(name: str) -> str:
    return EMULATOR.get(name, name)


@pytest.mark.parametrize("name", ALL)
async def test_what_is_found_is_canonical_and_promised(sources: Sources, name: str):
    source = sources[name]
    companies = numbered(name) if name in REGISTERS else numbered_company
    for entity, make in (("company", companies), ("person", numbered_person)):
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
    kind = Unreachable if name in NAMED_HOSTS else Missed
    await first(sources[name], kind, numbered(name))


@pytest.mark.parametrize("name", ALL)
async def test_the_same_subject_gets_the_same_answer(sources: Sources, name: str):
    for number in range(5):
        query = numbered(name)(number)
        assert await settled(sources[name], query) == await settled(sources[name], query)


@pytest.mark.parametrize("mode", VENDOR)
@pytest.mark.parametrize("name", ALL)
async def test_each_fault_has_its_meaning_and_shows_no_secret(
    sources: Sources, hasty_sources: Sources, control: Control, name: str, mode: str
):
    query, _ = await first(sources[name], Found, numbered(name))
    await control("PUT", f"/_faults/{emulator(name)}", mode=mode, rate=1)
    expected = MEANING[name][mode]
    turns = 3 if mode in ("malformed", "outage") else 1  # these rotate through their forms
    # A datagram that went wrong is not answered at all.
    source = (hasty_sources if mode in ("hang", "slow") or name == "dns" else sources)[name]
    for _ in range(turns):
        said = await outcome(source, query)
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
    query, found = await first(sources[name], Found, numbered(name))
    await control("PUT", f"/_faults/{emulator(name)}", mode="outage")
    assert await outcome(sources[name], query) != found
    await control("DELETE", f"/_faults/{emulator(name)}")
    assert await sources[name].look_up(query) == found


@pytest.mark.parametrize("name", ALL)
async def test_nobody_there_is_an_outage(hasty_sources: Sources, sandbox: Sandbox, name: str):
    await sandbox.close()
    with pytest.raises(Outage):
        await hasty_sources[name].look_up(numbered(name)(1))


@pytest.mark.parametrize("name", ALL)
async def test_a_cancelled_call_leaves_no_open_connection(sources: Sources, control: Control, name: str):
    await control("PUT", f"/_faults/{emulator(name)}", mode="hang")
    connections = _connections()
    calls = [asyncio.create_task(sources[name].look_up(numbered(name)(n))) for n in range(5)]
    await until(lambda: _connections() > connections)
    for call in calls:
        call.cancel()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(each) for each in ended} == {asyncio.CancelledError}
    await until(lambda: _connections() <= connections)


@pytest.mark.parametrize("name", PAID)
async def test_a_request_is_made_once_even_where_the_answer_got_lost(sources: Sources, control: Control, name: str):
    query, _ = await first(sources[name], Found, numbered(name))  # a connection to use again is there
    await control("DELETE", "/_calls")
    await control("PUT", f"/_faults/{emulator(name)}", mode="drop_after_effect")
    assert type(await outcome(sources[name], query)) is Transient
    calls = (await control("GET", "/_calls"))[emulator(name)]
    assert calls["total"] == 1
    assert calls["charged"] == 1


@pytest.mark.parametrize("name", PAID)
async def test_a_miss_costs_what_it_says(sources: Sources, control: Control, name: str):
    query, _ = await first(sources[name], Missed, numbered(name))
    await control("DELETE", "/_calls")
    await sources[name].look_up(query)
    charged = (await control("GET", "/_calls"))[emulator(name)]["charged"]
    assert charged == sources[name].capabilities.charges_on_miss


@pytest.mark.parametrize("name", ["dns", "website"])
async def test_five_hundred_dead_domains_open_no_circuit(sources: Sources, control: Control, name: str):
    await control("PUT", f"/_options/{name}", hit_rate=0)
    source = sources[name]
    ended = await asyncio.gather(*(outcome(source, company(f"dead-{n}.com")) for n in range(500)))
    assert {type(each) for each in ended} == {Unreachable}
    assert source.circuit().state == "closed"


@pytest.mark.parametrize("name", ["dns", "github", "rdap", *PAID, *OPEN_DATA])
async def test_an_outage_opens_the_circuit(sources: Sources, control: Control, name: str):
    await control("PUT", f"/_faults/{emulator(name)}", mode="outage")
    for number in range(5):
        await outcome(sources[name], numbered(name)(number))
    assert sources[name].circuit().state == "open"


@pytest.mark.parametrize(
    ("name", "key", "kind"),
    [
        ("hunter", "bad-key", CredentialRejected),
        ("hunter", "poor-key", PaymentRequired),
        ("hunter_verifier", "bad-key", CredentialRejected),
        ("hunter_verifier", "poor-key", PaymentRequired),
        ("apollo", "bad-key", CredentialRejected),
        ("apollo", "scoped-key", CredentialRejected),
        ("apollo", "poor-key", PaymentRequired),
        ("clearbit", "bad-key", CredentialRejected),
        ("clearbit", "scoped-key", CredentialRejected),
        ("clearbit", "poor-key", PaymentRequired),
        ("peopledatalabs", "bad-key", CredentialRejected),
        ("peopledatalabs", "scoped-key", CredentialRejected),
        ("peopledatalabs", "poor-key", PaymentRequired),
        ("github", "bad-key", CredentialRejected),
    ],
)
async def test_a_key_that_is_refused_is_no_outage(
    provider_settings: ProvidersSettings, name: str, key: str, kind: type[ProviderError]
):
    section = getattr(provider_settings, name).model_copy(update={"api_key": SecretStr(key)})
    async with open_sources(provider_settings.model_copy(update={name: section})) as sources:
        for number in range(10):
            assert type(await outcome(sources[name], numbered(name)(number))) is kind
        assert sources[name].circuit().state == "closed"


@pytest.mark.parametrize("miss_form", ["null", "absent", "empty"])
async def test_apollo_misses_in_each_form(sources: Sources, control: Control, miss_form: str):
    await control("PUT", "/_options/apollo", miss_form=miss_form, hit_rate=0)
    assert await sources["apollo"].look_up(numbered_company(1)) == Missed()
    assert await sources["apollo"].look_up(numbered_person(1)) == Missed()


@pytest.mark.parametrize("order", ["asked", "reversed"])
@pytest.mark.parametrize("miss_form", ["null", "absent", "empty"])
@pytest.mark.parametrize("make", [numbered_company, numbered_person], ids=["companies", "people"])
async def test_apollo_says_of_ten_what_it_says_of_each(
    sources: Sources, control: Control, make: Callable[[int], Query], miss_form: str, order: str
):
    await control("PUT", "/_options/apollo", miss_form=miss_form, bulk_order=order)
    queries = [make(number) for number in range(10)]
    each = [await sources["apollo"].look_up(query) for query in queries]
    await control("DELETE", "/_calls")
    assert _without_raw(await sources["apollo"].look_up_many(queries)) == _without_raw(each)
    calls = (await control("GET", "/_calls"))["apollo"]
    assert (calls["total"], calls["charged"]) == (1, sum(isinstance(said, Found) for said in each))


async def test_apollo_calls_for_many_have_a_window_of_their_own(sources: Sources, control: Control):
    await control("PUT", "/_options/apollo", bulk_requests_per_minute=1)
    queries = [numbered_company(number) for number in range(2)]
    await sources["apollo"].look_up_many(queries)
    with pytest.raises(RateLimited):
        await sources["apollo"].look_up_many(queries)


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
    pending = await sources["hunter"].look_up(query)
    assert isinstance(pending, Pending)
    assert isinstance(await sources["hunter"].look_up(replace(query, handle=pending.handle)), Found | Missed)


async def test_hunter_bills_a_verification_once_however_often_it_is_polled(sources: Sources, control: Control):
    query = person(email="pending.poe@company-3.com")
    pending = await sources["hunter_verifier"].look_up(query)
    assert isinstance(pending, Pending)
    for _ in range(3):
        said = await sources["hunter_verifier"].look_up(replace(query, handle=pending.handle))
        assert isinstance(said, Found)
    assert (await control("GET", "/_calls"))["hunter"]["charged"] == 1


async def test_hunters_finder_and_verifier_agree_on_an_address(sources: Sources, control: Control):
    await control("PUT", "/_options/hunter", hit_rate=1)
    found = await sources["hunter"].look_up(person(full_name="Ana Roe", domain="company-2.com"))
    assert isinstance(found, Found)
    said = await sources["hunter_verifier"].look_up(person(email=str(found.values["email"])))
    assert isinstance(said, Found | Missed)
    if isinstance(said, Found):
        assert said.values["email_status"] in ("valid", "accept_all", "invalid")


@pytest.mark.parametrize("host", ["nobots-1.com", "noholdfast-1.com"])
async def test_a_website_that_keeps_us_out_is_not_visited(sources: Sources, control: Control, host: str):
    await control("PUT", "/_options/website", hit_rate=1)
    assert await sources["website"].look_up(company(host)) == Unreachable("its robots.txt keeps us out")
    assert (await control("GET", "/_calls"))["website"]["by_key"].get(host) in (None, 0)


async def test_hunter_refuses_what_is_no_domain(sources: Sources):
    assert isinstance(await outcome(sources["hunter"], company("no domain")), InvalidQuery)


def _without_raw(answers: Sequence[Answer | ProviderError]) -> list[Answer | ProviderError]:
    return [replace(each, raw=None) if isinstance(each, Found) else each for each in answers]


def _connections() -> int:
    return len(psutil.Process().net_connections("inet"))
