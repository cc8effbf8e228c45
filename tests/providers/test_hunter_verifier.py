"""Hunter's verifier: what it says of an address, and what it says where it cannot tell."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from app.provider_settings import HunterVerifierSettings
from app.providers.adapters.hunter_verifier import HunterVerifier
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
from app.providers.ports import PERSON_FIELDS, Answer, Found, Missed, Pending
from tests.providers.stubs import Server, answer, person, serving

# The shape of the documents, with values of our own.
VERIFICATION = {
    "status": "valid",
    "result": "deliverable",
    "score": 97,
    "email": "ana@acme.com",
    "regexp": True,
    "gibberish": False,
    "disposable": False,
    "webmail": False,
    "mx_records": True,
    "smtp_server": True,
    "smtp_check": True,
    "accept_all": False,
    "block": False,
    "sources": [],
}
QUERY = person(email="ana@acme.com")


@asynccontextmanager
async def verifier_hearing(*answers: bytes) -> AsyncIterator[tuple[HunterVerifier, Server]]:
    async with serving(*answers) as server:
        verifier = HunterVerifier(HunterVerifierSettings(base_url=f"{server.url}/v2", api_key=SecretStr("k-123")))
        try:
            yield verifier, server
        finally:
            await verifier.close()


async def ask(said: bytes) -> Answer:
    async with verifier_hearing(said) as (verifier, _):
        return await verifier.look_up(QUERY)


def data(value: Any, status: int = 200) -> bytes:
    return answer(status, json.dumps({"data": value, "meta": {}}).encode())


def refusal(status: int, error_id: str) -> bytes:
    return answer(status, json.dumps({"errors": [{"id": error_id, "code": status, "details": "text"}]}).encode())


async def test_it_asks_the_verifier_with_the_key_in_a_header():
    async with verifier_hearing(data(VERIFICATION)) as (verifier, server):
        assert HunterVerifier.capabilities.can_look_up(QUERY)
        await verifier.look_up(QUERY)
        await verifier.look_up(replace(QUERY, api_key=SecretStr("own")))
    assert server.requests[0].splitlines()[0] == "GET /v2/email-verifier?email=ana@acme.com HTTP/1.1"
    assert ["X-API-KEY: k-123" in each for each in server.requests] == [True, False]
    assert "X-API-KEY: own" in server.requests[1]


@pytest.mark.parametrize(
    ("status", "score", "confidence"),
    [
        ("valid", 97, 0.97),
        ("accept_all", 60, 0.6),
        ("invalid", 5, 0.95),  # the score says how likely a mail arrives
        ("webmail", 40, 1.0),
        ("disposable", 0, 1.0),
        ("valid", None, 0.5),
        ("invalid", None, 0.5),
        ("valid", "88", 0.88),
        ("valid", 250, 1.0),
    ],
)
async def test_each_status_is_told_with_the_confidence_of_its_score(status: str, score: object, confidence: float):
    said = data(VERIFICATION | {"status": status, "score": score})
    found = await ask(said)
    assert isinstance(found, Found)
    assert found.values == {"email_status": status}
    assert found.confidence == pytest.approx(confidence)
    assert found.raw == said.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("status", ["unknown", "something-new", None, "", ["valid"], {}])
async def test_an_address_of_which_nothing_can_be_told_is_a_miss_and_costs_nothing(status: object):
    assert await ask(data(VERIFICATION | {"status": status})) == Missed()


async def test_the_deprecated_result_is_not_read():
    assert await ask(data({"result": "deliverable", "score": 97})) == Missed()


async def test_a_verification_under_way_is_pending_and_asked_for_by_the_same_call():
    async with verifier_hearing(data({}, 202), data(VERIFICATION)) as (verifier, server):
        assert await verifier.look_up(QUERY) == Pending("again", 5)
        assert isinstance(await verifier.look_up(replace(QUERY, handle="again")), Found)
    first, second = (request.splitlines()[0] for request in server.requests)
    assert first == second


async def test_the_mail_server_of_the_address_may_fail_without_evidence_against_hunter():
    with pytest.raises(Transient) as raised:
        await ask(refusal(222, "smtp_failure"))
    assert not raised.value.is_outage


async def test_451_is_a_person_who_objected():
    assert await ask(refusal(451, "claimed_email")) == Missed("legal")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (refusal(400, "wrong_params"), InvalidQuery),
        (refusal(401, "authentication_failed"), CredentialRejected),
        (refusal(403, "too_many_requests"), RateLimited),
        (refusal(429, "usage_limit"), PaymentRequired),
        (refusal(500, "internal_error"), Transient),
        (answer(503, b"<html>", "text/html"), Outage),
        (answer(200, b"<html>", "text/html"), Malformed),
        (data([1]), Malformed),
    ],
)
async def test_an_error_is_read_as_hunters_and_named_after_the_verifier(said: bytes, kind: type[ProviderError]):
    with pytest.raises(ProviderError) as raised:
        await ask(said)
    assert type(raised.value) is kind
    assert raised.value.provider == "hunter_verifier"


@pytest.mark.parametrize(
    ("requests", "is_spent"),
    [
        ({"verifications": {"used": 5, "available": 5}, "credits": {"used": 0, "available": 5}}, True),
        ({"verifications": {"used": 4, "available": 5}, "credits": {"used": 5, "available": 5}}, False),
        ({"credits": {"used": 5, "available": 5}}, True),
        ({"verifications": None, "credits": {"used": 4, "available": 5}}, False),
        ({}, False),
    ],
)
async def test_a_key_is_checked_by_what_is_left_of_its_verifications(requests: dict[str, object], is_spent: bool):
    async with verifier_hearing(data({"requests": requests})) as (verifier, server):
        if is_spent:
            with pytest.raises(PaymentRequired):
                await verifier.verify(SecretStr("own"))
        else:
            await verifier.verify(SecretStr("own"))
    assert server.requests[0].startswith("GET /v2/account ")


def test_it_verifies_addresses_and_fills_nothing_else():
    assert HunterVerifier.capabilities.verifies_email
    assert set(HunterVerifier.capabilities.fields["person"]) <= set(PERSON_FIELDS)


def test_its_windows_are_those_that_the_documents_state():
    windows = [(window.calls, window.seconds) for window in HunterVerifierSettings().quotas]
    assert windows == [(10, 1), (300, 60)]
