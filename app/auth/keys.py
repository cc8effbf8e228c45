"""The secret of an API key: how it is made and recognised."""

import re

from app.auth.opaque import new_token

PREFIX = "hf_live_"
_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


def new_secret() -> str:
    """A new secret, ``hf_live_…``."""
    return PREFIX + new_token()


def is_secret(text: str) -> bool:
    """Whether `text` has the form of a secret."""
    return _FORM.fullmatch(text) is not None


def is_key(text: str) -> bool:
    """Whether `text` claims to be an API key, and not an access token."""
    return text.startswith(PREFIX)
