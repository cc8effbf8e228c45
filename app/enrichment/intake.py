"""The rows of a new job, whichever way they came: position, key, the input as it came, and what to look it up by."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from app.enrichment.subjects import InputError, Subject, normalise
from app.errors import Detail, InvalidRequest
from app.providers.ports import SUBJECT_KEYS, Entity, JsonValue

MAX_KEY = 255

# The code of a record that cannot be looked up: its `reason`, and the code of its `error`.
INVALID_INPUT = "invalid_input"


@dataclass(frozen=True, slots=True)
class InputRow:
    """One record. Positions count from 1. Either `subject` says what to look up, or `error` why that cannot be."""

    position: int
    key: str
    input: Mapping[str, JsonValue]
    subject: Subject | None
    error: InputError | None


class Intake(Protocol):
    """The rows of one request, right as a whole. `columns` are the input's own, in order; `total` counts the rows."""

    @property
    def columns(self) -> Sequence[str]: ...

    @property
    def total(self) -> int: ...

    def rows(self) -> Iterator[InputRow]:
        """Every row in order. Raises InvalidRequest where a row's key is wrong."""

    def place(self, position: int, column: str) -> str:
        """How callers find a value in what they sent."""

    def place_of_key(self, position: int) -> str:
        """How callers find the key of a row."""


class RecordsIntake:
    """Records of a JSON body: objects, of which the members named in SUBJECT_KEYS and `key` are text or null.

    Raises InvalidRequest for more than `max_rows`, and for a value that cannot be stored. Walks through all of them:
    call it in a thread.
    """

    def __init__(self, entity: Entity, records: Sequence[Mapping[str, JsonValue]], *, max_rows: int) -> None:
        if len(records) > max_rows:
            raise InvalidRequest(f"A job has at most {max_rows:,} records.", details=[Detail("records", "Too many.")])
        self._entity = entity
        self._records = records
        self.columns: Sequence[str] = tuple(dict.fromkeys(name for record in records for name in record))
        self.total = len(records)
        for position, record in enumerate(records, start=1):
            for column, value in record.items():
                if problem := _unstorable(column) or _unstorable(value):
                    place = self.place(position, column)
                    raise InvalidRequest("A record cannot be stored.", details=[Detail(place, problem)])

    def rows(self) -> Iterator[InputRow]:
        fields = SUBJECT_KEYS[self._entity]
        for position, record in enumerate(self._records, start=1):
            inputs = {field: str(record.get(field) or "") for field in fields}
            key = str(record.get("key") or "")
            yield make_row(self._entity, position, key, record, inputs, self.place_of_key(position))

    def place(self, position: int, column: str) -> str:
        return f"records[{position - 1}].{column}"

    def place_of_key(self, position: int) -> str:
        return self.place(position, "key")


class RecordIntake(RecordsIntake):
    """The one record of a request that takes no list of them."""

    def place(self, position: int, column: str) -> str:  # noqa: ARG002
        return f"record.{column}"


def make_row(
    entity: Entity,
    position: int,
    key: str,
    as_it_came: Mapping[str, JsonValue],
    inputs: Mapping[str, str],
    key_place: str,
) -> InputRow:
    """Normalise one row; an empty key becomes the row's number. Raises InvalidRequest for a key that is too long."""
    key = key.strip() or str(position)
    if len(key) > MAX_KEY:
        problem = Detail(key_place, f"A key has at most {MAX_KEY} characters.")
        raise InvalidRequest("A key is too long.", details=[problem])
    try:
        return InputRow(position, key, as_it_came, normalise(entity, inputs), None)
    except InputError as error:
        return InputRow(position, key, as_it_came, None, error)


def _unstorable(value: JsonValue) -> str | None:
    """What keeps PostgreSQL, or JSON as everybody reads it, from holding the value."""
    if isinstance(value, str):
        return "This holds a NUL character." if "\0" in value else None
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**64 else "This number has more than 64 bits."
    if isinstance(value, float):
        return None if math.isfinite(value) else "This is not a finite number."
    if isinstance(value, dict):
        return next(filter(None, map(_unstorable, chain(value, value.values()))), None)
    if isinstance(value, list):
        return next(filter(None, map(_unstorable, value)), None)
    return None
