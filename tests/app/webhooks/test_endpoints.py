"""Webhooks over HTTP: where events may be sent, and to whom that is shown."""

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from app.db import Sessions, create_engine
from app.settings import DatabaseSettings, WebhookSettings
from app.webhooks.management import MAX_WEBHOOKS
from app.webhooks.urls import check_url
from app.workspaces.service import finish_closing
from tests.api import running_api
from tests.app.webhooks.webhooks_api import BODY, Webhooks
from tests.servers import Database

PUBLIC = WebhookSettings()
PRIVATE = WebhookSettings(allow_private=True)


async def test_a_new_webhook_is_shown_without_its_secret(webhooks: Webhooks):
    created = await webhooks.create(description=" Into the CRM ", headers={"Authorization": "Bearer 0123456789"})
    secret = created.pop("secret")
    assert secret.startswith("whsec_")
    shown = await webhooks.get(created["id"])
    assert shown == created
    assert shown["url"] == "https://example.com/hook"
    assert shown["description"] == "Into the CRM"
    assert shown["header_names"] == ["Authorization"]
    assert (shown["enabled"], shown["disabled_reason"], shown["failing_since"]) == (True, None, None)
    assert shown["created_by"] == str(webhooks.tenant.api_key_id)
    listed = (await webhooks.send("GET")).json()
    assert (listed["data"], listed["meta"]["next_cursor"]) == ([shown], None)


async def test_webhooks_are_listed_by_pages_the_newest_first(webhooks: Webhooks):
    made = [(await webhooks.create(url=f"https://example.com/{n}"))["id"] for n in range(3)]
    first = (await webhooks.send("GET", "?limit=2")).json()
    second = (await webhooks.send("GET", f"?limit=2&cursor={first['meta']['next_cursor']}")).json()
    assert [each["id"] for each in first["data"] + second["data"]] == made[::-1]


async def test_what_is_left_out_of_a_change_stays(webhooks: Webhooks):
    created = await webhooks.create(description="Before", headers={"X-One": "1"})
    path = f"/{created['id']}"
    changed = (await webhooks.send("PATCH", path, json={"event_types": ["credits.low"]})).json()["data"]
    assert (changed["url"], changed["description"], changed["header_names"]) == (created["url"], "Before", ["X-One"])
    assert changed["event_types"] == ["credits.low"]
    emptied = (await webhooks.send("PATCH", path, json={"description": "", "headers": {}})).json()["data"]
    assert (emptied["description"], emptied["header_names"]) == ("", [])
    assert (await webhooks.target(created["id"])).headers == {}
    assert (await webhooks.send("PATCH", path, json={})).json()["data"] == emptied


async def test_one_that_is_enabled_again_has_never_failed(webhooks: Webhooks):
    created = await webhooks.create()
    path = f"/{created['id']}"
    await webhooks.execute(
        "UPDATE webhook_endpoints SET enabled = false, disabled_reason = 'failing', disabled_at = now(), failures = 9,"
        " failing_since = now() - interval '5 days', paused_until = now() + interval '1 hour'"
        " WHERE id = CAST(:id AS uuid)",
        id=created["id"],
    )
    shown = await webhooks.get(created["id"])
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "failing")
    assert shown["failing_since"]
    assert shown["paused_until"]
    again = (await webhooks.send("PATCH", path, json={"enabled": True})).json()["data"]
    left = ("enabled", "disabled_reason", "disabled_at", "failing_since", "paused_until")
    assert [again[part] for part in left] == [True, None, None, None, None]
    off = (await webhooks.send("PATCH", path, json={"enabled": False})).json()["data"]
    assert (off["enabled"], off["disabled_reason"]) == (False, "by_hand")


async def test_another_address_has_never_failed_and_the_same_one_has(webhooks: Webhooks):
    created = await webhooks.create()
    path = f"/{created['id']}"
    await webhooks.execute(
        "UPDATE webhook_endpoints SET failures = 9, failing_since = now() WHERE id = CAST(:id AS uuid)",
        id=created["id"],
    )
    same = await webhooks.send("PATCH", path, json={"url": created["url"], "description": "Still there"})
    assert same.json()["data"]["failing_since"]
    other = await webhooks.send("PATCH", path, json={"url": "https://example.com/elsewhere"})
    assert other.json()["data"]["failing_since"] is None


async def test_a_deleted_webhook_is_gone_with_what_was_sent_there(webhooks: Webhooks):
    created = await webhooks.create()
    path = f"/{created['id']}"
    await webhooks.publish()
    assert (await webhooks.send("DELETE", path)).status_code == 204
    for method, below in (("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test")):
        assert (await webhooks.send(method, path + below)).status_code == 404
    for table in ("webhook_secrets", "webhook_deliveries"):
        assert (
            await webhooks.execute(f"SELECT 1 FROM {table} WHERE endpoint_id = CAST(:id AS uuid)", id=created["id"])
            == []
        )


async def test_a_closed_workspace_leaves_no_webhook_and_no_secret(webhooks: Webhooks, shared_database: Database):
    created = await webhooks.create()
    await webhooks.publish()
    engine = create_engine(SecretStr(shared_database.app_url), DatabaseSettings(), application="tests")
    await finish_closing(Sessions(engine), webhooks.tenant.workspace_id)
    await engine.dispose()
    for table in ("webhook_endpoints", "webhook_secrets", "webhook_deliveries"):
        query = f"SELECT 1 FROM {table} WHERE workspace_id = :id"
        assert await webhooks.execute(query, id=webhooks.tenant.workspace_id) == []
    (entry,) = await webhooks.execute(
        "SELECT actor_type FROM audit_entries WHERE target_id = :id AND action = 'webhook.delete'", id=created["id"]
    )
    assert entry["actor_type"] == "system"


async def test_there_are_no_more_than_twenty_however_many_are_made_at_once(webhooks: Webhooks):
    answers = await asyncio.gather(*(webhooks.send("POST", json=BODY) for _ in range(MAX_WEBHOOKS + 4)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] * MAX_WEBHOOKS + [409] * 4
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["error"]["code"] == "too_many_webhooks"


async def test_every_change_is_on_record_without_a_secret(webhooks: Webhooks):
    planted = "planted-header-value-55"
    created = await webhooks.create(headers={"X-Token": planted})
    path = f"/{created['id']}"
    await webhooks.send("PATCH", path, json={"enabled": False})
    await webhooks.send("PATCH", path, json={"headers": {"X-Token": planted + "-next"}, "enabled": True})
    await webhooks.send("PATCH", path, json={"enabled": True})
    await webhooks.send("POST", f"{path}/rotate-secret")
    await webhooks.send("DELETE", path)
    log = [entry for entry in await webhooks.audit_log() if str(entry).count("webhook")]
    told = {
        "url": BODY["url"],
        "event_types": BODY["event_types"],
        "description": "",
        "header_names": ["X-Token"],
        "enabled": True,
    }
    ours = await webhooks.execute(
        "SELECT action, before, after FROM audit_entries WHERE target_id = :id ORDER BY id", id=created["id"]
    )
    assert [tuple(entry.values()) for entry in ours] == [
        ("webhook.create", None, told),
        ("webhook.update", {"enabled": True}, {"enabled": False}),
        (
            "webhook.update",
            {"enabled": False, "header_names": ["X-Token"]},
            {"enabled": True, "header_names": ["X-Token"]},
        ),
        ("webhook.rotate_secret", None, None),
        ("webhook.delete", told, None),
    ]
    assert planted not in str(log)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"url": "http://example.com/"}, "url"),
    ({"url": "https://127.0.0.1/"}, "url"),
    ({"url": "https://example.com/" + "a" * 2048}, "url"),
    ({"event_types": []}, "event_types"),
    ({"event_types": ["enrichment.job.*"]}, "event_types[0]"),
    ({"event_types": ["credits.low", "credits.low"]}, "event_types"),
    ({"description": "a" * 501}, "description"),
    ({"description": "a\nb"}, "description"),
    ({"headers": {f"X-{n}": "1" for n in range(11)}}, "headers"),
    ({"headers": {"X-One": "1", "x-one": "2"}}, "headers"),
    ({"headers": {"X-One": 1}}, "headers"),
    ({"headers": {"X-One": "a\r\nX-Evil: 1"}}, "headers"),
    ({"headers": {"X-One": "é"}}, "headers"),
    ({"headers": {"X-One": "a" * 1025}}, "headers"),
    ({"secret": "whsec_mine"}, "secret"),
]
# Of the request itself, or none that HTTP knows.
OUR_HEADERS = ("Host", "user-agent", "Content-Type", "content-length", "Webhook-Signature", "webhook-id", "Svix-Id")
HOP_HEADERS = ("Connection", "Transfer-Encoding", "Proxy-Authorization", "X-Forwarded-For", "Expect", "Cookie")
NO_HEADERS = ("a b", "é", "a:b", "a\r\nb", "a" * 65, "")


async def test_what_is_wrong_is_refused_by_its_place_on_creation_and_on_change(webhooks: Webhooks):
    created = await webhooks.create()
    wrong = []
    for change, field in WRONG:
        for method, path, body in (("POST", "", BODY | change), ("PATCH", f"/{created['id']}", change)):
            answer = await webhooks.send(method, path, json=body)
            fields = [each["field"] for each in answer.json()["error"]["details"]]
            if (answer.status_code, fields) != (422, [field]):
                wrong.append((method, change, answer.text))
    assert wrong == []
    assert len((await webhooks.send("GET")).json()["data"]) == 1


async def test_a_header_of_the_request_itself_is_refused(webhooks: Webhooks):
    wrong = []
    for name in (*OUR_HEADERS, *HOP_HEADERS, *NO_HEADERS):
        answer = await webhooks.send("POST", json=BODY | {"headers": {name: "1"}})
        if answer.status_code != 422 or not answer.json()["error"]["details"][0]["field"].startswith("headers"):
            wrong.append((name, answer.text))
    assert wrong == []


async def test_without_a_key_to_encrypt_with_none_is_made(shared_database: Database, webhooks: Webhooks):
    async with running_api(shared_database) as client:
        answer = await Webhooks(client, webhooks.tenant, webhooks.owner).send("POST", json=BODY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "credentials_not_configured")
    assert (await webhooks.send("GET")).json()["data"] == []


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:443/a?b=c",
        "https://sub.example.co.uk:80/",
        "https://bücher.example.com/ü",
        "https://93.184.216.34/hook",
        "https://[2606:4700:4700::1111]/hook",
    ],
    ids=ascii,
)
def test_a_public_address_is_taken(url: str):
    check_url(url, PUBLIC)


@pytest.mark.parametrize(
    "url",
    [
        # Not https, not an address, or more than one says.
        *("http://example.com", "ftp://example.com", "javascript:alert(1)", "//example.com", "example.com", "https://"),
        *("https:///path", "https://user@example.com", "https://user:word@example.com", "https://example.com/#a"),
        *("https://exa mple.com", "https://example.com/\n", "https://example.com\u2028", "https://example.com\0"),
        # Ports.
        *("https://example.com:8443", "https://example.com:22", "https://example.com:0", "https://example.com:99999"),
        # Addresses inside, in every spelling.
        *("https://127.0.0.1", "https://127.1", "https://0x7f000001", "https://2130706433", "https://0177.0.0.1"),
        *("https://10.0.0.1", "https://172.16.0.1", "https://192.168.1.1", "https://169.254.169.254/latest"),
        *("https://100.100.100.200", "https://0.0.0.0", "https://255.255.255.255", "https://224.0.0.1"),
        *("https://[::1]", "https://[::]", "https://[fe80::1]", "https://[fc00::1]", "https://[fec0::1]"),
        *("https://[::ffff:127.0.0.1]", "https://[::127.0.0.1]", "https://[64:ff9b::7f00:1]"),
        *(
            "https://[2002:7f00:1::]",
            "https://[2001::1]",
            "https://[fe80::1%25eth0]",
            "https://\uff11\uff12\uff17.0.0.1",
        ),
        # Names that are local by form.
        *("https://localhost", "https://LOCALHOST.", "https://a.localhost", "https://printer.local", "https://db"),
        *("https://api.internal", "https://metadata.google.internal", "https://host.lan", "https://x.home.arpa"),
    ],
    ids=ascii,
)
def test_an_address_inside_or_of_another_form_is_refused(url: str):
    with pytest.raises(ValueError, match="must"):
        check_url(url, PUBLIC)


@pytest.mark.parametrize("url", ["http://127.0.0.1:3000/hook", "http://localhost:8000", "https://[::1]:1", "http://db"])
def test_in_development_an_address_inside_is_taken(url: str):
    check_url(url, PRIVATE)


def test_a_port_can_be_allowed():
    check_url("https://example.com:8443/", WebhookSettings(allowed_ports=(8443,)))
