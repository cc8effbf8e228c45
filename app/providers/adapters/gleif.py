"""GLEIF, API v1 (docs/providers.md, GLEIF): the register of Legal Entity Identifiers, free and without a key.

It knows no website, so companies are asked for by name. Whether its filter by legal name wants the whole name or words
of it is not documented: either way what comes back is held against the name that was asked for.
"""

from typing import Any

from app.provider_settings import GleifSettings
from app.providers import identifiers, normalise
from app.providers.company_names import CompanyName, only_match, read
from app.providers.errors import CredentialRejected, InvalidQuery, Malformed, ProviderError, RateLimited
from app.providers.http import HttpAnswer, VendorClient, is_json, retry_after, status_failure
from app.providers.ports import Answer, Capabilities, Found, JsonValue, Missed, Query
from app.providers.us_states import US_STATES
from app.providers.wire import Json, decode_object, encode, items, section

BASE_URL = "https://api.gleif.org/api/v1"

# The entity was formed then; the business may be older, or have moved its seat.
FORMED_CONFIDENCE = 0.6

# Records to a page. Where more have the words of a name, whether it is the only one of it cannot be told.
_PAGE = 100
# Of registrations that stand for no living entity, or for one that has another.
_WITHDRAWN = frozenset({"DUPLICATE", "ANNULLED", "CANCELLED", "MERGED", "RETIRED"})


class Gleif:
    """Companies by name. The confidence is that of the match of names (`company_names`)."""

    name = "gleif"
    capabilities = Capabilities(
        fields={
            "company": (
                "legal_name",
                "founded_year",
                "lei",
                "street",
                "city",
                "region",
                "postal_code",
                "country",
                "country_code",
            )
        },
        needs={"company": (frozenset({"name"}),)},
        requires_credential=False,
    )

    def __init__(self, settings: GleifSettings) -> None:
        self.credit_cost = settings.credit_cost
        self.timeout_seconds = settings.timeout_seconds
        self._client = VendorClient(
            self.name,
            settings.base_url or BASE_URL,
            headers={"Accept": "application/vnd.api+json"},
            concurrency=settings.concurrency,
        )

    async def look_up(self, query: Query) -> Answer:
        """One page of the records of that legal name: the only living one whose name matches. Several, or more records
        than a page holds, are a miss. Raises a ProviderError."""
        # A comma separates alternatives, as in its filter by LEI.
        name = query.subject["name"].replace(",", " ")
        params = {"filter[entity.legalName]": name, "page[size]": str(_PAGE), "page[number]": "1"}
        body = self._read(await self._client.request("GET", "/lei-records", params))
        if body is None:
            return Missed()
        records = items(self.name, body, "data")
        pages = section(self.name, section(self.name, body, "meta"), "pagination")
        total = normalise.integer(pages.get("total"))
        if total is not None and total > len(records):
            return Missed()
        match = only_match(read(query.subject["name"]), self._living(records))
        if match is None:
            return Missed()
        record, confidence = match
        values = self._values(record, query)
        if not values:
            return Missed()
        doubts = {"founded_year": min(FORMED_CONFIDENCE, confidence)} if "founded_year" in values else {}
        return Found(values, confidence, doubts, encode(self.name, record))

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    def _living(self, records: Any) -> list[tuple[CompanyName, Json]]:
        living: list[tuple[CompanyName, Json]] = []
        for record in records:
            if not isinstance(record, dict):
                raise Malformed(self.name, "a record is not an object")
            attributes = section(self.name, record, "attributes")
            entity = section(self.name, attributes, "entity")
            registration = section(self.name, attributes, "registration").get("status")
            legal_name = normalise.text(section(self.name, entity, "legalName").get("name"))
            is_withdrawn = isinstance(registration, str) and registration in _WITHDRAWN
            if legal_name and entity.get("status") != "INACTIVE" and not is_withdrawn:
                living.append((read(legal_name), record))
        return living

    def _values(self, record: Json, query: Query) -> dict[str, JsonValue]:
        attributes = section(self.name, record, "attributes")
        entity = section(self.name, attributes, "entity")
        address = section(self.name, entity, "headquartersAddress") or section(self.name, entity, "legalAddress")
        lines = [line for each in items(self.name, address, "addressLines") if (line := normalise.text(each))]
        return normalise.asked_for(
            query.fields,
            (
                ("legal_name", lambda: normalise.text(section(self.name, entity, "legalName").get("name"))),
                ("founded_year", lambda: normalise.year(entity.get("creationDate"))),
                ("lei", lambda: identifiers.lei(attributes.get("lei"))),
                ("street", lambda: normalise.text(", ".join(lines))),
                ("city", lambda: normalise.text(address.get("city"))),
                ("region", lambda: _region(address.get("region"))),
                ("postal_code", lambda: normalise.text(address.get("postalCode"))),
                ("country", lambda: normalise.country(address.get("country"))),
                ("country_code", lambda: normalise.country_code(address.get("country"))),
            ),
        )

    def _read(self, answer: HttpAnswer) -> Json | None:
        """The body of an answer, None for a miss. Raises a ProviderError."""
        if answer.status >= 300:
            if answer.status == 404 and is_json(answer):
                return None
            raise self._failure(answer)
        if not is_json(answer):
            raise Malformed(self.name, "the answer is not JSON")
        body = decode_object(self.name, answer.body)
        if "data" not in body:
            raise Malformed(self.name, "there is no data")
        return body

    def _failure(self, answer: HttpAnswer) -> ProviderError:
        match answer.status:
            case 400 | 422 if is_json(answer):
                return InvalidQuery(self.name, f"refuses the query (status {answer.status})")
            case 401 | 403:
                return CredentialRejected(self.name, "does not serve this client")
            case 429:
                return RateLimited(self.name, "the rate limit is reached", retry_after=retry_after(answer))
        return status_failure(self.name, answer)


def _region(value: object) -> str | None:
    """The name of a state of the USA from ``US-TX``; elsewhere the code (ISO 3166-2) as it is."""
    code = normalise.text(value)
    return US_STATES.get(code[3:], code) if code is not None and code.startswith("US-") else code
