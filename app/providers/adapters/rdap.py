"""RDAP: what the registry of a domain says of it (RFC 9082 and 9083; docs/providers.md, RDAP).

The base URL is a server that redirects to the registry of each domain, as rdap.org does. It is named by the settings,
and its failures are those of a provider. The registry is named by the input: whatever is wrong with it is the result
`Unreachable`, and says nothing about the others.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import aiohttp
from aiohttp import hdrs
from yarl import URL

from app.deadline import Deadline
from app.provider_settings import RdapSettings
from app.providers import normalise
from app.providers.errors import (
    CredentialRejected,
    InvalidQuery,
    Malformed,
    ProviderError,
    RateLimited,
    Refusal,
    Transient,
)
from app.providers.http import HttpAnswer, VendorClient, retry_after, status_failure
from app.providers.named_hosts import HostFailed, NamedHosts
from app.providers.ports import Answer, Capabilities, Found, Missed, Query, Unreachable
from app.providers.wire import Json, decode_object, items

BASE_URL = "https://rdap.org"
REDIRECTS = 3
# A registry of one top-level domain does not hold up the domains of all others for longer.
LONGEST_HINT_SECONDS = 60.0

_HEADERS: Mapping[str, str] = {hdrs.ACCEPT: "application/rdap+json, application/json"}
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
# The adapter ends a visit itself; the gate's limit is for what should not happen.
_GRACE_SECONDS = 2.0


class Rdap:
    """Companies by domain: the registrar of the domain that they have registered, and since when it is."""

    name = "rdap"
    capabilities = Capabilities(
        fields={"company": ("domain_registered_at", "registrar")},
        needs={"company": (frozenset({"domain"}),)},
        requires_credential=False,
        asks_named_hosts=True,
    )

    def __init__(
        self, settings: RdapSettings, *, make_connector: Callable[[], aiohttp.BaseConnector] | None = None
    ) -> None:
        self.credit_cost = settings.credit_cost
        self.timeout_seconds = 2 * settings.timeout_seconds + _GRACE_SECONDS
        self._host_time = Deadline(settings.timeout_seconds)
        self._base = URL((settings.base_url or BASE_URL).rstrip("/"))
        self._server = VendorClient(
            self.name, str(self._base.origin()), headers=_HEADERS, concurrency=settings.concurrency
        )
        self._registries = NamedHosts(
            self.name, headers=_HEADERS, concurrency=settings.concurrency, make_connector=make_connector
        )

    async def look_up(self, query: Query) -> Answer:
        """Ask for the registrable domain of the subject's, wherever the base URL leads.

        Missed for a domain that its registry does not know, Unreachable where none is known or it gives no answer.
        Raises a ProviderError for what is wrong with the base URL.
        """
        domain = normalise.registrable_domain(query.subject["domain"])
        if domain is None:
            return Missed()  # a public suffix, which nobody has registered
        address = self._base / "domain" / domain
        try:
            with self._host_time.running():
                answer = await self._ask_server(address)
        except TimeoutError:
            raise Transient(self.name, f"no answer within {self._host_time.seconds:g} s") from None
        if answer.status not in _REDIRECT_STATUSES:
            return self._read(answer, domain, query)
        try:
            with self._host_time.running():
                answer = await self._follow(address, answer)
            return self._read_registry(answer, domain, query)
        except TimeoutError:
            return Unreachable(f"the registry does not answer within {self._host_time.seconds:g} s")
        except HostFailed as reason:
            return Unreachable(f"the registry cannot be asked: {reason}")

    async def close(self) -> None:
        """Close every connection."""
        await self._server.close()
        await self._registries.close()

    async def _ask_server(self, address: URL) -> HttpAnswer:
        return await self._server.request("GET", address.raw_path, dict(address.query))

    async def _follow(self, address: URL, answer: HttpAnswer) -> HttpAnswer:
        for _ in range(REDIRECTS):
            try:
                address = address.join(URL(answer.headers[hdrs.LOCATION])).with_fragment(None)
                is_ours = address.origin() == self._base.origin()
            except (KeyError, ValueError):
                raise HostFailed("the redirect leads to no address") from None
            answer = await (self._ask_base(address) if is_ours else self._registries.get(address))
            if answer.status not in _REDIRECT_STATUSES:
                return answer
        raise HostFailed(f"more than {REDIRECTS} redirects")

    async def _ask_base(self, address: URL) -> HttpAnswer:
        """A registry on the host of the base URL, which may have an address that is not public."""
        try:
            return await self._ask_server(address)
        except ProviderError:
            raise HostFailed("the connection broke") from None

    def _read_registry(self, answer: HttpAnswer, domain: str, query: Query) -> Answer:
        if answer.status == 404:
            return Missed()
        if answer.status == 429:
            hint = retry_after(answer)
            raise RateLimited(
                self.name,
                "the registry limits its callers",
                retry_after=None if hint is None else min(hint, LONGEST_HINT_SECONDS),
            )
        try:
            return self._read(answer, domain, query)
        except CredentialRejected:
            raise HostFailed("it does not serve us") from None
        except Malformed:
            raise HostFailed(f"what it sends with status {answer.status} is no RDAP") from None
        except Refusal:
            raise HostFailed(f"status {answer.status}") from None

    def _read(self, answer: HttpAnswer, domain: str, query: Query) -> Answer:
        match answer.status:
            case 200:
                return self._found(answer, domain, query)
            case 400 | 422:
                raise InvalidQuery(self.name, f"refuses the domain (status {answer.status})")
            case 401 | 403:
                raise CredentialRejected(self.name, f"does not serve us (status {answer.status})")
            case 404:
                # Not the registry's word: it is the server that knows none.
                return Unreachable("no registry of its top-level domain is known")
            case 429:
                raise RateLimited(self.name, "the rate limit is reached", retry_after=retry_after(answer))
        raise status_failure(self.name, answer)

    def _found(self, answer: HttpAnswer, domain: str, query: Query) -> Answer:
        body = decode_object(self.name, answer.body)
        if body.get("objectClassName") != "domain":
            raise Malformed(self.name, "what it describes is no domain")
        described = body.get("ldhName")
        if described is not None and normalise.domain(described) != domain:
            raise Malformed(self.name, "what it describes is another domain")
        events, entities = items(self.name, body, "events"), items(self.name, body, "entities")
        values = normalise.asked_for(
            query.fields,
            (
                ("domain_registered_at", lambda: _registered_at(events)),
                ("registrar", lambda: next(filter(None, map(_full_name, _registrars(entities))), None)),
            ),
        )
        return Found(values, raw=answer.body) if values else Missed()


def _registered_at(events: Any) -> str | None:
    dates = (
        normalise.timestamp(event.get("eventDate"))
        for event in events
        if isinstance(event, dict) and event.get("eventAction") == "registration"
    )
    return next(filter(None, dates), None)


def _registrars(entities: Any) -> Iterator[Json]:
    for entity in entities:
        roles = entity.get("roles") if isinstance(entity, dict) else None
        if isinstance(roles, list) and "registrar" in roles:
            yield entity


def _full_name(entity: Json) -> str | None:
    """The name in a jCard (RFC 7095): ``["vcard", [["fn", {}, "text", "Acme Registrar"], …]]``."""
    match entity.get("vcardArray"):
        case [_, [*properties]]:
            names = (each[3] for each in properties if isinstance(each, list) and len(each) > 3 and each[0] == "fn")
            return next(filter(None, map(normalise.text, names)), None)
    return None
