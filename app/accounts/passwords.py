"""Passwords: argon2id, off the event loop and a few at a time."""

import asyncio
import unicodedata
from enum import Enum

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP's recommendation for argon2id. Each hash takes 19 MiB for as long as it lasts.
_PASSES = 2
_KIBIBYTES = 19 * 1024
_AT_A_TIME = 4


class Verdict(Enum):
    """What a check of a password found; OUTDATED is right, of parameters that are ours no longer."""

    WRONG = "wrong"
    RIGHT = "right"
    OUTDATED = "outdated"


class Passwords:
    """Hashes and checks the passwords of one process."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=_PASSES, memory_cost=_KIBIBYTES, parallelism=1)
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """What is stored: PHC form, with a salt of its own."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, _normal(password))

    async def check(self, password: str, stored: str | None) -> Verdict:
        """Whether `stored` is of this password. With None, for an account that is not there or has no password, it
        takes as long, and is WRONG."""
        async with self._slots:
            return await asyncio.to_thread(self._check, _normal(password), stored)

    def _check(self, password: str, stored: str | None) -> Verdict:
        if self._nobodys is None:
            self._nobodys = self._hasher.hash("a password that nobody has")
        try:
            self._hasher.verify(stored or self._nobodys, password)
        except (VerificationError, InvalidHashError):
            return Verdict.WRONG
        if stored is None:
            return Verdict.WRONG
        return Verdict.OUTDATED if self._hasher.check_needs_rehash(stored) else Verdict.RIGHT


def _normal(password: str) -> str:
    # Keyboards of different systems send the same letter in different forms.
    return unicodedata.normalize("NFC", password)
