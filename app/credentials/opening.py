"""Decrypting credentials, inside activities and nowhere else: nothing that the API process imports leads here."""

from collections.abc import Mapping
from typing import Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from app.credentials.errors import CredentialsNotConfigured, CredentialUnreadable
from app.credentials.sealing import NONCE_BYTES, Sealed, bound, key_encryption_key
from app.settings import CredentialSettings


class Opener:
    """Opens what was sealed with any of the key-encryption keys."""

    def __init__(self, keys: Mapping[str, AESGCM]) -> None:
        self._keys = keys

    @classmethod
    def of(cls, settings: CredentialSettings) -> Self:
        """Of settings without keys: one that opens nothing."""
        return cls({key_id: key_encryption_key(settings, key_id) for key_id in settings.keys})

    def open(self, workspace_id: UUID, provider: str, sealed: Sealed) -> SecretStr:
        """The secret. Raises CredentialsNotConfigured without the key that it was sealed with, CredentialUnreadable."""
        data_key = AESGCM(self.unwrap(workspace_id, provider, sealed.key_id, sealed.wrapped_key))
        return SecretStr(_decrypt(data_key, sealed.ciphertext, bound("secret", workspace_id, provider)).decode())

    def unwrap(self, workspace_id: UUID, provider: str, key_id: str, wrapped_key: bytes) -> bytes:
        """The data key. Raises CredentialsNotConfigured without the key that wraps it, CredentialUnreadable."""
        key = self._keys.get(key_id)
        if key is None:
            raise CredentialsNotConfigured(f"The settings lack the key {key_id} that a credential was encrypted with.")
        return _decrypt(key, wrapped_key, bound("data key", workspace_id, provider))


def _decrypt(key: AESGCM, sealed: bytes, associated: bytes) -> bytes:
    try:
        return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
    except (InvalidTag, ValueError):  # ValueError: of what is too short to hold a nonce and a tag
        raise CredentialUnreadable("A stored credential does not decrypt.") from None
