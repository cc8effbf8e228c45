"""Who sent a request: the peer, or whoever a proxy that we trust says it was."""

import json

import pytest

from app.forwarded import TrustedProxies
from app.main import create_app
from app.settings import PREFIX, SettingsError, load_settings
from tests.api import client_of, new_tenant, settings_for
from tests.servers import Database

PROXIES = TrustedProxies(["10.0.0.0/8", "192.0.2.1", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "127.0.0.1, 198.51.100.1, 192.0.2.1", "198.51.100.1"),
        ("10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, <script>, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", ",,,", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1," * 10_000, "10.0.0.1"),
        (None, "198.51.100.1", None),
    ],
    ids=str,
)
def test_a_client_is_named_by_the_nearest_one_that_no_trusted_proxy_is(
    peer: str | None, forwarded: str, client: str | None
):
    assert PROXIES.client(peer, "http", forwarded, "").address == client


@pytest.mark.parametrize(
    ("peer", "scheme", "proto", "tls"),
    [
        ("203.0.113.9", "http", "https", False),
        ("203.0.113.9", "https", "", True),
        ("10.0.0.1", "http", "https", True),
        ("10.0.0.1", "http", "http, HTTPS", True),
        ("10.0.0.1", "https", "http", False),
        ("10.0.0.1", "http", "", False),
    ],
)
def test_tls_is_believed_of_a_trusted_proxy_alone(peer: str, scheme: str, proto: str, tls: bool):
    assert PROXIES.client(peer, scheme, "", proto).tls is tls


def test_without_trusted_proxies_nothing_is_believed():
    assert TrustedProxies([]).client("127.0.0.1", "http", "198.51.100.1", "https") == ("127.0.0.1", False)


async def test_log_lines_name_the_client_of_a_trusted_proxy(database: Database, capsys: pytest.CaptureFixture[str]):
    tenant = await new_tenant(database)
    async with client_of(create_app(settings_for(database, trusted_proxies=["127.0.0.1"]))) as client:
        headers = tenant.headers | {"X-Forwarded-For": "198.51.100.1"}
        await client.get(f"{tenant.path}/credits", headers=headers)
        await client.get(f"{tenant.path}/credits", headers=tenant.headers)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"request"' in line]
    assert [line["client_address"] for line in lines] == ["198.51.100.1", "127.0.0.1"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRUSTED_PROXIES", '["10.0.0.1/8"]'),
        ("TRUSTED_PROXIES", '["proxy.example"]'),
        ("CORS_ORIGINS", '["*"]'),
        ("CORS_ORIGINS", '["https://app.example.com/"]'),
        ("CORS_ORIGINS", '["app.example.com"]'),
    ],
)
def test_a_proxy_or_an_origin_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv(f"{PREFIX}{name}", value)
    with pytest.raises(SettingsError, match=f"^{PREFIX}{name}__0: must be "):
        load_settings()
