"""What public registers have in common in the invented world: a company's numbers, and its name as a key."""

from app.sandbox.companies import Companies, clean_domain, pick
from app.sandbox.vocabulary import PLACES

_LEI_PREFIX = "9845"
_ALPHABET = tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LEGAL_SUFFIXES = frozenset(place.legal_suffix.lower().replace(".", "") for place in PLACES)


def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, without punctuation."""
    kept = "".join(c if c.isalnum() else " " for c in name.lower().replace(".", ""))
    return tuple(kept.split())


def domain_of_legal_name(name: str) -> str:
    """The domain of the company with a name such as `Acme Widgets GmbH` or `Acme Widgets`, empty for none."""
    label = words(name)
    if len(label) > 1 and label[-1] in _LEGAL_SUFFIXES:
        label = label[:-1]
    return clean_domain(f"{'-'.join(label)}.com")


def lei(companies: Companies, name: str) -> str:
    """The Legal Entity Identifier that belongs to a name, with its check digits (ISO 17442)."""
    body = _LEI_PREFIX + "".join(pick(draw, _ALPHABET) for draw in companies.draws("lei", name)[:14])
    digits = "".join(str(int(each, 36)) for each in f"{body}00")
    return f"{body}{98 - int(digits) % 97:02d}"


def cik(companies: Companies, domain: str) -> int:
    """The number of a company at the SEC, of which two may share one once in some million companies."""
    draws = companies.draws("cik", domain)
    return 1000 + (draws[0] << 16 | draws[1]) % 2_100_000_000
