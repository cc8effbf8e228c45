"""From what vendors and websites write to the canonical values of docs/providers.md: pure functions, None for no value.

Every function takes whatever JSON can hold and never raises: a leaf that cannot be used is a value that is not there.
Each is idempotent, so what was stored can be normalised again. Texts come out fit for PostgreSQL: no NUL, no lone
surrogate, neither of which a jsonb column takes.
"""

import re
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple
from urllib.parse import urlsplit

import idna
from tldextract import TLDExtract

from app.hosts import is_private
from app.providers import countries, phones
from app.providers.ports import JsonValue

TEXT_LIMIT = 2000
LIST_LIMIT = 50

# Cc and the surrogates; tab, line feed and carriage return become spaces first.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DOMAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])")
_PLAIN_URL = re.compile(r"https?://([a-z0-9._-]+)(?:/[!-\"$-~]*)?")
_MAILBOX = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_NUMBER = re.compile(r"[+-]?\d{1,3}([,  ']\d{3})+|[+-]?\d{1,15}(\.\d+)?")
_THOUSANDS = re.compile(r"[,  ']")
_RANGE = re.compile(r"(\d[\d,]*k?)\s*(?:-|–|—|to)\s*(\d[\d,]*k?)(?: employees)?", re.ASCII)
_OPEN_RANGE = re.compile(r"(?:(\d[\d,]*k?)\s*\+|>\s*(\d[\d,]*k?))(?: employees)?", re.ASCII)
_MONEY = re.compile(
    r"(?P<before>[a-z]{3}\b|us\$|[$€£])?\s*"
    r"(?P<number>\d{1,3}(?:[,  ']\d{3})+(?:\.\d{1,4})?|\d{1,15}(?:\.\d{1,4})?)\s*"
    r"(?P<scale>k|thousand|mm?|mn|million|bn?|billion|tn?|trillion)?\s*(?P<after>[a-z]{3})?",
    re.ASCII,
)
_SCALES = {"k": 10**3, "t": 10**12, "m": 10**6, "b": 10**9}
_SYMBOLS = {"$": "USD", "us$": "USD", "€": "EUR", "£": "GBP"}
_CURRENCY = re.compile(r"[A-Z]{3}")
_HANDLE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_BARE_HANDLE = re.compile(r"[A-Za-z0-9_-]{1,100}")
_END_OF_AUTHORITY = re.compile(r"[?#\\]")
_END_OF_PATH = re.compile(r"[?#]")
_SCHEME = re.compile(r"(?i)^(?:https?:)?//")
_SLUG = re.compile(r"[^\s/?#\\\"<>]{1,200}")
_LINKEDIN_KINDS = {"company": "company", "school": "school", "showcase": "showcase", "in": "in", "pub": "in"}
_EARLIEST_YEAR, _LATEST_YEAR = 1000, 2100
_LARGEST_NUMBER = 10**15


def text(value: object, limit: int = TEXT_LIMIT) -> str | None:
    """Printable text with single spaces, at most `limit` characters; a number becomes its digits."""
    if isinstance(value, str):
        # Nearly every value is clean, and the test is ten times cheaper than the cleaning.
        cleaned = value
        if not value.isprintable() or "  " in value:
            cleaned = " ".join(_UNPRINTABLE.sub(" ", value).split())
        return cleaned.strip()[:limit].rstrip() or None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST_NUMBER:
        return str(value)
    return None


def texts(value: object, limit: int = LIST_LIMIT) -> list[JsonValue] | None:
    """The texts of a list, or of one text, each once and at most `limit` of them."""
    items = value if isinstance(value, list | tuple) else [value]
    kept = list(dict.fromkeys(each for item in items if (each := text(item, 200)) is not None))
    return list(kept[:limit]) or None


def integer(value: object) -> int | None:
    """A whole number from a number or from text such as ``1,200``; fractions are cut off."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.strip())
        if match is None:
            return None
        value = float(_THOUSANDS.sub("", match.group()))
    if isinstance(value, int | float) and abs(value) <= _LARGEST_NUMBER:  # NaN is not
        return int(value)
    return None


def count(value: object) -> int | None:
    """A whole number above 0: of employees, or of an amount that is known. Vendors write 0 for not known."""
    number = integer(value)
    return number if number is not None and number > 0 else None


class Money(NamedTuple):
    """A whole `amount`, without cents, of a `currency` (ISO 4217, ``USD``)."""

    amount: int
    currency: str


def money(value: object, currency: object = None) -> Money | None:
    """An amount above 0 from a number or from text such as ``$1.2M``, ``EUR 5,000,000`` or ``3 billion usd``.

    `currency` is that of an amount which names none; None where neither says. Of a dollar sign alone it is USD.
    """
    known_as = currency.strip().upper() if isinstance(currency, str) else ""
    amount = count(value)
    if amount is None and isinstance(value, str):
        match = _MONEY.fullmatch(value.strip().lower()[:100])
        if match is None:
            return None
        written = match["before"] or match["after"] or known_as
        known_as = _SYMBOLS.get(written, written.upper())
        scale = match["scale"] or ""
        factor = 1000 if scale == "thousand" else _SCALES.get(scale[:1], 1)
        amount = count(float(_THOUSANDS.sub("", match["number"])) * factor)
    return Money(amount, known_as) if amount is not None and _CURRENCY.fullmatch(known_as) else None


def dollars(value: object, currency: object = "USD") -> int | None:
    """A whole amount of US dollars, as `money` reads it; None for other currencies, which have no fixed rate."""
    if currency == "USD" and (amount := count(value)) is not None:
        return amount
    found = money(value, currency)
    return found.amount if found is not None and found.currency == "USD" else None


def timestamp(value: object) -> str | None:
    """A moment in UTC, ``2009-01-31T00:00:00Z``, from a date or a time of ISO 8601; one without an offset is UTC."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if _EARLIEST_YEAR <= moment.year <= _LATEST_YEAR else None


def year(value: object) -> int | None:
    """A year, from a number or from a text or date that begins with one."""
    if isinstance(value, str):
        value = value.strip()[:4]
    number = integer(value)
    return number if number is not None and _EARLIEST_YEAR <= number <= _LATEST_YEAR else None


def employee_range(value: object) -> str | None:
    """``51-200`` or ``10001+``, from the ways in which people write these: ``1K-5K``, ``10,001+ employees``."""
    if not isinstance(value, str):
        return None
    cleaned = " ".join(value.split()).lower()
    if match := _RANGE.fullmatch(cleaned):
        low, high = map(_people, match.groups())
        return f"{low}-{high}" if low <= high else None
    if match := _OPEN_RANGE.fullmatch(cleaned):
        return f"{_people(match[1] or match[2])}+"
    return None


def domain(value: object) -> str | None:
    """The domain in a domain, host or URL: lower case, punycode, without ``www.``.

    None for an address, a single label, a malformed name and a name that is private by its suffix.
    """
    if not isinstance(value, str):
        return None
    host = value.strip().lower()
    is_domain = _DOMAIN.fullmatch(host)
    if not is_domain:
        host = _host(host).removesuffix(".")
        if not host.isascii():
            try:
                # IDNA 2008 with the mapping of UTS 46: what browsers do with what people type.
                host = idna.encode(host, uts46=True).decode("ascii").lower()
            except (idna.IDNAError, UnicodeError):
                return None
        is_domain = _DOMAIN.fullmatch(host)
    while host.startswith("www.") and host.count(".") > 1:
        host = host[4:]
    # The last label begins with a letter, which no address in any spelling does.
    return host if is_domain and len(host) <= 253 and not is_private(host) else None


def email(value: object) -> str | None:
    """An address ``mailbox@domain`` in lower case."""
    if not isinstance(value, str):
        return None
    mailbox, at, host = value.strip().lower().rpartition("@")
    if not at or len(mailbox) > 64 or not _MAILBOX.fullmatch(mailbox):
        return None
    # Not the result of `domain`: in an address the host is the whole of it, www. and all.
    if not _DOMAIN.fullmatch(host) or domain(host) is None:
        return None
    return f"{mailbox}@{host}"


def url(value: object) -> str | None:
    """An absolute http or https URL of a public-looking host, without its fragment."""
    if not isinstance(value, str):
        return None
    address = value.strip()
    if (plain := _PLAIN_URL.fullmatch(address)) and len(address) <= TEXT_LIMIT:
        return address if domain(plain[1]) else None
    if _UNPRINTABLE.search(address) or " " in address or len(address) > TEXT_LIMIT:
        return None
    if address.startswith("//"):
        address = f"https:{address}"
    try:
        parts = urlsplit(address)
        has_password = parts.username is not None
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or has_password or domain(parts.netloc) is None:
        return None
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower(), fragment="").geturl()


def registrable_domain(value: object) -> str | None:
    """The domain that somebody has registered, of a host, URL or domain: ``acme.co.uk`` of ``shop.acme.co.uk``.

    By the public suffix list that `tldextract` brings, without the suffixes of private owners; the last two labels of
    a suffix that it does not know. None for a suffix itself, and where `domain` finds none.
    """
    host = domain(value)
    if host is None:
        return None
    found = _suffixes()(host)
    return found.top_domain_under_public_suffix or (None if found.suffix else ".".join(host.split(".")[-2:]))


def load_lists() -> None:
    """Read the lists of countries and suffixes, a fifth of a second, which else the first value that needs them does:
    in the middle of everybody's calls."""
    country_code("US")
    registrable_domain("example.com")


@cache
def _suffixes() -> TLDExtract:
    """The list as it is in the package: nothing is fetched, nothing is written."""
    return TLDExtract(suffix_list_urls=(), cache_dir=None)


def country_code(value: object) -> str | None:
    """An ISO 3166-1 alpha-2 code, from that, from an alpha-3 code or from a name (see `countries`)."""
    return countries.code(value) if isinstance(value, str) else None


def country(value: object) -> str | None:
    """The English name of a country, from a code or a name; what is neither stays as the text that it is."""
    written = text(value)
    code = country_code(written)
    return written if code is None else countries.name(code)


def phone(value: object, country: object = None) -> str | None:
    """A telephone number as E.164 (``+14155550100``); see `phones`. `country` is that of a number that names none."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) <= _LARGEST_NUMBER else None
    return phones.e164(value, country_code(country)) if isinstance(value, str) else None


def linkedin_url(value: object, kind: str) -> str | None:
    """``https://www.linkedin.com/<kind>/<slug>`` from a URL, from ``company/acme`` or from a bare ``acme``.

    `kind` is ``company`` or ``in``, for a handle that does not say.
    """
    path = _profile_path(value, "linkedin.com")
    if path is None:
        return None
    head, _, rest = path.partition("/")
    known = _LINKEDIN_KINDS.get(head.lower())
    slug = rest.partition("/")[0] if known else (head if not rest else "")
    return f"https://www.linkedin.com/{known or kind}/{slug.lower()}" if _SLUG.fullmatch(slug) else None


def handle(value: object, *hosts: str) -> str | None:
    """The bare handle from a handle, ``@handle`` or the URL of a profile at one of `hosts`."""
    path = _profile_path(value, *hosts)
    name = path.partition("/")[0].removeprefix("@") if path else ""
    return name if _HANDLE.fullmatch(name) else None


def twitter_handle(value: object) -> str | None:
    """The handle on X, formerly Twitter."""
    name = handle(value, "twitter.com", "x.com")
    return None if name is None or name.lower() in ("share", "intent", "home", "search", "hashtag") else name


def facebook_handle(value: object) -> str | None:
    """The handle of a Facebook page."""
    name = handle(value, "facebook.com", "fb.com")
    return None if name is None or name.lower() in ("sharer", "sharer.php", "share.php", "profile.php") else name


def github_handle(value: object) -> str | None:
    """The handle on GitHub."""
    return handle(value, "github.com")


def asked_for(
    fields: Collection[str] | None, readers: Iterable[tuple[str, Callable[[], JsonValue]]]
) -> dict[str, JsonValue]:
    """The fields that are asked for (None: all) and have a value. What nobody asked for is not read: that took half
    the time of a call's answer."""
    return known((name, read()) for name, read in readers if fields is None or name in fields)


def known(values: Iterable[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """The fields that have a value."""
    return {name: value for name, value in values if value is not None}


def _people(written: str) -> int:
    """The number in ``1,001`` or ``5k``."""
    digits = written.removesuffix("k").replace(",", "")[:12]
    return int(digits) * (1000 if written.endswith("k") else 1)


def _host(address: str) -> str:
    """The host in lower-case text that may be a URL, with credentials and port taken off; empty where there is none."""
    if "/" in address:
        if "//" in address:
            address = address.partition("//")[2]
        address = address.partition("/")[0]
    authority = _END_OF_AUTHORITY.split(address, maxsplit=1)[0].rpartition("@")[2]
    host, _, port = authority.partition(":")
    return host.strip() if not port or port.isdecimal() else ""


def _profile_path(value: object, *hosts: str) -> str | None:
    """What follows the host in the URL of a profile, or the whole of a bare handle; None for another site."""
    if not isinstance(value, str):
        return None
    written = value.strip()
    if _BARE_HANDLE.fullmatch(written):
        return written
    if not written or written.startswith("/") != written.startswith("//") or _UNPRINTABLE.search(written):
        return None
    address = _SCHEME.sub("", written)
    host, _, path = address.partition("/")
    host = host.lower()
    if any(host == each or host.endswith(f".{each}") for each in hosts):
        return _END_OF_PATH.split(path, maxsplit=1)[0].strip("/") or None
    if address != written or ("." in host and "/" in address):
        return None
    return _END_OF_PATH.split(written, maxsplit=1)[0].strip("/") or None
