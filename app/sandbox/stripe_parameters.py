"""Form-encoded parameters as Stripe nests them: `items[0][price]=…&metadata[k]=v&expand[]=customer`."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from app.sandbox.stripe_errors import StripeError, invalid, missing, unknown

_PART = re.compile(r"\[([^\[\]]*)\]")
_METADATA_KEYS, _METADATA_KEY, _METADATA_VALUE = 50, 40, 500


def decode(encoded: str) -> dict[str, Any]:
    """The parameters of a query or body: texts, lists and objects of them. Raises StripeError."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        head, bracket, _ = name.partition("[")
        parts = [head, *_PART.findall(name)] if bracket else [head]
        where = found
        for part in parts[:-1]:
            # A list is an object of numbers until all of it is there; `[]` counts on.
            where = where.setdefault(_number(where, part), {})
            if not isinstance(where, dict):
                raise invalid(f"Invalid parameter: {name}", param=name)
        where[_number(where, parts[-1])] = value
    return {name: _with_lists(value) for name, value in found.items()}


def _number(where: Mapping[str, Any], part: str) -> str:
    return part or str(len(where))


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    items = {name: _with_lists(each) for name, each in value.items()}
    if items and all(name.isdigit() for name in items):
        return [items[name] for name in sorted(items, key=int)]
    return items


class Parameters:
    """The parameters of a request, or of an object in it. Each is taken once; `finish` refuses those that nobody took,
    as Stripe refuses what it does not know. An empty text unsets what it is given for, and is taken for none."""

    def __init__(self, given: Mapping[str, Any], prefix: str = "") -> None:
        self._left = dict(given)
        self._prefix = prefix
        self._children: list[Parameters] = []

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def name(self, name: str) -> str:
        """The parameter's whole name, for an error."""
        return f"{self._prefix}[{name}]" if self._prefix else name

    def is_text(self, name: str) -> bool:
        """Whether it is neither an object nor a list."""
        return isinstance(self._left.get(name), str)

    def text(self, name: str) -> str | None:
        """A text that may be missing."""
        value = self._left.pop(name, None)
        if value is not None and not isinstance(value, str):
            raise invalid(f"Invalid string: {value}", param=self.name(name))
        return value or None

    def needed(self, name: str) -> str:
        """A text that must be given."""
        value = self.text(name)
        if value is None:
            raise missing(self.name(name))
        return value

    def whole(self, name: str, *, least: int = 0, most: int | None = None) -> int | None:
        """A whole number that may be missing."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"-?\d{1,15}", value):
            raise invalid(f"Invalid integer: {value}", param=self.name(name), code="parameter_invalid_integer")
        number = int(value)
        if number < least or (most is not None and number > most):
            raise invalid(f"Invalid integer: {value}", param=self.name(name), code="parameter_invalid_integer")
        return number

    def flag(self, name: str) -> bool | None:
        """true or false, or missing."""
        value = self.choice(name, "true", "false")
        return None if value is None else value == "true"

    def choice(self, name: str, *choices: str) -> str | None:
        """One of the choices, or missing."""
        value = self.text(name)
        if value is not None and value not in choices:
            said = f"Invalid {self.name(name)}: must be one of {', '.join(choices)}"
            raise invalid(said, param=self.name(name))
        return value

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        value = self._left.pop(name, None) or []
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise invalid("Invalid array", param=self.name(name))
        return value

    def child(self, name: str) -> "Parameters":
        """An object; without parameters where it is missing."""
        value = self._left.pop(name, None) or {}
        if not isinstance(value, dict):
            raise invalid("Invalid object", param=self.name(name))
        return self._keep(Parameters(value, self.name(name)))

    def children(self, name: str) -> list["Parameters"]:
        """A list of objects."""
        value = self._left.pop(name, None) or []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise invalid("Invalid array", param=self.name(name))
        return [self._keep(Parameters(each, self.name(name) + f"[{number}]")) for number, each in enumerate(value)]

    def metadata(self, before: Mapping[str, str] | None = None) -> dict[str, str]:
        """`metadata` put over what there was; an empty value takes a key away, an empty `metadata` all of them."""
        if self._left.get("metadata") == "":
            del self._left["metadata"]
            return {}
        value = self._left.pop("metadata", None) or {}
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise invalid("Invalid object", param=self.name("metadata"))
        for key, text in value.items():
            if len(key) > _METADATA_KEY or len(text) > _METADATA_VALUE:
                raise _too_long(self.name(f"metadata[{key}]"))
        merged = {key: text for key, text in {**(before or {}), **value}.items() if text}
        if len(merged) > _METADATA_KEYS:
            raise _too_long(self.name("metadata"))
        return merged

    def ignore(self, *names: str) -> None:
        """Take what changes nothing here."""
        for name in names:
            self._left.pop(name, None)

    def finish(self) -> None:
        """Raises StripeError for what nobody took."""
        for name in self._left:
            raise unknown(self.name(name))
        for child in self._children:
            child.finish()

    def _keep(self, child: "Parameters") -> "Parameters":
        self._children.append(child)
        return child


def _too_long(name: str) -> StripeError:
    return invalid(f"Metadata is too large: {name}", param=name)
