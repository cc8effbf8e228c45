"""The HTTP side of idempotency keys: the header that asks for it, and the answer given again."""

from typing import Annotated

from fastapi import Header, Response

from app.envelope import envelope, respond
from app.idempotency.answers import Remembered

# For signatures of routes: ``idempotency_key: IdempotencyKey = None``.
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A name for this request, of your choice. The same request with the same key, within 7 days, gets "
        "the first answer again and changes nothing.",
    ),
]


def answer(first: Remembered, *, replayed: bool) -> Response:
    """The answer that was or will be remembered; `replayed` says so in the header Idempotent-Replayed."""
    headers = {**first.headers, **({"Idempotent-Replayed": "true"} if replayed else {})}
    return respond(envelope(first.data), first.status, headers)
