"""Lists by cursor: opaque to callers, stable under inserts, never an OFFSET."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, Self, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import Detail, InvalidRequest

Item = TypeVar("Item")
Shown = TypeVar("Shown")

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


class NewestFirst(Cursor):
    """The newest first, which is by id, downwards: the next page begins before this one."""

    before: UUID


async def _before(cursor: CursorText = None) -> UUID | None:
    return NewestFirst.decode(cursor).before if cursor is not None else None


# In place of `cursor` for a list that is `newest_first`: what its page begins before, None for the first page.
Before = Annotated[UUID | None, Depends(_before)]


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items in order. `next_cursor` continues after them; None at the end."""

    items: Sequence[Item]
    next_cursor: str | None

    def map(self, shown: Callable[[Item], Shown]) -> "Page[Shown]":
        """The page with each item as it is shown."""
        return Page([shown(item) for item in self.items], self.next_cursor)


def page_of(items: Sequence[Item], limit: int, cursor_after: Callable[[Item], Cursor]) -> Page[Item]:
    """The first `limit` of `items`, of which the caller fetched one more to see whether there is a next page."""
    if len(items) <= limit:
        return Page(items, None)
    return Page(items[:limit], cursor_after(items[limit - 1]).encode())


def newest_first(items: Sequence[Item], limit: int, id_of: Callable[[Item], UUID]) -> Page[Item]:
    """`page_of` for a list that takes `Before`."""
    return page_of(items, limit, lambda item: NewestFirst(before=id_of(item)))
