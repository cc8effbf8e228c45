"""What can be wrong with an Idempotency-Key."""

from app.errors import Conflict


class IdempotencyInProgress(Conflict):
    """A request with the same key is being worked on: send this one again in a second."""

    code = "idempotency_in_progress"
    retryable = True

    def __init__(self) -> None:
        super().__init__("A request with the same Idempotency-Key is being worked on; try again.", retry_after=1)


class IdempotencyKeyReused(Conflict):
    """The key was used for another request: take a new key for a new request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for another request. Take a new key for a new request.")
