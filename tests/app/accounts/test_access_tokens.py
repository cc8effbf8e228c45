"""Which access tokens open GET /auth/me, and which never do."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import SecretStr

from tests.api import SIGNING_KEYS, new_tenant
from tests.app.accounts.people_api import People, people_at
from tests.people import new_person
from tests.servers import Database

OURS = Ed25519PrivateKey.from_private_bytes(bytes(32))
THEIRS = Ed25519PrivateKey.generate()
HEADERS = {"kid": "test"}
Payload = dict[str, Any]


def pem(key: Ed25519PrivateKey) -> SecretStr:
    return SecretStr(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def signed(payload: Payload, key: Ed25519PrivateKey = OURS, **headers: str) -> str:
    return jwt.encode(payload, key, algorithm="EdDSA", headers={**HEADERS, **headers})


def unsigned(payload: Payload) -> str:
    return jwt.encode(payload, None, algorithm="none", headers=HEADERS)


def signed_with_the_public_key(payload: Payload) -> str:
    """By a secret that everybody knows, for who takes the algorithm from the token."""
    public = OURS.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return jwt.encode(payload, public, algorithm="HS256", headers=HEADERS)


def changed_after_signing(payload: Payload) -> str:
    head, _, signature = signed(payload).split(".")
    _, body, _ = unsigned({**payload, "sub": payload["sid"]}).split(".")
    return f"{head}.{body}.{signature}"


def without_signature(payload: Payload) -> str:
    return signed(payload).rpartition(".")[0] + "."


def in_seconds(seconds: int) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


FORGED: dict[str, Callable[[Payload], str]] = {
    "alg=none": unsigned,
    "HS256 with the public key": signed_with_the_public_key,
    "another key": lambda payload: signed(payload, THEIRS),
    "an unknown key id": lambda payload: signed(payload, kid="another"),
    "a key id that is a path": lambda payload: signed(payload, kid="../../dev/null"),
    "no key id": lambda payload: jwt.encode(payload, OURS, algorithm="EdDSA"),
    "changed after signing": changed_after_signing,
    "no signature": without_signature,
    "expired": lambda payload: signed({**payload, "exp": in_seconds(-10)}),
    "issued in the future": lambda payload: signed({**payload, "iat": in_seconds(60)}),
    "another audience": lambda payload: signed({**payload, "aud": "somebody-else"}),
    "another issuer": lambda payload: signed({**payload, "iss": "somebody-else"}),
    "no audience": lambda payload: signed({key: payload[key] for key in payload if key != "aud"}),
    "no expiry": lambda payload: signed({key: payload[key] for key in payload if key != "exp"}),
    "no sign-in": lambda payload: signed({key: payload[key] for key in payload if key != "sid"}),
    "a sign-in of somebody else": lambda payload: signed({**payload, "sub": "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"}),
    "a subject that is no id": lambda payload: signed({**payload, "sub": "ada"}),
    "no token": lambda _: "x",
    "three empty parts": lambda _: "..",
    "a header that is no JSON": lambda payload: "e30" + signed(payload)[3:],
    "a header that is a list": lambda payload: (
        f"{urlsafe_b64encode(b'[]').decode()}.{signed(payload).split('.', 1)[1]}"
    ),
}


async def payload_of(people: People) -> Payload:
    person = await new_person(people.database)
    return {
        "iss": "holdfast",
        "aud": "holdfast-api",
        "sub": str(person.user_id),
        "sid": str(person.session_id),
        "iat": datetime.now(UTC),
        "exp": in_seconds(60),
    }


async def test_a_good_token_opens(people: People):
    payload = await payload_of(people)
    answer = await people.me(signed(payload))
    assert answer.json()["data"]["id"] == payload["sub"]


async def test_no_forged_token_opens(people: People):
    payload = await payload_of(people)
    for forgery, forge in FORGED.items():
        answer = await people.me(forge(payload))
        assert answer.status_code == 401, forgery
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "unauthenticated"


async def test_neither_does_no_token_another_scheme_nor_an_api_key(people: People):
    tenant = await new_tenant(people.database)
    token = signed(await payload_of(people))
    for headers, status in (
        ({}, 401),
        ({"Authorization": f"Basic {token}"}, 401),
        ({"Authorization": token}, 401),
        ({"Cookie": f"Authorization=Bearer {token}"}, 401),
        (tenant.headers, 403),
    ):
        assert (await people.client.get("/api/v1/auth/me", headers=headers)).status_code == status


async def test_what_an_older_key_signed_is_good_until_it_is_taken_away(database: Database, tmp_path: Path):
    new = {"new": pem(THEIRS)}
    async with people_at(database, tmp_path) as people:
        tokens = (await people.register())["tokens"]
    async with people_at(database, tmp_path, auth={"signing_keys": {**SIGNING_KEYS, **new}}) as people:
        assert (await people.me(tokens["access_token"])).status_code == 200
        tokens_now = (await people.post("/refresh", refresh_token=tokens["refresh_token"])).json()["data"]
        assert jwt.get_unverified_header(tokens_now["access_token"])["kid"] == "new"
    async with people_at(database, tmp_path, auth={"signing_keys": new}) as people:
        assert (await people.me(tokens["access_token"])).status_code == 401
        assert (await people.me(tokens_now["access_token"])).status_code == 200


@pytest.mark.parametrize("path", ["/register", "/login", "/refresh", "/magic-links", "/password-resets/consume"])
async def test_without_a_signing_key_nobody_signs_in(database: Database, tmp_path: Path, path: str):
    async with people_at(database, tmp_path, auth={"signing_keys": {}}) as people:
        answer = await people.post(path)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "sign_in_not_configured"
