"""What all of Hunter's endpoints have in common: the key, the envelope, the statuses (docs/providers.md, Hunter).

Its statuses are not what they are elsewhere: 403 is the rate limit, without any hint of when it ends; 429 says that the
month's credits are used up; 202 asks for patience and 222 is a failure although both are a 2xx; 451 is a person who has
objected.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from pydantic import SecretStr

from app.provider_settings import ProviderSettings
from app.providers import normalise
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    NotReady,
    PaymentRequired,
    ProviderError,
    RateLimited,
    Transient,
)
from app.providers.http import HttpAnswer, VendorClient, is_json, retry_after, status_failure
from app.providers.ports import Missed, Pending
from app.providers.wire import Json, decode_object, items, section

BASE_URL = "https://api.hunter.io/v2"

# Hunter names no time. Its finder works for ten seconds at the most where it is not told otherwise.
POLL_SECONDS = 5.0
# There is no handle: the same call again is the poll, and is counted once.
AGAIN = "again"

# In a header: a key in a URL ends in logs.
_KEY_HEADER = "X-API-KEY"
_EMAIL_STATUSES = frozenset({"valid", "invalid", "accept_all", "webmail", "disposable", "unknown"})


class Reply(NamedTuple):
    """The `data` of an answer, empty or not, and the whole of it as it came."""

    data: Json
    raw: bytes


class HunterApi:
    """Calls to Hunter in the name of one provider of the registry."""

    def __init__(self, provider: str, settings: ProviderSettings) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._provider = provider
        self._client = VendorClient(
            provider,
            settings.base_url or BASE_URL,
            headers={_KEY_HEADER: key},
            concurrency=settings.concurrency,
        )

    async def get(self, path: str, params: Mapping[str, str], api_key: SecretStr | None) -> Reply | Missed | Pending:
        """One call, with this key where there is one. Raises a ProviderError."""
        own_key = None if api_key is None else {_KEY_HEADER: api_key.get_secret_value()}
        return self._read(await self._client.request("GET", path, params, own_key))

    async def check(self, api_key: SecretStr, meters: Collection[str]) -> None:
        """Ask for the account, which is free. The first of the `meters` that it shows says what is left of the month.

        Raises CredentialRejected, PaymentRequired where nothing is left, or another ProviderError.
        """
        reply = await self.get("/account", {}, api_key)
        if not isinstance(reply, Reply):
            raise Malformed(self._provider, "there is no account")
        requests = section(self._provider, reply.data, "requests")
        meter = next((shown for name in meters if (shown := section(self._provider, requests, name))), {})
        used, available = (normalise.integer(meter.get(name)) for name in ("used", "available"))
        if used is not None and available is not None and used >= available:
            raise PaymentRequired(self._provider, "the credits of this month are used up")

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    def _read(self, answer: HttpAnswer) -> Reply | Missed | Pending:
        if answer.status in (200, 201):
            body = decode_object(self._provider, answer.body)
            if "data" not in body:
                raise Malformed(self._provider, "there is no data")
            return Reply(section(self._provider, body, "data"), answer.body)
        if answer.status == 204:
            return Missed()
        if answer.status == 202:
            return Pending(AGAIN, retry_after(answer) or POLL_SECONDS)
        if answer.status == 222:
            raise NotReady(self._provider, "the mail server of the address failed")
        return self._read_refusal(answer)

    def _read_refusal(self, answer: HttpAnswer) -> Missed:
        # Gateways in front of it answer in HTML, with statuses in the common meaning: not in Hunter's.
        if answer.status < 500 and not is_json(answer):
            raise Malformed(self._provider, f"status {answer.status} without JSON")
        error_id = self._error_id(answer) if answer.status < 500 else ""
        if error_id == "not_found" or answer.status == 404:
            return Missed()
        if answer.status == 451:
            return Missed("legal")
        raise self._failure(answer, error_id)

    def _failure(self, answer: HttpAnswer, error_id: str) -> ProviderError:
        match answer.status:
            case 400 | 422:
                return InvalidQuery(self._provider, f"refuses the query ({error_id or answer.status})")
            case 401:
                return CredentialRejected(self._provider, "refuses the API key")
            case 403:
                return RateLimited(self._provider, "the rate limit is reached", retry_after=retry_after(answer))
            case 409:
                return Transient(self._provider, "the same call is under way", retry_after=retry_after(answer))
            case 429:
                return PaymentRequired(self._provider, "the credits of this month are used up")
        return status_failure(self._provider, answer)

    def _error_id(self, answer: HttpAnswer) -> str:
        errors = items(self._provider, decode_object(self._provider, answer.body), "errors")
        first = errors[0] if errors else None
        error_id = first.get("id") if isinstance(first, dict) else None
        # It goes into a message, so it is taken only where it is a code and not a sentence.
        return error_id if isinstance(error_id, str) and error_id.isidentifier() and len(error_id) <= 40 else ""


def email_status(value: object) -> str | None:
    """What Hunter found out of an address as a canonical ``email_status``; None where it does not say."""
    status = normalise.text(value)
    return status if status is None or status in _EMAIL_STATUSES else "unknown"


def score(value: object) -> float | None:
    """Hunter's score, 0 to 100, as a share; None where there is none."""
    points = normalise.integer(value)
    return None if points is None else min(max(points, 0), 100) / 100
