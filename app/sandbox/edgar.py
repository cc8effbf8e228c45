"""EDGAR of the SEC: the list of companies with a ticker and what is known of each (section 5 of free-sources.md of the
provider facts). The two hosts are served below `/www` and `/data`.

Open questions of the documents are options: `limit_status` (403 or 429 for who was too fast). After a second with more
than `requests_per_second` everything is refused for `refused_seconds`. A request without a mail address in its
User-Agent is refused.

Listed are those of the companies `company-1.com` to `company-{listed}.com` that are public and known here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic

from app.sandbox.calls import Calls
from app.sandbox.checks import count, one_of, optional, seconds
from app.sandbox.companies import Companies, Company, keep
from app.sandbox.emulator import HTML, Answer, Request, encode, http_answer
from app.sandbox.faults import FaultMode
from app.sandbox.options import Options, option
from app.sandbox.registers import cik
from app.sandbox.windows import SECOND, Windows

TICKERS = "/www/files/company_tickers.json"
SUBMISSIONS = "/data/submissions/CIK"
EXCHANGES = ("Nasdaq", "NYSE")
# The SEC has codes of its own for countries.
FOREIGN_CODES = {"CA": "A6", "GB": "X0", "DE": "2M", "FR": "I0", "NL": "P7"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgarOptions(Options):
    """`limit_status` chooses between readings that no primary source decides."""

    hit_rate: float = 0.9
    listed: int = option(1000, count)
    requests_per_second: int | None = option(None, optional(count))
    refused_seconds: float = option(600.0, seconds)
    limit_status: int = option(403, one_of(403, 429))


class Edgar:
    """The emulator of EDGAR."""

    def __init__(self, companies: Companies, calls: Calls, options: EdgarOptions) -> None:  # noqa: ARG002
        self._companies = companies
        self._windows = Windows()
        self._refused_until = 0.0
        self.configure(options)

    def configure(self, options: EdgarOptions) -> None:
        """Take other options. Who was refused is so no more."""
        self.options = options
        self._windows.clear()
        self._refused_until = 0.0
        self._listed: Mapping[str, Company] | None = None
        self._tickers = b""

    def answer(self, request: Request) -> Answer:
        """What the SEC says."""
        path = request.target.partition("?")[0]
        key = path.removeprefix(SUBMISSIONS).removesuffix(".json") if path.startswith(SUBMISSIONS) else ""
        keys = (key,) if key else ()
        if b"@" not in request.headers.get(b"user-agent", b""):
            return _refusal(403, "Your Request Originates from an Undeclared Automated Tool")._replace(keys=keys)
        if self._is_too_fast():
            return _refusal(self.options.limit_status, "Request Rate Threshold Exceeded")._replace(keys=keys)
        if request.method not in ("GET", "HEAD"):
            return _refusal(405, "Method Not Allowed")
        if path == TICKERS:
            return self._list(request.headers.get(b"if-none-match", b"").decode("latin-1"))
        company = self._known().get(key)
        if company is None:
            return http_answer(404, _NO_SUCH_KEY, "application/xml")._replace(keys=keys)
        return http_answer(200, encode(self._submissions(company)), "application/json", keys=keys)

    def failure(self, mode: FaultMode, turn: int, request: Request, answer: Answer) -> Answer:  # noqa: ARG002
        """How the SEC fails. It knows no keys and no quota: whom it does not serve it refuses for the rate."""
        status = self.options.limit_status
        forms = {
            FaultMode.RATE_LIMITED: (_refusal(status, "Request Rate Threshold Exceeded"),),
            FaultMode.QUOTA_EXHAUSTED: (_refusal(status, "Request Rate Threshold Exceeded"),),
            FaultMode.AUTH: (_refusal(403, "Your Request Originates from an Undeclared Automated Tool"),),
            FaultMode.FLAKY: (http_answer(500, b"<html><body>Internal Server Error</body></html>", HTML),),
            FaultMode.OUTAGE: (http_answer(503, b"<html><body>Service Unavailable</body></html>", HTML),),
        }.get(mode) or (
            http_answer(200, b"<!DOCTYPE html><html><body>Maintenance</body></html>", HTML),
            http_answer(200, answer.body[: len(answer.body) // 2], "application/json"),
            http_answer(200, b'{"cik":[],"addresses":"none","tickers":42}', "application/json"),
        )
        return forms[turn % len(forms)]

    def _is_too_fast(self) -> bool:
        now, limit = monotonic(), self.options.requests_per_second
        # Whoever asks on is refused for longer: it counts from the last second that had too many.
        if limit is not None and self._windows.take("", limit, SECOND).exceeded:
            self._refused_until = now + self.options.refused_seconds
        return now < self._refused_until

    def _known(self) -> Mapping[str, Company]:
        if self._listed is None:
            domains = (f"company-{number}.com" for number in range(1, self.options.listed + 1))
            known = (domain for domain in domains if self._companies.knows("edgar", domain, self.options.hit_rate))
            public = (company for company in map(self._companies.company, known) if company.ticker)
            self._listed = {f"{cik(self._companies, company.domain):010d}": company for company in public}
        return self._listed

    def _list(self, etag: str) -> Answer:
        if not self._tickers:
            companies = self._known().items()
            entries = [
                {"cik_str": int(number), "ticker": company.ticker, "title": self._title(company)}
                for number, company in companies
            ]
            # Shares of a second class stand behind those of the first, of all companies.
            second = [{**entry, "ticker": f"{entry['ticker']}-B"} for entry in entries[::9]]
            self._tickers = encode({str(place): entry for place, entry in enumerate(entries + second)})
        known = f'"{sha256(self._tickers).hexdigest()[:16]}"'
        if etag == known:
            return Answer(b"", f"HTTP/1.1 304 Not Modified\r\nETag: {known}\r\n".encode())
        return http_answer(200, self._tickers, "application/json", f"ETag: {known}\r\n")

    def _title(self, company: Company) -> str:
        """The name as the SEC has it, in one of its habits."""
        draws = self._companies.draws("edgar title", company.domain)
        if draws[0] & 1:
            return company.legal_name
        plain = company.legal_name.upper().replace(".", "")
        return f"{plain} /DE/" if draws[0] & 6 == 0 else plain

    def _submissions(self, company: Company) -> dict[str, object]:
        draws = self._companies.draws("edgar", company.domain)
        place = company.place
        is_foreign = place.country_code != "US"
        code = FOREIGN_CODES.get(place.country_code, "XX") if is_foreign else place.region_code
        address = {
            "street1": company.street.upper(),
            "street2": keep(draws[0], 0.2, "SUITE 200"),
            "city": place.city.upper(),
            "stateOrCountry": code,
            "zipCode": place.postal_code,
            "stateOrCountryDescription": place.country if is_foreign else code,
        }
        ticker = company.ticker or ""
        return {
            "cik": f"{cik(self._companies, company.domain):010d}",
            "entityType": "operating",
            "sic": company.industry.sic,
            "sicDescription": f"Services-{company.industry.industry}",
            "ownerOrg": "06 Technology",
            "insiderTransactionForOwnerExists": 0,
            "insiderTransactionForIssuerExists": 1,
            "name": self._title(company),
            "tickers": [ticker],
            "exchanges": [EXCHANGES[draws[1] & 1]],
            "ein": f"{100_000_000 + draws[2]}",
            "description": "",
            "website": keep(draws[3], 0.3, f"https://www.{company.domain}") or "",
            "investorWebsite": "",
            "category": "Large accelerated filer",
            "fiscalYearEnd": "1231",
            "stateOfIncorporation": "DE",
            "stateOfIncorporationDescription": "DE",
            "addresses": {"mailing": address, "business": address},
            "phone": company.phone.removeprefix("+1 "),
            "flags": "",
            "formerNames": [],
            "filings": {"recent": {"accessionNumber": ["0000000000-26-000001"], "form": ["10-K"]}, "files": []},
        }


def _refusal(status: int, title: str) -> Answer:
    return http_answer(
        status, f"<!DOCTYPE html><html><head><title>SEC.gov | {title}</title></head></html>".encode(), HTML
    )


_NO_SUCH_KEY = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>'
