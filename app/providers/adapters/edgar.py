"""EDGAR, the register of the U.S. Securities and Exchange Commission (docs/providers.md, EDGAR): listed companies, free
and without a key.

There is no search: one file has the names and numbers (CIK) of all companies with a ticker, about ten thousand. It is
fetched when the first lookup needs it, once a day, and kept by name; then each lookup is one request for the company.

The SEC wants to know who asks, and counts ten requests a second over all machines. Past that it refuses everything for
ten minutes, in HTML and without a header that says so.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from time import monotonic

from app.provider_settings import EdgarSettings
from app.providers import identifiers, normalise
from app.providers.company_names import CompanyName, only_match, read
from app.providers.errors import InvalidQuery, Malformed, ProviderError, RateLimited
from app.providers.http import HttpAnswer, VendorClient, is_json, retry_after, status_failure, user_agent
from app.providers.ports import Answer, Capabilities, Found, JsonValue, Missed, Query
from app.providers.us_states import US_STATES
from app.providers.wire import Json, decode_object, encode, items, section

FILES_URL = "https://www.sec.gov"
DATA_URL = "https://data.sec.gov"

# How long it refuses who was too fast.
REFUSED_SECONDS = 600.0
# The SEC writes the file anew every day or so.
DIRECTORY_SECONDS = 86_400.0

# Twice what there are: 13 MB.
LISTED_LIMIT = 20_000
_NAME_LIMIT = 200
# The state of registration, put after a name to tell it from another: "BANK OF AMERICA CORP /DE/".
_STATE_SUFFIX = re.compile(r"\s*/[A-Za-z]{2,3}/?\s*$")

_ByWords = Mapping[str, list[tuple[CompanyName, str]]]


@dataclass(frozen=True, slots=True)
class _Directory:
    """The listed companies by the words of their name. `etag` is that of the file."""

    by_words: _ByWords
    etag: str
    fetched_at: float


class Edgar:
    """Companies by name. The confidence is that of the match of names (`company_names`)."""

    name = "edgar"
    capabilities = Capabilities(
        fields={
            "company": (
                "legal_name",
                "domain",
                "website",
                "description",
                "industry",
                "sic",
                "type",
                "ticker",
                "exchange",
                "cik",
                "phone",
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

    def __init__(self, settings: EdgarSettings, clock: Callable[[], float] = monotonic) -> None:
        self.credit_cost = settings.credit_cost
        self.timeout_seconds = settings.timeout_seconds
        files, data = FILES_URL, DATA_URL
        if settings.base_url is not None:
            base = settings.base_url.rstrip("/")
            files, data = f"{base}/www", f"{base}/data"
        headers = {"User-Agent": user_agent(settings.contact)}
        self._files = VendorClient(self.name, files, headers=headers, concurrency=1)
        self._data = VendorClient(self.name, data, headers=headers, concurrency=settings.concurrency)
        self._clock = clock
        self._directory: _Directory | None = None
        self._refreshing = asyncio.Lock()

    async def look_up(self, query: Query) -> Answer:
        """The company of that name, by one request, and one more for the directory once a day. A name that several
        listed companies have is a miss. Raises a ProviderError."""
        asked = read(query.subject["name"])
        match = only_match(asked, (await self._listed()).get(asked.words, ()))
        if match is None:
            return Missed()
        cik, confidence = match
        record = self._read(await self._data.request("GET", f"/submissions/CIK{cik}.json", {}))
        if record is None:
            return Missed()
        values = self._values(record, query)
        if not values:
            return Missed()
        # All but the list of what it has filed, which is a thousand times as long and says nothing that is read.
        about = {key: value for key, value in record.items() if key != "filings"}
        return Found(values, confidence, raw=encode(self.name, about))

    async def close(self) -> None:
        """Close every connection."""
        await self._files.close()
        await self._data.close()

    async def _listed(self) -> _ByWords:
        # One fetches, the others wait for it.
        async with self._refreshing:
            directory = self._directory
            if directory is None or self._clock() - directory.fetched_at >= DIRECTORY_SECONDS:
                directory = self._directory = await self._fetch(directory)
        return directory.by_words

    async def _fetch(self, known: _Directory | None) -> _Directory:
        headers = {"If-None-Match": known.etag} if known and known.etag else None
        answer = await self._files.request("GET", "/files/company_tickers.json", {}, headers)
        if known is not None and answer.status == 304:
            return _Directory(known.by_words, known.etag, self._clock())
        if answer.status >= 300:
            raise self._failure(answer)
        # Some 0.2 s of work, which would hold up every other call of the process.
        by_words = await asyncio.to_thread(self._index, self._object(answer))
        return _Directory(by_words, answer.headers.get("ETag", ""), self._clock())

    def _index(self, listed: Json) -> _ByWords:
        by_words: dict[str, list[tuple[CompanyName, str]]] = {}
        seen = set()
        for entry in islice(listed.values(), LISTED_LIMIT):
            if not isinstance(entry, dict):
                raise Malformed(self.name, "a company of the list is not an object")
            title, cik = normalise.text(entry.get("title"), _NAME_LIMIT), identifiers.cik(entry.get("cik_str"))
            if title is None or cik is None or cik in seen:
                continue  # a company is there once for each of its tickers
            seen.add(cik)
            name = read(_STATE_SUFFIX.sub("", title))
            by_words.setdefault(name.words, []).append((name, cik))
        if not by_words:
            # Believed, it would make a miss of every company for a day.
            raise Malformed(self.name, "the list of companies is empty")
        return by_words

    def _read(self, answer: HttpAnswer) -> Json | None:
        """The company in an answer, None where it is not known. Raises a ProviderError."""
        if answer.status == 404:
            return None
        if answer.status >= 300:
            raise self._failure(answer)
        return self._object(answer)

    def _object(self, answer: HttpAnswer) -> Json:
        if not is_json(answer):
            raise Malformed(self.name, "the answer is not JSON")
        return decode_object(self.name, answer.body)

    def _failure(self, answer: HttpAnswer) -> ProviderError:
        match answer.status:
            case 400:
                return InvalidQuery(self.name, "refuses the query (status 400)")
            case 403 | 429:
                # 403 also for a User-Agent without a mail address, which ours has.
                hint = retry_after(answer)
                return RateLimited(
                    self.name,
                    "refuses everything for ten minutes",
                    retry_after=REFUSED_SECONDS if hint is None else hint,
                )
        return status_failure(self.name, answer)

    def _values(self, record: Json, query: Query) -> dict[str, JsonValue]:
        address = section(self.name, section(self.name, record, "addresses"), "business")
        tickers, exchanges = (items(self.name, record, key) for key in ("tickers", "exchanges"))
        place = normalise.text(address.get("stateOrCountry"))
        state = US_STATES.get(place or "")
        # Elsewhere it is a code of the SEC's own, which the description spells out; it is not in every answer.
        country = normalise.country("US" if state else address.get("stateOrCountryDescription"))
        country_code = normalise.country_code(country)
        lines = [normalise.text(address.get(key)) for key in ("street1", "street2")]
        website = normalise.text(record.get("website"))
        return normalise.asked_for(
            query.fields,
            (
                ("legal_name", lambda: normalise.text(record.get("name"))),
                ("domain", lambda: normalise.domain(website)),
                ("website", lambda: _website(website)),
                ("description", lambda: normalise.text(record.get("description"))),
                ("industry", lambda: normalise.text(record.get("sicDescription"))),
                ("sic", lambda: normalise.text(record.get("sic"))),
                ("type", lambda: "public" if any(map(normalise.text, tickers)) else None),
                ("ticker", lambda: next(filter(None, map(normalise.text, tickers)), None)),
                ("exchange", lambda: next(filter(None, map(normalise.text, exchanges)), None)),
                ("cik", lambda: identifiers.cik(record.get("cik"))),
                ("phone", lambda: normalise.phone(record.get("phone"), country_code)),
                ("street", lambda: normalise.text(", ".join(filter(None, lines)))),
                ("city", lambda: normalise.text(address.get("city"))),
                ("region", lambda: state),
                ("postal_code", lambda: normalise.text(address.get("zipCode"))),
                ("country", lambda: country),
                ("country_code", lambda: country_code),
            ),
        )


def _website(written: str | None) -> str | None:
    """A URL, also where only the host of it was written."""
    host = normalise.domain(written)
    return normalise.url(written) or (f"https://{host}" if host else None)
