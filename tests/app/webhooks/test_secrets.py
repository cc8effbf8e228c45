"""Secrets of webhooks: shown once, sealed, rotated; and what is signed with them verifies as callers verify it."""

import json
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.db import new_id
from app.webhooks.management import MAX_SECRETS
from app.webhooks.signing import key_of, new_secret, signed
from tests.app.webhooks.webhooks_api import Webhooks

BODY = b'{"id":"1","type":"credits.low","version":1,"data":{"available":5}}'
# In the middle of every secret of a header.
PLANTED = "pLaNtEd-41c7-hEaDeR"


def signature(*secrets: str, at: datetime | None = None, body: bytes = BODY) -> dict[str, str]:
    """The headers of an attempt, signed with each of the secrets."""
    timestamp = int((at or datetime.now(UTC)).timestamp())
    return signed([key_of(secret) for secret in secrets], new_id(), timestamp, body)


def verifies(secret: str, headers: Mapping[str, str], body: bytes = BODY) -> bool:
    try:
        return bool(Webhook(secret).verify(body, dict(headers)) == json.loads(body))
    except WebhookVerificationError:
        return False


async def rotate(webhooks: Webhooks, webhook_id: str) -> dict[str, Any]:
    answer = await webhooks.send("POST", f"/{webhook_id}/rotate-secret")
    assert answer.status_code == 200, answer.text
    rotated: dict[str, Any] = answer.json()["data"]
    return rotated


def test_what_is_signed_verifies_with_its_secret():
    secret = new_secret()
    assert verifies(secret, signature(secret))


def test_another_secret_verifies_nothing():
    assert not verifies(new_secret(), signature(new_secret()))


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_timestamp_of_another_time_is_refused(minutes: int):
    secret = new_secret()
    assert not verifies(secret, signature(secret, at=datetime.now(UTC) + timedelta(minutes=minutes)))


def test_a_changed_body_or_id_or_timestamp_is_refused():
    secret = new_secret()
    headers = signature(secret)
    later = str(int(headers["webhook-timestamp"]) + 1)
    assert not verifies(secret, headers, BODY.replace(b"5", b"6"))
    assert not verifies(secret, {**headers, "webhook-id": str(new_id())})
    assert not verifies(secret, {**headers, "webhook-timestamp": later})


def test_while_two_secrets_sign_either_verifies():
    old, new = new_secret(), new_secret()
    headers = signature(new, old)
    assert verifies(old, headers)
    assert verifies(new, headers)
    assert not verifies(new_secret(), headers)


async def test_a_secret_is_thirty_two_random_bytes_and_what_is_sent_is_signed_with_it(webhooks: Webhooks):
    first, second = await webhooks.create(), await webhooks.create()
    assert first["secret"] != second["secret"]
    assert len(b64decode(first["secret"].removeprefix("whsec_"), validate=True)) == 32
    assert (await webhooks.target(first["id"])).keys == [key_of(first["secret"])]


async def test_for_a_day_a_secret_that_was_replaced_signs_too(webhooks: Webhooks):
    created = await webhooks.create()
    rotated = await rotate(webhooks, created["id"])
    assert rotated["secret"] not in ("", created["secret"])
    ends = datetime.fromisoformat(rotated["previous_secret_expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(hours=24)) < timedelta(minutes=1)
    assert (await webhooks.target(created["id"])).keys == [key_of(rotated["secret"]), key_of(created["secret"])]

    await webhooks.execute(
        "UPDATE webhook_secrets SET expires_at = now() WHERE endpoint_id = CAST(:id AS uuid)"
        " AND expires_at IS NOT NULL",
        id=created["id"],
    )
    assert (await webhooks.target(created["id"])).keys == [key_of(rotated["secret"])]
    assert (await webhooks.get(created["id"]))["previous_secret_expires_at"] is None


async def test_whoever_rotates_twice_for_want_of_an_answer_breaks_nothing(webhooks: Webhooks):
    created = await webhooks.create()
    unheard, heard = await rotate(webhooks, created["id"]), await rotate(webhooks, created["id"])
    keys = (await webhooks.target(created["id"])).keys
    assert keys[0] == key_of(heard["secret"])
    assert {key_of(each["secret"]) for each in (created, unheard, heard)} == set(keys)


async def test_only_so_many_secrets_sign_at_a_time(webhooks: Webhooks):
    created = await webhooks.create()
    for _ in range(MAX_SECRETS - 1):
        await rotate(webhooks, created["id"])
    refused = await webhooks.send("POST", f"/{created['id']}/rotate-secret")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "too_many_secrets")
    await webhooks.execute(
        "UPDATE webhook_secrets SET expires_at = now() WHERE endpoint_id = CAST(:id AS uuid)"
        " AND expires_at IS NOT NULL",
        id=created["id"],
    )
    await rotate(webhooks, created["id"])
    left = "SELECT 1 FROM webhook_secrets WHERE endpoint_id = CAST(:id AS uuid)"
    assert len(await webhooks.execute(left, id=created["id"])) == 2


async def test_a_secret_is_in_the_answer_that_makes_it_and_nowhere_else(webhooks: Webhooks):
    created = await webhooks.create(headers={"Authorization": f"Bearer {PLANTED}"})
    rotated = await rotate(webhooks, created["id"])
    path = f"/{created['id']}"
    await webhooks.send("PATCH", path, json={"headers": {"Authorization": f"Basic {PLANTED}"}})
    answers = [
        await webhooks.send("PATCH", path, json={"headers": {"Authorization": PLANTED + "\n"}}),
        await webhooks.send("PATCH", path, json={"headers": {PLANTED + " ": "1"}}),
        await webhooks.send("PATCH", path, json={"headers": {PLANTED: 1}}),
        await webhooks.send("POST", content=f'{{"headers": {{"X-Key": "{PLANTED}"'.encode()),
        await webhooks.send("POST", f"{path}/test", headers={"Idempotency-Key": "once"}),
        await webhooks.send("POST", f"{path}/test", headers={"Idempotency-Key": "once"}),
        *[await webhooks.send("GET", each) for each in ("", path, f"{path}/deliveries")],
    ]
    said = "".join(answer.text for answer in answers)
    assert PLANTED not in said
    assert "whsec_" not in said

    tables = ["webhook_endpoints", "webhook_secrets", "audit_entries", "idempotency_keys", "outbox_commands", "events"]
    stored = ""
    for table in tables:
        rows = await webhooks.execute(
            f"SELECT to_jsonb(t)::text AS row FROM {table} AS t WHERE workspace_id = :id",
            id=webhooks.tenant.workspace_id,
        )
        stored += "".join(row["row"] for row in rows)
    assert created["id"] in stored
    for secret in (created["secret"], rotated["secret"]):
        key = key_of(secret)
        for form in (secret.removeprefix("whsec_"), key.hex(), secret.encode().hex()):
            assert form not in stored
    for form in (PLANTED, PLANTED.encode().hex()):
        assert form not in stored
    target = await webhooks.target(created["id"])
    assert target.headers == {"Authorization": f"Basic {PLANTED}"}
    assert PLANTED not in repr(target)


async def test_what_is_sealed_opens_for_its_own_webhook_alone(webhooks: Webhooks):
    one, other = await webhooks.create(), await webhooks.create()
    await webhooks.execute(
        "UPDATE webhook_secrets AS s SET key_id = o.key_id, wrapped_key = o.wrapped_key, ciphertext = o.ciphertext"
        " FROM webhook_secrets AS o WHERE s.endpoint_id = CAST(:one AS uuid) AND o.endpoint_id = CAST(:other AS uuid)",
        one=one["id"],
        other=other["id"],
    )
    from_other = await webhooks.target(other["id"])
    assert from_other.keys
    with pytest.raises(Exception, match="does not decrypt"):
        await webhooks.target(one["id"])
