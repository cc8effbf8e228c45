"""Keys that a stack makes for itself, once."""

import secrets
from base64 import b64encode

# Of an Ed25519 private key in PKCS #8 all but the last 32 bytes are the same (RFC 8410, section 7). Written down here
# because `cryptography` would cost the supervisor 10 MB for as long as it lives.
_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")


def new_signing_key() -> str:
    """An Ed25519 private key in PEM."""
    body = b64encode(_PKCS8 + secrets.token_bytes(32)).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"


def new_webhook_secret() -> str:
    """What the sandbox's Stripe signs its events with."""
    return f"whsec_{secrets.token_hex(16)}"


def new_encryption_key() -> str:
    """A key for AES-256 in base64."""
    return b64encode(secrets.token_bytes(32)).decode()
