"""Encrypting a credential: AES-256-GCM under a data key of its own, which a key-encryption key wraps.

Both layers are bound to the workspace and the provider: a row that somebody moves does not open. Rotation wraps the
data key anew and leaves the secret alone. This module only seals; what opens is app/credentials/opening.py, which the
API process never imports (a contract in pyproject.toml).
"""

import os
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Literal, Self
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.credentials.errors import CredentialsNotConfigured
from app.settings import CredentialSettings

NONCE_BYTES = 12
_KEY_BITS = 256


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted secret as it is stored. `wrapped_key` and `ciphertext` begin with their nonces."""

    key_id: str
    wrapped_key: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)


class Sealer:
    """Seals with the newest key-encryption key."""

    def __init__(self, key_id: str, key: AESGCM) -> None:
        self.key_id = key_id
        self._key = key

    @classmethod
    def of(cls, settings: CredentialSettings) -> Self:
        """Raises CredentialsNotConfigured."""
        if not settings.keys:
            raise CredentialsNotConfigured("This installation has no key to encrypt credentials with.")
        key_id = next(reversed(settings.keys))
        return cls(key_id, key_encryption_key(settings, key_id))

    def seal(self, workspace_id: UUID, provider: str, secret: str) -> Sealed:
        """Encrypt the workspace's secret for this provider, under a new data key."""
        data_key = AESGCM.generate_key(_KEY_BITS)
        ciphertext = _encrypt(AESGCM(data_key), secret.encode(), bound("secret", workspace_id, provider))
        return Sealed(self.key_id, self.wrap(workspace_id, provider, data_key), ciphertext)

    def wrap(self, workspace_id: UUID, provider: str, data_key: bytes) -> bytes:
        """Encrypt a data key."""
        return _encrypt(self._key, data_key, bound("data key", workspace_id, provider))


def key_encryption_key(settings: CredentialSettings, key_id: str) -> AESGCM:
    """The key of that id, which the settings have."""
    return AESGCM(b64decode(settings.keys[key_id].get_secret_value()))


def bound(layer: Literal["secret", "data key"], workspace_id: UUID, provider: str) -> bytes:
    """What a ciphertext of this layer is bound to. The id has a fixed length, so no two places look the same."""
    return b"\0".join((b"holdfast credential", layer.encode(), workspace_id.bytes + provider.encode()))


def _encrypt(key: AESGCM, plaintext: bytes, associated: bytes) -> bytes:
    # Random nonces are safe for 2³² messages a key: a data key encrypts one, a key-encryption key one a credential.
    nonce = os.urandom(NONCE_BYTES)
    return nonce + key.encrypt(nonce, plaintext, associated)
