"""The errors of the application: one class per meaning, named by its consequence.

    AppError
    ├── InvalidRequest          422  the request is wrong as a whole; `details` says where
    ├── Unauthenticated         401  no credential, or a bad one
    ├── Forbidden               403  the role or the scope lacks
    ├── NotFound                404  absent, or in a workspace that the caller is no member of
    │   └── NoSuchWorkspace
    ├── RequestTimeout          408  the body did not arrive, or too slowly
    ├── Conflict                409  the state of the resource does not allow it
    ├── PayloadTooLarge         413
    ├── UnsupportedMediaType    415
    ├── RateLimited             429  too many requests; `retry_after` says when there may be more
    ├── Unavailable             503  something that we need is away; try again
    └── ProviderError           (app/providers/errors.py)

Two doors turn them into answers: `app/api.py` for HTTP, `activities/errors.py` for Temporal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Detail:
    """One place in the input that is wrong: `field` is a path, ``records[3].domain`` or ``row 7, column domain``."""

    field: str
    message: str


class AppError(Exception):
    """Base of all errors that have a meaning to a caller, an operator or Temporal.

    `code` is stable snake_case, `status` the HTTP status, `retryable` whether the same call may succeed
    later, `retry_after` in how many seconds (None: the retry policy decides).
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, details: Sequence[Detail] = (), retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        self.retry_after = retry_after


class InvalidRequest(AppError):
    code = "invalid_request"
    status = 422


class Unauthenticated(AppError):
    code = "unauthenticated"
    status = 401


class Forbidden(AppError):
    code = "forbidden"
    status = 403


class NotFound(AppError):
    code = "not_found"
    status = 404


class NoSuchWorkspace(NotFound):
    """The same for one that is absent, deleted, or somebody else's: who has no part in it learns nothing of it."""

    def __init__(self) -> None:
        super().__init__("There is no such workspace, or the caller has no part in it.")


class RequestTimeout(AppError):
    code = "request_timeout"
    status = 408
    retryable = True


class Conflict(AppError):
    code = "conflict"
    status = 409


class PayloadTooLarge(AppError):
    code = "payload_too_large"
    status = 413


class UnsupportedMediaType(AppError):
    code = "unsupported_media_type"
    status = 415


class RateLimited(AppError):
    code = "rate_limited"
    status = 429
    retryable = True


class Unavailable(AppError):
    code = "unavailable"
    status = 503
    retryable = True
