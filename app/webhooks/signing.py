"""Signing what is delivered, as Standard Webhooks 1.0.0 says: HMAC-SHA256 over ``{id}.{timestamp}.{body}``."""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from uuid import UUID

PREFIX = "whsec_"
# The specification wants 24 to 64 bytes.
_SECRET_BYTES = 32


def new_secret() -> str:
    """A secret as it is shown, once: ``whsec_`` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(os.urandom(_SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The key that a secret stands for."""
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)


def signed(keys: Sequence[bytes], event_id: UUID, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of an attempt at `timestamp`, in Unix seconds, with a signature by each key. What is sent must
    be these bytes of `body`."""
    message_id = str(event_id)
    text = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    signatures = (base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
