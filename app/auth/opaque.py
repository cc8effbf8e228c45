"""Opaque tokens: API keys, refresh tokens, and what links in mails carry. The database has their hashes only."""

import hashlib
import secrets

_RANDOM_BYTES = 32


def new_token() -> str:
    """256 random bits in base64url: 43 characters."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def token_hash(token: str) -> bytes:
    """What is stored: 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).digest()
