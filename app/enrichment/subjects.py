"""What a record is looked up by: its inputs normalised, and the one key that says which records are the same subject.

``http://www.Example.com/about`` is ``example.com``; ``  Acme   Inc`` is ``Acme Inc`` and its key ``name:acme inc``.
Pure functions: a wrong input is told as an `InputError` about one field, which ends that record and nothing else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import idna

from app.hosts import is_private
from app.providers.ports import Entity

# Longer than any real name; what is longer is a cell that slipped into the wrong column.
MAX_TEXT = 500

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.ASCII | re.IGNORECASE)
_PORT = re.compile(r":[0-9]*", re.ASCII)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_MAILBOX = re.compile(r"[^\s@\"(),:;<>\[\\\]]{1,64}")
_LINKEDIN = re.compile(
    r"(?:https?://)?(?:[a-z]{2,3}\.)?linkedin\.com/(company|school|showcase|in|pub)/([^/?#\s]+)",
    re.ASCII | re.IGNORECASE,
)
_LINKEDIN_KINDS: Mapping[Entity, tuple[str, ...]] = {
    "company": ("company", "school", "showcase"),
    "person": ("in", "pub"),
}


class InputError(Exception):
    """An input that cannot be used: `field` is the input field's name, `message` what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Subject:
    """`values` holds normalised inputs by SUBJECT_KEYS; `key` is equal for records that are the same subject."""

    key: str
    values: Mapping[str, str]


def normalise(entity: Entity, inputs: Mapping[str, str]) -> Subject:
    """The subject that `inputs` (raw text by SUBJECT_KEYS; empty text is none) name.

    Raises InputError for an input that is wrong, and where there is nothing to look up by.
    """
    values: dict[str, str] = {}
    for field, raw in inputs.items():
        text = raw.strip()
        if not text:
            continue
        if field == "domain":
            values[field] = normalise_domain(text)
        elif field == "email":
            values[field] = normalise_email(text)
        elif field == "linkedin_url":
            values[field] = normalise_linkedin_url(entity, text)
        elif words := _normalise_text(field, text):
            values[field] = words
    return Subject(_company_key(values) if entity == "company" else _person_key(values), values)


def normalise_domain(text: str) -> str:
    """The registered or sub-domain in `text`, a host or an http(s) URL: lower case, punycode, no ``www.``.

    Raises InputError for anything else: an IP address, a name of a private network, a malformed name.
    """
    host = _ascii_host(_host(text.strip()))
    labels = host.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        raise InputError("domain", "This is an IP address or a number; a domain is needed.")
    if is_private(host):
        raise InputError("domain", "This is a host of a private network; a public domain is needed.")
    if len(labels) == 1:
        raise InputError("domain", "This is not a domain: there is no dot in it.")
    if len(labels) > 2 and labels[0] == "www":
        labels = labels[1:]
    return ".".join(labels)


def normalise_email(text: str) -> str:
    """The address in lower case, its domain normalised. Raises InputError."""
    mailbox, at, domain = text.removeprefix("mailto:").rpartition("@")
    if not at or not _MAILBOX.fullmatch(mailbox) or not mailbox.isprintable():
        raise InputError("email", "This is not an e-mail address.")
    if any(character in domain for character in "/:?#"):
        raise InputError("email", "This is not an e-mail address.")
    try:
        return f"{mailbox.lower()}@{normalise_domain(domain)}"
    except InputError as error:
        raise InputError("email", f"The part after the @ is wrong: {error.message}") from None


def normalise_linkedin_url(entity: Entity, text: str) -> str:
    """``https://www.linkedin.com/<kind>/<slug>``. Raises InputError for any other page."""
    match = _LINKEDIN.match(text)
    if not match or match[1].lower() not in _LINKEDIN_KINDS[entity]:
        raise InputError("linkedin_url", f"This is not the LinkedIn page of a {entity}.")
    if len(match[2]) > MAX_TEXT or not match[2].isprintable():
        raise InputError("linkedin_url", "This is not a LinkedIn address.")
    return f"https://www.linkedin.com/{match[1].lower()}/{match[2].lower()}"


def _host(text: str) -> str:
    scheme = _SCHEME.match(text)
    if scheme and text.startswith("//", scheme.end()):
        if scheme[1].lower() not in ("http", "https"):
            raise InputError("domain", f"A web address or a domain is needed, not {scheme[1].lower()}.")
        text = text[scheme.end() :]
    is_url = text.startswith("//")
    authority = re.split(r"[/?#\\]", text.removeprefix("//"), maxsplit=1)[0]
    if "@" in authority and not is_url:
        raise InputError("domain", "This is an e-mail address; a domain is needed.")
    host = authority.rpartition("@")[2].strip()
    if host.startswith("["):
        raise InputError("domain", "This is an IP address; a domain is needed.")
    name, colon, port = host.partition(":")
    if colon and not _PORT.fullmatch(colon + port):
        reason = "an IP address" if ":" in port else "not a domain"
        raise InputError("domain", f"This is {reason}; a domain is needed.")
    return name


def _ascii_host(host: str) -> str:
    lowered = host.lower()
    if not lowered.isascii() or "xn--" in lowered:
        try:
            lowered = idna.encode(lowered, uts46=True).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError):
            raise InputError("domain", "This is not a domain: no such international name can exist.") from None
    lowered = lowered.removesuffix(".")
    if not lowered:
        raise InputError("domain", "There is no domain in this.")
    if len(lowered) > 253 or not all(_LABEL.fullmatch(label) for label in lowered.split(".")):
        raise InputError("domain", "This is not a domain: it is malformed.")
    return lowered


def _normalise_text(field: str, text: str) -> str:
    collapsed = " ".join(text.split())
    if not collapsed.isprintable():  # zero-width spaces, soft hyphens: invisible, and never meant
        collapsed = " ".join("".join(filter(str.isprintable, collapsed)).split())
    if len(collapsed) > MAX_TEXT:
        raise InputError(field, f"This is longer than {MAX_TEXT} characters.")
    return collapsed


def _company_key(values: Mapping[str, str]) -> str:
    if domain := values.get("domain"):
        return f"domain:{domain}"
    if page := values.get("linkedin_url"):
        return _linkedin_key(page)
    if name := values.get("name"):
        return f"name:{name.casefold()}"
    raise InputError("domain", "There is nothing to look up by: give a domain, a LinkedIn page or a name.")


def _person_key(values: Mapping[str, str]) -> str:
    if email := values.get("email"):
        return f"email:{email}"
    if page := values.get("linkedin_url"):
        return _linkedin_key(page)
    name = values.get("full_name") or " ".join(values[part] for part in ("first_name", "last_name") if part in values)
    if domain := values.get("domain"):
        company = f"domain:{domain}"
    elif employer := values.get("company_name"):
        company = f"company:{employer.casefold()}"
    else:
        company = ""
    if not name or not company or ("full_name" not in values and "last_name" not in values):
        raise InputError(
            "email",
            "There is nothing to look up by: give an e-mail address, a LinkedIn page, or a name with a company.",
        )
    return f"name:{name.casefold()} {company}"


def _linkedin_key(page: str) -> str:
    return f"linkedin:{page.partition('.com/')[2]}"
