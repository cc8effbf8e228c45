"""Access tokens: JWTs signed with Ed25519, good for minutes.

Two keys can be good at a time: a new one signs while what the old one signed is still accepted.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from app.errors import Unauthenticated
from app.settings import AuthSettings, SettingsError

# Never from the token: one that names another algorithm is refused.
_ALGORITHMS = ["EdDSA"]
_LEEWAY = timedelta(seconds=5)
# Tokens whose signature was checked and need not be again until they expire; of each a kilobyte.
_MAX_VERIFIED = 4096


class Claims(NamedTuple):
    """Who a token speaks for, and the sign-in that it came from."""

    user_id: UUID
    session_id: UUID


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Makes and reads access tokens. The last key signs; each is good for reading."""

    signing_keys: Mapping[str, Ed25519PrivateKey]
    public_keys: Mapping[str, Ed25519PublicKey]
    issuer: str
    audience: str
    seconds: int
    _verified: dict[str, tuple[Claims, float]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, settings: AuthSettings) -> "AccessTokens":
        """Raises SettingsError where a key is no Ed25519 private key in PEM."""
        keys: dict[str, Ed25519PrivateKey] = {}
        for key_id, pem in settings.signing_keys.items():
            try:
                key = load_pem_private_key(pem.get_secret_value().encode(), password=None)
            except ValueError:
                key = None
            if not isinstance(key, Ed25519PrivateKey):
                raise SettingsError(f"HOLDFAST_AUTH__SIGNING_KEYS: {key_id} is not an Ed25519 private key in PEM")
            keys[key_id] = key
        return cls(
            keys,
            {key_id: key.public_key() for key_id, key in keys.items()},
            settings.issuer,
            settings.audience,
            settings.access_token_seconds,
        )

    def issue(self, claims: Claims) -> str:
        """A token that is good from now for `seconds`. Raises LookupError without a signing key."""
        if not self.signing_keys:
            raise LookupError("no signing key")
        key_id = next(reversed(list(self.signing_keys)))
        now = datetime.now(UTC)
        payload = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": str(claims.user_id),
            "sid": str(claims.session_id),
            "iat": now,
            "exp": now + timedelta(seconds=self.seconds),
        }
        return jwt.encode(payload, self.signing_keys[key_id], algorithm="EdDSA", headers={"kid": key_id})

    def read(self, token: str) -> Claims:
        """Raises Unauthenticated: malformed, forged, expired, from somebody else or for somebody else."""
        claims, good_until = self._verified.get(token, (None, 0.0))
        if claims is not None and time.time() < good_until:
            return claims
        try:
            key = self.public_keys[jwt.get_unverified_header(token)["kid"]]
            payload = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                issuer=self.issuer,
                audience=self.audience,
                leeway=_LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "sid"]},
            )
            claims = Claims(UUID(payload["sub"]), UUID(payload["sid"]))
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The access token has expired: refresh it.") from None
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError, AttributeError):
            raise Unauthenticated("The access token is not valid: sign in again.") from None
        # Those that have expired go with all others: what it costs is one check more of each.
        if len(self._verified) >= _MAX_VERIFIED:
            self._verified.clear()
        self._verified[token] = (claims, payload["exp"] + _LEEWAY.total_seconds())
        return claims
