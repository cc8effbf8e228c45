"""Whom an erasure is about, and how they are recognised: in inputs, in results, in what vendors said.

Pure functions. An address is meant wherever it stands as a whole: ``ann@example.com`` in ``Ann <Ann@Example.com>``, and
not in ``joann@example.com``. A domain is meant with all that is below it, and with every address there.
"""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import quote, unquote

import idna

from app.enrichment.subjects import InputError, normalise_domain, normalise_email
from app.errors import Detail, InvalidRequest
from app.providers.ports import Entity, JsonValue

Kind: TypeAlias = Literal["email", "domain"]

ERASED = "erased"
"""The reason of a record that was erased."""

# Fields of an answer that say who its record is.
_IDENTITY: Mapping[tuple[Kind, Entity], tuple[str, ...]] = {
    ("email", "person"): ("email", "personal_emails"),
    ("email", "company"): (),
    ("domain", "person"): ("email", "company_domain"),
    ("domain", "company"): ("domain",),
}
# Inputs that say it too: a record that has one of them and not the one looked for is about somebody else, whatever
# stands in its other columns. A company is not an address.
_OWN: Mapping[tuple[Kind, Entity], tuple[str, ...]] = {
    ("email", "person"): ("email",),
    ("domain", "person"): ("email", "domain"),
    ("domain", "company"): ("domain",),
}

# JSON may write any character so, and some vendors do with "@" and "/".
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
# What means something else to LIKE.
_WILDCARD = re.compile(r"[%_\\]")
_ESCAPED = r"\\\g<0>"


@dataclass(frozen=True, slots=True)
class TracedAnswer:
    """What one provider answered about a record: `found` as it is stored."""

    provider: str
    found: Mapping[str, Sequence[JsonValue]]
    handle: str | None


@dataclass(frozen=True, slots=True)
class TracedRecord:
    """A record as it is stored, with the answers of its leader."""

    position: int
    leader: int
    key: str
    input: Mapping[str, JsonValue]
    subject: Mapping[str, str] | None
    error: Mapping[str, JsonValue] | None
    answers: Sequence[TracedAnswer]


@dataclass(frozen=True, slots=True)
class Trace:
    """A normalised address or domain, and how to recognise it."""

    kind: Kind
    subject: str
    _terms: tuple[str, ...] = field(init=False)
    _pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        forms = _forms(self.kind, self.subject)
        # Characters that an address may have before it, and would be another one with.
        before = r"(?<![\w.+-])" if self.kind == "email" else r"(?<![\w-])"
        pattern = rf"{before}(?:{'|'.join(map(re.escape, forms))})(?![\w-]|\.[\w-])"
        object.__setattr__(self, "_terms", tuple(dict.fromkeys([*forms, *(quote(form).lower() for form in forms)])))
        object.__setattr__(self, "_pattern", re.compile(pattern, re.IGNORECASE))

    @property
    def like(self) -> list[str]:
        """Patterns for LIKE, of which at least one fits any text in lower case that mentions the subject. They fit
        others too."""
        return [f"%{_WILDCARD.sub(_ESCAPED, term)}%" for term in self._terms]

    def mentioned_in(self, value: JsonValue) -> bool:
        """Whether the subject stands anywhere in the value, names of members too."""
        match value:
            case str():
                return self._stands_in(value)
            case list():
                return any(map(self.mentioned_in, value))
            case dict():
                return any(map(self._stands_in, value)) or any(map(self.mentioned_in, value.values()))
        return False

    def mentioned_in_raw(self, raw: bytes) -> bool:
        """Whether the subject stands in what a vendor sent: JSON or HTML, whole or broken."""
        text = raw.decode(errors="replace")
        if self._stands_in(text):
            return True
        if "\\" in text:
            plain = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), text).replace("\\/", "/")
            if self._stands_in(plain):
                return True
        return "&" in text and self._stands_in(html.unescape(text))

    def is_about(self, entity: Entity, record: TracedRecord) -> bool:
        """Whether the record is one of the subject, rather than one that mentions it."""
        subject = record.subject or {}
        if self.mentioned_in(dict(subject)):
            return True
        for answer in record.answers:
            values = [answer.found[name][0] for name in _IDENTITY[self.kind, entity] if name in answer.found]
            if any(map(self.mentioned_in, values)) or (answer.handle and self._stands_in(answer.handle)):
                return True
        own = _OWN.get((self.kind, entity))
        if own is None or any(name in subject for name in own):
            return False
        return self._stands_in(record.key) or any(map(self.mentioned_in, record.input.values()))

    def removed_from(self, value: JsonValue) -> JsonValue:
        """The value without what mentions the subject: a text becomes None, an element of a list is left out, a member
        whose name it is gets another."""
        match value:
            case str():
                return None if self._stands_in(value) else value
            case list():
                return [each for each in value if not self.mentioned_in(each)]
            case dict():
                return {
                    ERASED if self._stands_in(name) else name: self.removed_from(each) for name, each in value.items()
                }
        return value

    def removed_from_found(self, found: Mapping[str, Sequence[JsonValue]]) -> dict[str, Sequence[JsonValue]]:
        """The fields of an answer without what mentions the subject; one of which nothing is left is left out."""
        left: dict[str, Sequence[JsonValue]] = {}
        for name, (value, *confidence) in found.items():
            if not self.mentioned_in(value):
                left[name] = [value, *confidence]
            elif rest := self.removed_from(value):
                left[name] = [rest, *confidence]
        return left

    def _stands_in(self, text: str) -> bool:
        lowered = text.lower()
        if not any(term in lowered for term in self._terms):
            return False
        return bool(self._pattern.search(text)) or ("%" in text and bool(self._pattern.search(unquote(text))))


def trace_of(email: str | None, domain: str | None) -> Trace:
    """The trace of an address or a domain as somebody writes it. Raises InvalidRequest."""
    try:
        if email is not None:
            return Trace("email", normalise_email(email.strip()))
        return Trace("domain", normalise_domain(domain or ""))
    except InputError as error:
        raise InvalidRequest("The request is not valid.", details=[Detail(error.field, error.message)]) from None


def positions_of(records: Iterable[TracedRecord]) -> list[int]:
    """The leaders of these records, each once, in order."""
    return sorted({record.leader for record in records})


def _forms(kind: Kind, subject: str) -> list[str]:
    """As it is normalised, and with an international domain as people write it."""
    mailbox, _, domain = subject.rpartition("@")
    forms = [domain]
    if "xn--" in domain:
        with suppress(idna.IDNAError, UnicodeError):  # registered by older rules: nobody can write it in another way
            forms.append(idna.decode(domain))
    return [f"{mailbox}@{form}" for form in forms] if kind == "email" else forms
