"""A DNS resolver that knows every domain's mail system.

Facts: section 1 of free-sources.md of the provider facts; wire format: RFC 1035.

Answers A, MX and TXT (SPF at the domain, DMARC at `_dmarc.`); other types have no records, and dead domains do not
exist. As an emulator it answers a `Query` by a whole message; `resolver.py` puts it on UDP and TCP.
"""

from dataclasses import dataclass
from functools import lru_cache
from struct import Struct, error, pack
from typing import NamedTuple

from app.sandbox.calls import Calls
from app.sandbox.companies import Companies, clean_domain
from app.sandbox.emulator import ANSWERS_KEPT, Answer
from app.sandbox.faults import FaultMode
from app.sandbox.options import Options

A, MX, TXT = 1, 15, 16
INTERNET = 1
TTL = 300

NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NO_SUCH_NAME, REFUSED = 0, 1, 2, 3, 5
_RESPONSE = 0x8180  # an answer, recursion desired and available
_TRUNCATED = 0x0200
_HEADER = Struct("!6H")
_NAME_OF_QUESTION = b"\xc0\x0c"  # a pointer to the name in the question
_RECORD = Struct("!2sHHIH")


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsOptions(Options):
    """`hit_rate` is the share of the domains that exist."""

    hit_rate: float = 0.9


class Query(NamedTuple):
    """A question: the two bytes that identify it, and the question section as it was asked."""

    identifier: bytes
    question: bytes


def parse_query(message: bytes) -> Query | None:
    """The query in a message; None for what is none, which a resolver leaves unanswered."""
    try:
        _, flags, questions, *_ = _HEADER.unpack_from(message)
    except error:
        return None
    end = _HEADER.size
    while end < len(message) and 0 < message[end] < 64:
        end += message[end] + 1
    end += 5
    is_question = not flags & 0x8000 and questions == 1 and end <= len(message)
    return Query(message[:2], message[_HEADER.size : end]) if is_question else None


class Dns:
    """The emulator of the resolver. Its answers carry no head and have zeros for the identifier."""

    def __init__(self, companies: Companies, calls: Calls, options: DnsOptions) -> None:  # noqa: ARG002
        self._companies = companies
        self._prepared = lru_cache(ANSWERS_KEPT)(self._prepare)
        self.configure(options)

    def configure(self, options: DnsOptions) -> None:
        """Take other options."""
        self.options = options
        self._prepared.cache_clear()

    def answer(self, request: Query) -> Answer:
        """What the resolver says."""
        return self._prepared(request.question)

    def failure(self, mode: FaultMode, turn: int, request: Query, answer: Answer) -> Answer:
        """How a resolver fails: SERVFAIL, or REFUSED where others speak of keys, limits and quotas."""
        question = request.question
        if mode is FaultMode.MALFORMED:
            forms = (
                answer.body[: _HEADER.size - 3],
                _message(question, NO_ERROR, records=b"\xc0", count=5),
                _message(b"\x07another\x07example\x00" + question[-4:], NO_ERROR),
            )
            return Answer(forms[turn % len(forms)])
        failed = mode in (FaultMode.OUTAGE, FaultMode.FLAKY)
        return Answer(_message(question, SERVER_FAILURE if failed else REFUSED))

    def _prepare(self, question: bytes) -> Answer:
        name = _name_of(question)
        domain = registrable_name(name)
        if not domain:
            return Answer(_message(question, FORMAT_ERROR if not name else NO_SUCH_NAME))
        if not self._companies.is_alive(domain, self.options.hit_rate):
            return Answer(_message(question, NO_SUCH_NAME), keys=(domain,))
        kind = int.from_bytes(question[-4:-2], "big")
        records = self._records(name, domain, kind)
        if records is None:
            return Answer(_message(question, NO_SUCH_NAME), keys=(domain,))
        wire = b"".join(_RECORD.pack(_NAME_OF_QUESTION, kind, INTERNET, TTL, len(data)) + data for data in records)
        return Answer(_message(question, NO_ERROR, records=wire, count=len(records)), keys=(domain,))

    def _records(self, name: str, domain: str, kind: int) -> list[bytes] | None:
        draws = self._companies.draws("dns", domain)
        policy = _dmarc(domain, draws[0])
        if name.startswith("_"):
            if not name.startswith("_dmarc.") or not policy:
                return None
            return [_text(policy)] if kind == TXT else []
        if kind == A:
            # The networks that RFC 5737 keeps for documentation: nobody is at home there.
            network = ((192, 0, 2), (198, 51, 100), (203, 0, 113))[draws[1] % 3]
            return [bytes((*network, draws[2] % 254 + 1))]
        if name.removeprefix("www.").removeprefix("mail.") != name:
            return []
        mail = self._companies.company(domain).mail
        if kind == MX:
            hosts = (
                (rank, host.format(domain=domain, label=domain.replace(".", "-"))) for rank, host in mail.exchangers
            )
            return [pack("!H", rank) + _wire_name(host) for rank, host in hosts]
        if kind == TXT:
            return [_text(text) for text in self._texts(domain, mail.spf)]
        return []

    def _texts(self, domain: str, spf: str) -> list[str]:
        draws = self._companies.draws("dns texts", domain)
        tokens = ("google-site-verification", "MS", "atlassian-domain-verification", "stripe-verification")
        texts = [f"{token}={draws[n]:04x}{draws[n + 1]:04x}" for n, token in enumerate(tokens) if draws[n] & 1]
        if spf:
            texts.append(spf)
        if draws[8] % 10 == 0:
            # A key longer than the 255 bytes of one string, so that the record comes in several and over TCP.
            texts.append("k=rsa; p=" + "".join(f"{draw:04x}" for draw in draws) * 4)
        return texts


def registrable_name(name: str) -> str:
    """The domain that a name is counted under: without service labels (`_dmarc.`), `www.` and `mail.`."""
    labels = name.split(".")
    while len(labels) > 2 and (labels[0].startswith("_") or labels[0] in ("www", "mail")):
        labels.pop(0)
    return clean_domain(".".join(labels))


def reply(query: Query, answer: Answer, *, limit: int | None = None) -> bytes:
    """The message that answers a query; one above the limit is cut to its header and asks for TCP."""
    body = answer.body
    if limit is not None and len(body) > limit:
        body = _message(query.question, NO_ERROR, flags=_RESPONSE | _TRUNCATED)
    return query.identifier + body[2:]


def _dmarc(domain: str, draw: int) -> str:
    policy = (None, None, None, "none", "none", "none", "quarantine", "quarantine", "reject", "reject")[draw % 10]
    return f"v=DMARC1; p={policy}; rua=mailto:dmarc@{domain}; pct=100" if policy else ""


def _name_of(question: bytes) -> str:
    labels, at = [], 0
    while at < len(question) and question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode("latin-1").lower())
        at += question[at] + 1
    return ".".join(labels)


def _wire_name(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".") if label) + b"\0"


def _text(text: str) -> bytes:
    data = text.encode()
    strings = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"".join(bytes((len(string),)) + string for string in strings)


def _message(question: bytes, code: int, *, records: bytes = b"", count: int = 0, flags: int = _RESPONSE) -> bytes:
    return _HEADER.pack(0, flags | code, 1, count, 0, 0) + question + records
