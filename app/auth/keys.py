"""The secret of an API key: how it is made, recognised and kept."""

import hashlib
import re
import secrets

PREFIX = "hf_live_"
_RANDOM_BYTES = 32
_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


def new_secret() -> str:
    """A new secret, ``hf_live_…``: 32 random bytes in base64url."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def is_secret(text: str) -> bool:
    """Whether `text` has the form of a secret."""
    return _FORM.fullmatch(text) is not None


def is_key(text: str) -> bool:
    """Whether `text` claims to be an API key, and not an access token."""
    return text.startswith(PREFIX)


def secret_hash(secret: str) -> bytes:
    """What is stored: 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()
