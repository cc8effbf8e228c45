"""The truth that all emulators share: for any domain a company, for any address a person, always the same.

Everything is drawn from a BLAKE2b hash of the name, keyed by the seed, so two processes, two providers and two
runs agree whatever PYTHONHASHSEED says. Each provider knows only a share of the truth and tells only some of its
fields.
"""

import re
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple, TypeVar

from app.sandbox.vocabulary import (
    FIRST_NAMES,
    GENERIC_MAILBOXES,
    INDUSTRIES,
    JOBS,
    LAST_NAMES,
    MAIL_SYSTEMS,
    PLACES,
    STREETS,
    TECHNOLOGIES,
    Industry,
    Job,
    MailSystem,
    Place,
)

T = TypeVar("T")

Draws = tuple[int, ...]
"""32 independent numbers from 0 to 65535."""

SIZES = ((1, 10), (11, 50), (51, 200), (201, 500), (501, 1000), (1001, 5000), (5001, 10000), (10001, 50000))
SIZE_WEIGHTS = (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 7)
# Reversible only: the name must be readable back out of the address, whichever provider is asked first.
SEPARATORS = (".", ".", ".", "_", "-")
SECOND_LEVEL = frozenset({"co", "com", "org", "net", "ac", "gov", "edu"})

_DRAWS = Struct("<32H")
_DOMAIN = re.compile(r"(?=.{3,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_SEPARATOR = re.compile(r"[._-]")
_CACHED = 32_768


class Company(NamedTuple):
    """What is true of the company behind a domain. A named tuple, as thousands are built a second."""

    domain: str
    name: str
    legal_name: str
    description: str
    industry: Industry
    founded_year: int
    employees: int
    employees_range: str
    place: Place
    street: str
    phone: str
    handle: str
    kind: str
    ticker: str | None
    revenue: int
    raised: int
    technologies: tuple[str, ...]
    mail: MailSystem
    separator: str


class Person(NamedTuple):
    """What is true of the person behind an e-mail address."""

    email: str
    first_name: str
    last_name: str
    job: Job
    domain: str
    handle: str
    phone: str
    place: Place


def clean_domain(text: str) -> str:
    """The domain in a host or URL: lower case, without scheme, path, port and `www.`; empty for none."""
    host = text.strip().lower()
    if "/" in host:
        host = host.partition("://")[2] or host
        host = host.partition("/")[0]
    host = host.partition(":")[0].removesuffix(".")
    if host.count(".") > 1:
        host = host.removeprefix("www.")
    return host if _DOMAIN.fullmatch(host) else ""


def clean_email(text: str) -> str:
    """The address in lower case, empty when it is not `something@domain`."""
    local, at, domain = text.strip().lower().rpartition("@")
    return f"{local}@{domain}" if at and local and domain == clean_domain(domain) and " " not in local else ""


def pick(draw: int, choices: tuple[T, ...]) -> T:
    """The choice that a draw falls on."""
    return choices[draw * len(choices) >> 16]


def keep(draw: int, share: float, value: T) -> T | None:
    """`value` in a share of the draws, else None: how a provider comes to lack a field."""
    return value if draw < share * 65536 else None


class Companies:
    """The invented world of one seed."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._key = seed.to_bytes(8, "little", signed=True)
        self.company = lru_cache(_CACHED)(self._company)
        self.person = lru_cache(_CACHED)(self._person)

    def draws(self, purpose: str, name: str) -> Draws:
        """The numbers that belong to a name for one purpose; another purpose gets independent ones."""
        return _DRAWS.unpack(blake2b(f"{purpose}\0{name}".encode(errors="replace"), key=self._key).digest())

    def knows(self, provider: str, name: str, share: float) -> bool:
        """Whether a provider knows a name. Raising the share adds names and takes none away."""
        digest = blake2b(f"{provider} knows\0{name}".encode(errors="replace"), key=self._key, digest_size=8).digest()
        return int.from_bytes(digest, "little") < share * 2**64

    def is_alive(self, domain: str, share: float) -> bool:
        """Whether a domain is in use. One draw for DNS and websites: a site that answers has a name."""
        return self.knows("internet", domain, share)

    def address(self, first_name: str, last_name: str, domain: str) -> str:
        """The e-mail address of a person by the naming pattern of the company."""
        names = (_letters(first_name), _letters(last_name))
        return f"{self.company(domain).separator.join(name for name in names if name)}@{domain}"

    def staff_emails(self, domain: str) -> tuple[str, ...]:
        """The addresses of a company that can be found: fewer than its employees, at most 24."""
        draws = self.draws("staff", domain)
        count = min(self.company(domain).employees, 2 + (draws[0] >> 13) * 3)
        return tuple(
            dict.fromkeys(
                self.address(pick(draw, FIRST_NAMES), pick(draw * 7919 & 65535, LAST_NAMES), domain)
                for draw in draws[1 : count + 1]
            )
        )

    def _company(self, domain: str) -> Company:
        d = self.draws("company", domain)
        labels = domain.split(".")
        label = labels[-3] if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in SECOND_LEVEL else labels[-2]
        name = " ".join(word.capitalize() for word in label.split("-") if word)
        industry, place = pick(d[0], INDUSTRIES), pick(d[1], PLACES)
        low, high = SIZES[pick(d[2], SIZE_WEIGHTS)]
        employees = low + d[3] * (high - low + 1) // 65536
        kind = {"gov": "government", "edu": "education", "org": "nonprofit"}.get(labels[-1], "private")
        if kind == "private" and employees > 1000 and d[4] & 1:
            kind = "public"
        handle = label.replace("_", "-")
        return Company(
            domain=domain,
            name=name,
            legal_name=f"{name} {place.legal_suffix}",
            description=f"{name} provides {industry.offer} from {place.city}.",
            industry=industry,
            founded_year=2022 - (d[5] * d[5] >> 32 if d[5] & 3 == 0 else 0) - d[6] * 45 // 65536,
            employees=employees,
            employees_range=f"{low}-{high}" if low < 10001 else "10001+",
            place=place,
            street=f"{1 + d[7] % 320} {pick(d[8], STREETS)}",
            phone=f"{place.phone}{d[9] % 100:02d}",
            handle=handle,
            kind=kind,
            ticker=handle[:4].upper() if kind == "public" else None,
            revenue=employees * (60_000 + d[10] * 3),
            raised=pick(d[11], (0, 0, 0, 500_000, 2_000_000, 12_000_000, 45_000_000)),
            technologies=tuple(dict.fromkeys(pick(draw, TECHNOLOGIES) for draw in d[12 : 14 + (d[12] & 3)])),
            mail=pick(d[20], MAIL_SYSTEMS),
            separator=pick(d[21], SEPARATORS),
        )

    def _person(self, email: str) -> Person:
        local, _, domain = email.rpartition("@")
        company = self.company(domain)
        d = self.draws("person", email)
        words = [word for word in _SEPARATOR.split(local.partition("+")[0]) if word]
        first = words[0].capitalize() if words else pick(d[0], FIRST_NAMES)
        last = " ".join(word.capitalize() for word in words[1:]) or pick(d[1], LAST_NAMES)
        return Person(
            email=email,
            first_name=first,
            last_name=last,
            job=pick(d[2], JOBS),
            domain=domain,
            handle=f"{first}-{last}-at-{domain.replace('.', '-dot-')}".lower().replace(" ", "-"),
            phone=f"{company.place.phone}{d[3] % 100:02d}",
            place=company.place,
        )


@lru_cache(4096)
def _letters(name: str) -> str:
    """A name as it stands in an address."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def email_of_handle(handle: str, companies: Companies) -> str:
    """The address of the person with a handle such as `ana-roe-at-acme-dot-com`, empty for any other."""
    name, at, place = handle.strip().lower().rpartition("-at-")
    domain = clean_domain(place.replace("-dot-", "."))
    first, _, last = name.partition("-")
    return companies.address(first, last, domain) if at and first and domain else ""


def domain_of_name(name: str) -> str:
    """The domain of the company with a name or a handle such as `Acme`, empty for none."""
    label = "".join(c for c in "-".join(name.lower().split()) if c.isascii() and (c.isalnum() or c == "-"))
    return clean_domain(f"{label}.com")


def is_generic(email: str) -> bool:
    """Whether an address is a shared mailbox (`info@`), which belongs to no person."""
    return email.partition("@")[0] in GENERIC_MAILBOXES
