"""Reading what a vendor sent: JSON of the promised structure, or Malformed.

Structure is strict, leaves are lenient: an object or list in the wrong place is a changed wire format and raises, a
leaf of another type is a value that is not there (`normalise`). Unknown fields are ignored. Messages name the place and
never quote the content, which may hold personal data.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from app.providers.errors import Malformed

Json = Mapping[str, Any]

_NOTHING: Json = {}


def decode(provider: str, body: bytes) -> Any:
    """The JSON value in a body. Raises Malformed."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # The decoder's message quotes the body, so it is not kept as the cause.
        raise Malformed(provider, "the body is not JSON") from None


def decode_object(provider: str, body: bytes) -> Json:
    """The JSON object in a body. Raises Malformed."""
    value = decode(provider, body)
    if not isinstance(value, dict):
        raise Malformed(provider, "the body is not a JSON object")
    return value


def section(provider: str, parent: Json, key: str) -> Json:
    """The object under a key, empty where it is absent or null. Raises Malformed for anything else."""
    value = parent.get(key)
    if value is None:
        return _NOTHING
    if not isinstance(value, dict):
        raise Malformed(provider, f"{key} is not an object")
    return value


def items(provider: str, parent: Json, key: str) -> Sequence[Any]:
    """The list under a key, empty where it is absent or null. Raises Malformed for anything else."""
    value = parent.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Malformed(provider, f"{key} is not a list")
    return value


def encode(provider: str, value: object) -> bytes:
    """A part of a decoded body as JSON. Raises Malformed where it is nested too deeply for that."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise Malformed(provider, "a part of the body is nested too deeply") from None
