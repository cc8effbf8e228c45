"""Lists by cursor: opaque to callers, stable under inserts, never an OFFSET."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, Self, TypeVar

from fastapi import Query
from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import Detail, InvalidRequest

Item = TypeVar("Item")

MAX_LIMIT = 500

# For signatures of routes: ``limit: Limit = 50, cursor: CursorText = None``.
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many to return at the most.")]
CursorText = Annotated[
    str | None, Query(max_length=1000, description="`meta.next_cursor` of the page before; none for the first page.")
]


class Cursor(BaseModel):
    """Where a page ended; a list subclasses it with the columns of its sort order.

    Bound every number as its column is: a forged cursor must end here, not as an error of the database.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def encode(self) -> str:
        return urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Self:
        """The cursor that `encode` wrote. Raises InvalidRequest that names ``cursor``."""
        try:
            return cls.model_validate_json(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (Base64Error, ValueError, ValidationError) as error:
            raise InvalidRequest(
                "The cursor is not one that this list has returned.",
                details=[Detail("cursor", "is not a cursor of this list")],
            ) from error


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items in order. `next_cursor` continues after them; None at the end."""

    items: Sequence[Item]
    next_cursor: str | None


def page_of(items: Sequence[Item], limit: int, cursor_after: Callable[[Item], Cursor]) -> Page[Item]:
    """The first `limit` of `items`, of which the caller fetched one more to see whether there is a next page."""
    if len(items) <= limit:
        return Page(items, None)
    return Page(items[:limit], cursor_after(items[limit - 1]).encode())
