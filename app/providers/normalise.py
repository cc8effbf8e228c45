"""From what vendors and websites write to the canonical values of docs/providers.md: pure functions, None for no value.

Every function takes whatever JSON can hold and never raises: a leaf that cannot be used is a value that is not there.
Each is idempotent, so what was stored can be normalised again. Texts come out fit for PostgreSQL: no NUL, no lone
surrogate, neither of which a jsonb column takes.
"""

import re
from collections.abc import Callable, Collection, Iterable
from urllib.parse import urlsplit

import idna

from app.hosts import is_private
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
_RANGE = re.compile(r"(\d[\d,]*)\s*(?:-|–|—|to)\s*(\d[\d,]*)")
_OPEN_RANGE = re.compile(r"(\d[\d,]*)\s*\+|>\s*(\d[\d,]*)")
_HANDLE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_BARE_HANDLE = re.compile(r"[A-Za-z0-9_-]{1,100}")
_END_OF_AUTHORITY = re.compile(r"[?#\\]")
_END_OF_PATH = re.compile(r"[?#]")
_SCHEME = re.compile(r"(?i)^(?:https?:)?//")
_EXTENSION = re.compile(r"(?i)\s*(?:ext|x|;|,)")
_NO_DIGITS = re.compile(r"[^0-9]+")
_SLUG = re.compile(r"[^\s/?#\\\"<>]{1,200}")
_LINKEDIN_KINDS = {"company": "company", "school": "school", "showcase": "showcase", "in": "in", "pub": "in"}
_NANP = frozenset({"US", "CA"})
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


def year(value: object) -> int | None:
    """A year, from a number or from a text or date that begins with one."""
    if isinstance(value, str):
        value = value.strip()[:4]
    number = integer(value)
    return number if number is not None and _EARLIEST_YEAR <= number <= _LATEST_YEAR else None


def employee_range(value: object) -> str | None:
    """``51-200`` or ``10001+``, from the ways in which people write these."""
    if not isinstance(value, str):
        return None
    cleaned = " ".join(value.split())
    if match := _RANGE.fullmatch(cleaned):
        low, high = (int(end.replace(",", "")[:12] or 0) for end in match.groups())
        return f"{low}-{high}" if low <= high else None
    if match := _OPEN_RANGE.fullmatch(cleaned):
        return f"{int((match[1] or match[2]).replace(',', '')[:12])}+"
    return None


def domain(value: object) -> str | None:
    """The domain in a domain, host or URL: lower case, punycode, without ``www.``.

    None for an address, a single label, a malformed name and a name that is private by its suffix.
    """
    if not isinstance(value, str):
        return None
    host = _host(value.strip().lower()).removesuffix(".")
    if not host.isascii():
        try:
            # IDNA 2008 with the mapping of UTS 46: what browsers do with what people type.
            host = idna.encode(host, uts46=True).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError):
            return None
    if host.startswith("www.") and host.count(".") > 1:
        host = host[4:]
    # The last label begins with a letter, which no address in any spelling does.
    if len(host) > 253 or not _DOMAIN.fullmatch(host) or is_private(host):
        return None
    return host


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


def country_code(value: object) -> str | None:
    """An ISO 3166-1 alpha-2 code; names of countries are not translated."""
    if not isinstance(value, str):
        return None
    code = value.strip().upper()
    return code if len(code) == 2 and code.isascii() and code.isalpha() else None


def phone(value: object, country: object = None) -> str | None:
    """A telephone number as E.164 (``+14155550100``).

    A number without its country's prefix is kept only where `country` (alpha-2) is in the North American plan: other
    plans cannot be told from the digits, and a wrong prefix dials a stranger.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    written = _EXTENSION.split(value.strip().replace("(0)", ""), maxsplit=1)[0]
    digits = _NO_DIGITS.sub("", written)
    if written.startswith("+"):
        number = digits
    elif written.startswith("00"):
        number = digits[2:]
    elif country_code(country) in _NANP and len(digits.removeprefix("1")) == 10:
        number = f"1{digits.removeprefix('1')}"
    else:
        return None
    return f"+{number}" if 8 <= len(number) <= 15 and not number.startswith("0") else None


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
