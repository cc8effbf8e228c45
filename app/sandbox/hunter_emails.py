"""Hunter's e-mail endpoints: finder, verifier, search and count (hunter.md of the provider facts)."""

from functools import lru_cache

from app.sandbox.calls import Charge
from app.sandbox.companies import Companies, Person, clean_domain, clean_email, email_of_handle, is_generic, keep
from app.sandbox.emulator import Answer, encode, http_answer
from app.sandbox.hunter_answers import Parameters, legal, refusal, wrong
from app.sandbox.vocabulary import GENERIC_MAILBOXES

WEBMAIL = frozenset({"gmail.com", "yahoo.com", "outlook.com", "hotmail.com", "icloud.com", "gmx.de"})
DISPOSABLE = frozenset({"mailinator.com", "guerrillamail.com", "10minutemail.com"})
DEPARTMENTS = ("executive", "it", "finance", "sales", "marketing", "operations", "support")
SENIORITIES = ("junior", "senior", "executive")
SEEN_ON = "2026-09-14"

# What each status of the verifier comes with: the deprecated result and the score.
RESULTS = {
    "valid": ("deliverable", 95),
    "webmail": ("deliverable", 90),
    "accept_all": ("risky", 70),
    "disposable": ("risky", 40),
    "invalid": ("undeliverable", 5),
    "unknown": ("risky", 50),
}


class HunterEmails:
    """The addresses that Hunter has, at one hit rate and with one form of a finder's miss (`null`, `404`)."""

    def __init__(self, companies: Companies, hit_rate: float, finder_miss: str) -> None:
        self._companies = companies
        self._hit_rate = hit_rate
        self._finder_miss = finder_miss

    def find(self, parameters: Parameters) -> Answer:
        """The address of a person with a name at a company: 1 credit when found, repeats free."""
        domain = self._domain_of(parameters)
        first, last = parameters.get("first_name", "").strip(), parameters.get("last_name", "").strip()
        if not (first and last):
            first, _, last = parameters.get("full_name", "").strip().partition(" ")
        handle = parameters.get("linkedin_handle", "")
        if domain and first and last:
            email = self._companies.address(first, last, domain)
        else:
            email = email_of_handle(handle, self._companies)
        if not clean_email(email):
            return wrong("linkedin_handle" if handle else "full_name" if domain else "domain", parameters)
        if email.startswith("suppressed"):
            return legal(email)
        person = self._companies.person(email)
        if not (self._knows(email) and self._knows(person.domain)):
            return self._no_email(email, first, last, parameters)
        d = self._companies.draws("hunter finder", email)
        accepts_all = self._accepts_all(person.domain)
        data = {
            "first_name": first or person.first_name,
            "last_name": last or person.last_name,
            "email": email,
            "score": 70 + d[0] % 30,
            "domain": person.domain,
            "accept_all": accepts_all,
            "position": keep(d[1], 0.7, person.job.title),
            "twitter": None,
            "linkedin_url": keep(d[2], 0.6, f"https://www.linkedin.com/in/{person.handle}"),
            "phone_number": keep(d[3], 0.2, person.phone),
            "company": self._companies.company(person.domain).name,
            "sources": [_source(person.domain)],
            "verification": {"date": SEEN_ON, "status": "accept_all" if accepts_all else "valid"},
        }
        body = encode({"data": data, "meta": {"params": _public(parameters)}})
        return http_answer(200, body, keys=(email,), charges=(Charge(email, 1, f"finder {email}"),))

    def _no_email(self, email: str, first: str, last: str, parameters: Parameters) -> Answer:
        if self._finder_miss == "404":
            return refusal(404, "not_found", "No email address was found.", (email,))
        domain = email.rpartition("@")[2]
        data: dict[str, object] = {
            "first_name": first or None,
            "last_name": last or None,
            "email": None,
            "score": None,
            "domain": domain,
            "accept_all": self._accepts_all(domain),
            "position": None,
            "twitter": None,
            "linkedin_url": None,
            "phone_number": None,
            "company": self._companies.company(domain).name,
            "sources": [],
            "verification": {"date": None, "status": None},
        }
        return http_answer(200, encode({"data": data, "meta": {"params": _public(parameters)}}), keys=(email,))

    def verify(self, parameters: Parameters) -> Answer:
        """Whether an address takes mail: 1 verification each, repeats free, and nothing where it cannot be told."""
        email = clean_email(parameters.get("email", ""))
        if not email:
            return wrong("email", parameters)
        if email.startswith("suppressed"):
            return legal(email)
        if email.startswith("greylisted"):
            return refusal(222, "smtp_failure", "The remote SMTP server did not answer.", (email,))
        status, receives = self._status(email)
        result, score = RESULTS[status]
        data = {
            "status": status,
            "result": result,
            "score": score,
            "email": email,
            "regexp": True,
            "gibberish": False,
            "disposable": status == "disposable",
            "webmail": status == "webmail",
            "mx_records": receives,
            "smtp_server": receives,
            "smtp_check": status in ("valid", "webmail", "accept_all"),
            "accept_all": status == "accept_all",
            "block": False,
            "sources": [],
        }
        body = encode({"data": data, "meta": {"params": {"email": email}}})
        charges = () if status == "unknown" else (Charge(email, 1, f"verifier {email}"),)
        return http_answer(200, body, keys=(email,), charges=charges)

    def _status(self, email: str) -> tuple[str, bool]:
        domain = email.rpartition("@")[2]
        if email.startswith("unknowable") or self._companies.knows("mail server that tells nothing", email, 0.04):
            return "unknown", True
        if domain in WEBMAIL:
            return "webmail", True
        if domain in DISPOSABLE:
            return "disposable", True
        # The share of domains in use is that of the DNS emulator, so that both tell the same story.
        receives = self._companies.is_alive(domain, 0.9)
        if not receives or not self._companies.knows("mailbox", email, 0.8):
            return "invalid", receives
        return "accept_all" if self._accepts_all(domain) else "valid", True

    def search(self, parameters: Parameters) -> Answer:
        """The addresses at a domain: 1 credit per ten of a page; a miss is an empty list."""
        domain = self._domain_of(parameters)
        if not domain:
            return wrong("domain", parameters)
        limit, offset = _whole(parameters.get("limit", "10")), _whole(parameters.get("offset", "0"))
        if limit is None or offset is None or not 1 <= limit <= 100:
            said = "limit must be from 1 to 100, offset not negative."
            return refusal(400, "pagination_error", said, (domain,))
        found = self._addresses(domain, parameters)
        page = [self._mailbox(address) for address in found[offset : offset + limit]]
        data: dict[str, object] = {
            "domain": domain,
            "disposable": domain in DISPOSABLE,
            "webmail": domain in WEBMAIL,
            "accept_all": self._accepts_all(domain),
            **(self._organization(domain) if self._knows(domain) else _NO_ORGANIZATION),
            "emails": page,
        }
        meta = {"results": len(found), "limit": limit, "offset": offset, "params": _public(parameters)}
        charges = (Charge(domain, -(-len(page) // 10)),) if page else ()
        return http_answer(200, encode({"data": data, "meta": meta}), keys=(domain,), charges=charges)

    def _organization(self, domain: str) -> dict[str, object]:
        company = self._companies.company(domain)
        d = self._companies.draws("hunter search", domain)
        return {
            "pattern": f"{{first}}{company.separator}{{last}}",
            "organization": company.name,
            "description": keep(d[0], 0.8, company.description),
            "industry": keep(d[1], 0.8, company.industry.industry),
            "twitter": None,
            "facebook": None,
            "linkedin": keep(d[2], 0.8, f"https://www.linkedin.com/company/{company.handle}"),
            "instagram": None,
            "youtube": None,
            "technologies": list(company.technologies),
            "country": company.place.country_code,
            "state": company.place.region_code,
            "city": company.place.city,
            "postal_code": company.place.postal_code,
            "street": company.street,
            "headcount": company.employees_range,
            "company_type": "publicly traded" if company.kind == "public" else "privately held",
        }

    def count(self, parameters: Parameters) -> Answer:
        """How many addresses a search would find: free."""
        domain = self._domain_of(parameters)
        if not domain:
            return wrong("domain", parameters)
        found = [self._mailbox(each) for each in self._addresses(domain, {"type": parameters.get("type", "")})]
        personal = [mailbox for mailbox in found if mailbox["type"] == "personal"]
        data = {
            "total": len(found),
            "personal_emails": len(personal),
            "generic_emails": len(found) - len(personal),
            "department": _tally(personal, "department", DEPARTMENTS),
            "seniority": _tally(personal, "seniority", SENIORITIES),
        }
        return http_answer(200, encode({"data": data, "meta": {"params": _public(parameters)}}), keys=(domain,))

    def _addresses(self, domain: str, parameters: Parameters) -> list[str]:
        """What is known at a domain and passes the filters."""
        if not self._knows(domain):
            return []
        shared = 1 + self._companies.draws("hunter generic", domain)[0] % 4
        addresses = [
            *self._companies.staff_emails(domain),
            *(f"{name}@{domain}" for name in GENERIC_MAILBOXES[:shared]),
        ]
        filters = ("type", "seniority", "department")
        wanted = {name: parameters[name].split(",") for name in filters if parameters.get(name)}
        if not wanted:
            return addresses
        return [each for each in addresses if all(self._mailbox(each)[name] in wanted[name] for name in wanted)]

    def _mailbox(self, address: str) -> dict[str, object]:
        return _shared_mailbox(address) if is_generic(address) else _mailbox(self._companies.person(address))

    def _knows(self, name: str) -> bool:
        return self._companies.knows("hunter", name, self._hit_rate)

    def _accepts_all(self, domain: str) -> bool:
        return self._companies.knows("accept all", domain, 0.15)

    def _domain_of(self, parameters: Parameters) -> str:
        domain = clean_domain(parameters.get("domain", ""))
        if domain:
            return domain
        name = "".join(c for c in parameters.get("company", "").lower() if c.isascii() and c.isalnum())
        return clean_domain(f"{name}.com")


_NO_ORGANIZATION: dict[str, object] = {
    **dict.fromkeys(("pattern", "organization", "description", "industry", "twitter", "facebook", "linkedin")),
    **dict.fromkeys(("instagram", "youtube")),
    "technologies": [],
    **dict.fromkeys(("country", "state", "city", "postal_code", "street", "headcount", "company_type")),
}


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _public(parameters: Parameters) -> Parameters:
    return {name: value for name, value in parameters.items() if name != "api_key"}


@lru_cache(1024)
def _source(domain: str) -> dict[str, object]:
    return {
        "domain": domain,
        "uri": f"https://{domain}/about",
        "extracted_on": "2026-03-02",
        "last_seen_on": SEEN_ON,
        "still_on_page": True,
    }


def _mailbox(person: Person) -> dict[str, object]:
    return {
        "value": person.email,
        "type": "personal",
        "confidence": 92,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "position": person.job.title,
        "seniority": person.job.hunter_seniority,
        "department": person.job.department,
        "linkedin": f"https://www.linkedin.com/in/{person.handle}",
        "twitter": None,
        "phone_number": None,
        "verification": {"date": SEEN_ON, "status": "valid"},
        "sources": [_source(person.domain)],
    }


def _shared_mailbox(address: str) -> dict[str, object]:
    nobody = ("first_name", "last_name", "position", "seniority", "department", "linkedin", "twitter")
    return {
        "value": address,
        "type": "generic",
        "confidence": 80,
        **dict.fromkeys((*nobody, "phone_number")),
        "verification": {"date": None, "status": None},
        "sources": [_source(address.rpartition("@")[2])],
    }


def _tally(mailboxes: list[dict[str, object]], name: str, values: tuple[str, ...]) -> dict[str, int]:
    return {value: sum(mailbox[name] == value for mailbox in mailboxes) for value in values}
