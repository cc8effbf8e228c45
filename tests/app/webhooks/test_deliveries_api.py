"""Deliveries over HTTP: what came of each attempt, one sent again, all that failed recovered, events listed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.db import new_id
from app.webhooks.history import RECOVER_BATCH
from tests.app.webhooks.webhooks_api import Webhooks

TYPES = {"event_types": ["enrichment.job.completed", "credits.low"]}


async def attempt(webhooks: Webhooks, delivery_id: str, **changes: Any) -> None:
    values = {"status": 503, "error": "status", "answer": "starting", "milliseconds": 84} | changes
    await webhooks.execute(
        "INSERT INTO webhook_attempts (workspace_id, delivery_id, id, started_at, milliseconds, status, error, answer)"
        " VALUES (:workspace_id, :delivery_id, :id, now(), :milliseconds, :status, :error, :answer)",
        workspace_id=webhooks.tenant.workspace_id,
        delivery_id=delivery_id,
        id=new_id(),
        **values,
    )


def at(body: Any, *parts: str) -> list[Any]:
    return [body[part] for part in parts]


async def test_deliveries_are_listed_with_what_came_of_each_attempt(webhooks: Webhooks):
    created = await webhooks.create()
    await webhooks.publish()
    (pending,) = await webhooks.deliveries(created["id"])
    assert at(pending, "event_type", "state", "error", "attempts") == ["enrichment.job.completed", "pending", None, []]
    assert pending["next_attempt_at"]
    await attempt(webhooks, pending["id"])
    await attempt(webhooks, pending["id"], status=None, error="timeout", answer="", milliseconds=20_000)
    await webhooks.end(created["id"], error="timeout")
    (failed,) = await webhooks.deliveries(created["id"])
    assert at(failed, "id", "state", "error", "next_attempt_at") == [pending["id"], "failed", "timeout", None]
    assert failed["ended_at"]
    first, second = failed["attempts"]
    assert at(first, "status", "error", "answer", "duration_seconds") == [503, "status", "starting", 0.084]
    assert at(second, "status", "error", "answer", "duration_seconds") == [None, "timeout", "", 20.0]
    assert first["at"] <= second["at"]
    one = await webhooks.send("GET", f"/{created['id']}/deliveries/{failed['id']}")
    assert one.json()["data"] == failed


async def test_of_many_attempts_the_last_ten_are_shown(webhooks: Webhooks):
    created = await webhooks.create()
    await webhooks.publish()
    (delivery,) = await webhooks.deliveries(created["id"])
    for number in range(12):
        await attempt(webhooks, delivery["id"], answer=str(number))
    (shown,) = await webhooks.deliveries(created["id"])
    assert [each["answer"] for each in shown["attempts"]] == [str(number) for number in range(2, 12)]


async def test_deliveries_are_filtered_and_paged_the_newest_first(webhooks: Webhooks):
    created, other = await webhooks.create(**TYPES), await webhooks.create(**TYPES)
    await webhooks.publish(2)
    await webhooks.end(created["id"])
    await webhooks.publish(1, "credits.low")
    await webhooks.end(created["id"], error="timeout")
    await webhooks.publish(1)
    every = await webhooks.deliveries(created["id"])
    assert [each["state"] for each in every] == ["pending", "failed", "delivered", "delivered"]
    for query, wanted in (
        ("?state=delivered", every[2:]),
        ("?state=failed", every[1:2]),
        ("?event_type=credits.low", every[1:2]),
        ("?event_type=credits.low&state=pending", []),
    ):
        assert await webhooks.deliveries(created["id"], query) == wanted
    first = (await webhooks.send("GET", f"/{created['id']}/deliveries?limit=3")).json()
    second = (
        await webhooks.send("GET", f"/{created['id']}/deliveries?limit=3&cursor={first['meta']['next_cursor']}")
    ).json()
    assert first["data"] + second["data"] == every
    of_other = await webhooks.deliveries(other["id"])
    assert [each["state"] for each in of_other] == ["pending"] * 4
    elsewhere = f"/{created['id']}/deliveries/{of_other[0]['id']}"
    assert (await webhooks.send("GET", elsewhere)).status_code == 404
    assert (await webhooks.send("POST", f"{elsewhere}/redeliver")).status_code == 404


async def test_a_test_event_goes_to_its_webhook_alone_whatever_its_types(webhooks: Webhooks):
    created, other = await webhooks.create(), await webhooks.create(event_types=["webhook.test"])
    answer = await webhooks.send("POST", f"/{created['id']}/test")
    assert answer.status_code == 202, answer.text
    delivery = answer.json()["data"]
    assert at(delivery, "event_type", "state") == ["webhook.test", "pending"]
    assert answer.headers["Location"].endswith(f"/webhooks/{created['id']}/deliveries/{delivery['id']}")
    assert (await webhooks.client.get(answer.headers["Location"], headers=webhooks.tenant.headers)).json()[
        "data"
    ] == delivery
    assert await webhooks.deliveries(created["id"]) == [delivery]
    assert await webhooks.deliveries(other["id"]) == []


async def test_the_same_key_sends_one_test_event(webhooks: Webhooks):
    created, other = await webhooks.create(), await webhooks.create()
    headers = {"Idempotency-Key": "test-1"}
    first, again = [await webhooks.send("POST", f"/{created['id']}/test", headers=headers) for _ in range(2)]
    assert first.json()["data"] == again.json()["data"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(await webhooks.deliveries(created["id"])) == 1
    reused = await webhooks.send("POST", f"/{other['id']}/test", headers=headers)
    assert (reused.status_code, reused.json()["error"]["code"]) == (409, "idempotency_key_reused")


async def test_a_delivery_is_sent_again_whatever_became_of_it(webhooks: Webhooks):
    created = await webhooks.create()
    await webhooks.publish()
    (delivery,) = await webhooks.deliveries(created["id"])
    path = f"/{created['id']}/deliveries/{delivery['id']}/redeliver"
    for error in (None, "timeout"):
        await webhooks.end(created["id"], error=error)
        answer = await webhooks.send("POST", path, headers={"Idempotency-Key": str(error)})
        assert answer.status_code == 202, answer.text
        again = answer.json()["data"]
        assert at(again, "id", "event_id", "state") == [delivery["id"], delivery["event_id"], "pending"]
        assert answer.headers["Location"].endswith(f"/deliveries/{delivery['id']}")
    await webhooks.end(created["id"])
    replayed = await webhooks.send("POST", path, headers={"Idempotency-Key": "timeout"})
    assert (replayed.headers["Idempotent-Replayed"], replayed.json()["data"]) == ("true", again)
    assert (await webhooks.deliveries(created["id"]))[0]["state"] == "delivered"


async def test_one_that_waits_for_its_next_attempt_has_it_now(webhooks: Webhooks):
    created = await webhooks.create()
    await webhooks.publish()
    (delivery,) = await webhooks.deliveries(created["id"])
    await webhooks.execute(
        "UPDATE webhook_deliveries SET attempts = 4, next_attempt_at = now() + interval '2 hours', claimed_at = now()"
        " WHERE id = CAST(:id AS uuid)",
        id=delivery["id"],
    )
    again = (await webhooks.send("POST", f"/{created['id']}/deliveries/{delivery['id']}/redeliver")).json()["data"]
    assert datetime.fromisoformat(again["next_attempt_at"]) <= datetime.now(UTC)
    (row,) = await webhooks.execute(
        "SELECT attempts, claimed_at FROM webhook_deliveries WHERE id = CAST(:id AS uuid)", id=delivery["id"]
    )
    assert row == {"attempts": 4, "claimed_at": None}


async def test_all_that_failed_since_a_time_is_sent_again(webhooks: Webhooks):
    created = await webhooks.create()
    await webhooks.publish(2)
    await webhooks.end(created["id"], error="timeout")
    await webhooks.execute(
        "UPDATE webhook_deliveries SET created_at = now() - interval '2 days' WHERE endpoint_id = CAST(:id AS uuid)",
        id=created["id"],
    )
    # More than are done in one transaction.
    count = RECOVER_BATCH + 3
    await webhooks.execute(
        "WITH told AS (INSERT INTO events (workspace_id, id, type, data)"
        " SELECT :workspace_id, gen_random_uuid(), 'enrichment.job.completed', '{}' FROM generate_series(1, :count)"
        " RETURNING id)"
        " INSERT INTO webhook_deliveries (workspace_id, id, endpoint_id, event_id, state, error, attempts,"
        " next_attempt_at, ended_at)"
        " SELECT :workspace_id, gen_random_uuid(), CAST(:id AS uuid), id, 'failed', 'timeout', 10, NULL, now()"
        " FROM told",
        workspace_id=webhooks.tenant.workspace_id,
        id=created["id"],
        count=count,
    )
    await webhooks.publish(1)
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    headers = {"Idempotency-Key": "recover-1"}
    answers = [
        await webhooks.send("POST", f"/{created['id']}/recover", json={"since": since}, headers=headers)
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert [answer.json()["data"] for answer in answers] == [{"deliveries": count}] * 2
    assert answers[0].headers["Location"].endswith(f"/webhooks/{created['id']}/deliveries")
    rows = await webhooks.execute(
        "SELECT state, max(attempts) AS attempts, count(*) AS count FROM webhook_deliveries"
        " WHERE endpoint_id = CAST(:id AS uuid) AND claimed_at IS NULL GROUP BY state ORDER BY state",
        id=created["id"],
    )
    assert [tuple(row.values()) for row in rows] == [("failed", 0, 2), ("pending", 0, count + 1)]
    ours = await webhooks.execute(
        "SELECT action, after FROM audit_entries WHERE target_id = :id AND action = 'webhook.recover' ORDER BY id",
        id=created["id"],
    )
    assert [entry["after"]["deliveries"] for entry in ours] == [RECOVER_BATCH, 3]


async def test_nothing_is_sent_to_a_disabled_webhook(webhooks: Webhooks):
    created = await webhooks.create()
    await webhooks.publish()
    await webhooks.end(created["id"], error="timeout")
    (delivery,) = await webhooks.deliveries(created["id"])
    await webhooks.send("PATCH", f"/{created['id']}", json={"enabled": False})
    for path, body in (
        ("/test", None),
        (f"/deliveries/{delivery['id']}/redeliver", None),
        ("/recover", {"since": "2020-01-01T00:00:00Z"}),
    ):
        answer = await webhooks.send("POST", f"/{created['id']}{path}", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "webhook_disabled")
    await webhooks.publish()
    assert await webhooks.deliveries(created["id"]) == [delivery]


@pytest.mark.parametrize("since", ["yesterday", "2026-11-20T00:00:00", 5, None], ids=str)
async def test_a_time_to_recover_from_has_a_zone(webhooks: Webhooks, since: Any):
    created = await webhooks.create()
    answer = await webhooks.send("POST", f"/{created['id']}/recover", json={"since": since})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == "since"


async def test_events_are_listed_in_order_as_they_are_delivered(webhooks: Webhooks):
    async def events(query: str) -> Any:
        answer = await webhooks.client.get(f"{webhooks.tenant.path}/events{query}", headers=webhooks.tenant.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    await webhooks.publish(3)
    await webhooks.publish(1, "credits.low")
    every = (await events(""))["data"]
    assert [each["data"]["number"] for each in every] == [0, 1, 2, 0]
    assert list(every[0]) == ["id", "type", "version", "timestamp", "data"]
    first = await events("?limit=3")
    second = await events(f"?limit=3&cursor={first['meta']['next_cursor']}")
    assert first["data"] + second["data"] == every
    assert second["meta"]["next_cursor"] is None
    assert (await events("?type=credits.low"))["data"] == every[3:]
    moment = every[2]["timestamp"].replace("+", "%2B")
    assert (await events(f"?created_after={moment}"))["data"] == every[2:]


async def test_what_a_person_asks_for_does_not_wait_until_a_failing_webhook_is_tried_again(webhooks: Webhooks):
    created = await webhooks.create()
    await webhooks.publish()
    (delivery,) = await webhooks.deliveries(created["id"])
    for path, body in (
        ("/test", None),
        (f"/deliveries/{delivery['id']}/redeliver", None),
        ("/recover", {"since": "2020-01-01T00:00:00Z"}),
    ):
        await webhooks.execute(
            "UPDATE webhook_endpoints SET paused_until = now() + interval '30 minutes' WHERE id = CAST(:id AS uuid)",
            id=created["id"],
        )
        assert (await webhooks.get(created["id"]))["paused_until"]
        assert (await webhooks.send("POST", f"/{created['id']}{path}", json=body)).status_code == 202
        assert (await webhooks.get(created["id"]))["paused_until"] is None
