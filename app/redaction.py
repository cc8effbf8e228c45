"""Masks secrets in what is about to be logged or answered: the last line of defence, behind not putting them there."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import SecretStr

MASK = "***"

# Names whose values are secrets, at the end of longer names too (``hunter_api_key``); ``api_key_id`` is none.
_NAMES = r"(?:api[_-]?key|pass(?:word|wd)|secret|token|authorization|cookie|credentials?)"
_SECRET_NAME = re.compile(rf"(?:.*[_-])?{_NAMES}", re.IGNORECASE)

_PATTERNS = (
    # Our own keys, wherever they stand.
    (re.compile(r"hf_live_[\w-]+"), f"hf_live_{MASK}"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    # The password in a URL. It may hold an @ that nobody encoded.
    (re.compile(r"(://[^\s/:@]*):[^\s/]+@"), rf"\1:{MASK}@"),
    # name=value and "name": "value", as in query strings, connection strings and printed mappings.
    (
        re.compile(
            rf"""({_NAMES}["']?\s*[=:]\s*)("[^"]*"|'[^']*'|(?!bearer\b|basic\b)[^\s"'&,;)}}\]]+)""", re.IGNORECASE
        ),
        rf"\1{MASK}",
    ),
)


# One of these is in whatever a pattern finds; nearly every text has none, and to look for them takes no pattern.
_HINTS = (
    *("hf_live_", "bearer", "basic", "://", "api_key", "api-key", "apikey", "password", "passwd", "secret", "token"),
    *("authorization", "cookie", "credential"),
)


def redact_text(text: str) -> str:
    """`text` with whatever looks like a secret masked."""
    if is_harmless(text):
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact(value: Any) -> Any:
    """A copy of `value` that JSON can hold, with its secrets masked, however deep they are.

    Whatever is no JSON value becomes its text.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Mapping):
        return {redact_text(str(key)): redact_named(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(each) for each in value]
    return redact_text(str(value))


def redact_named(name: str, value: Any) -> Any:
    """`redact(value)`, and all of it masked where `name` says that it is a secret."""
    if value is not None and _is_secret_name(name):
        return MASK
    return redact(value)


def is_harmless(text: str) -> bool:
    """Whether there is nothing in `text` that could be, or could name, a secret. It may be JSON."""
    # The patterns know more about upper and lower case than `lower` does.
    if not text.isascii():
        return False
    lower = text.lower()
    for hint in _HINTS:  # noqa: SIM110  # a generator costs more than the search
        if hint in lower:
            return False
    return True


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.fullmatch(name) is not None
