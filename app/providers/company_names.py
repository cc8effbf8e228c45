"""Whether two names mean the same company: for registers that know companies by name only.

Compared without case, accents, punctuation and a leading article, with legal forms in one spelling. What differs in a
word of the name itself is another company: nothing here guesses at typing errors, for a wrong company is worse than
none.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

T = TypeVar("T")

# How sure it is that a register's only company of a name is the one that was meant. Names repeat across countries, so
# that even the same name leaves a doubt; without the legal form it may be a subsidiary or a namesake.
SAME_NAME = 0.9
SAME_BUT_FOR_FORM = 0.6

_SPELLINGS = {
    "incorporated": "inc",
    "corporation": "corp",
    "company": "co",
    "limited": "ltd",
    "private": "pvt",
    "aktiengesellschaft": "ag",
}
_FORMS = frozenset(
    {
        *("inc", "corp", "co", "ltd", "llc", "llp", "lp", "plc", "pvt", "pty", "pte"),
        *("gmbh", "mbh", "ag", "kg", "kgaa", "ohg", "ug", "ev", "eg", "se", "sa", "sas", "sarl", "srl", "spa"),
        *("bv", "nv", "cv", "ab", "as", "asa", "aps", "oy", "oyj", "sl", "slu", "lda", "ltda", "kft", "zrt"),
        *("doo", "sro", "sp", "zoo", "kk"),
    }
)
_ACCENTS = re.compile("[\u0300-\u036f]")
_APOSTROPHES = re.compile("['’`]")
_ET = re.compile("[&+]")
_SEPARATORS = re.compile(r"[\W_]+")
# "S. A." and "L.L.C." fall apart into letters.
_LETTERS = re.compile(r"\b\w(?: \w\b)+")


class CompanyName(NamedTuple):
    """A name as it is compared: its own words, and the legal forms that follow them."""

    words: str
    forms: frozenset[str]


def read(name: str) -> CompanyName:
    """What of a name is compared; no words for one without a letter or digit."""
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", name.casefold())).casefold()
    text = _SEPARATORS.sub(" ", _ET.sub(" and ", _APOSTROPHES.sub("", text))).strip()
    text = _LETTERS.sub(lambda letters: letters.group().replace(" ", ""), text)
    words = [_SPELLINGS.get(word, word) for word in text.split()]
    if len(words) > 1 and words[0] == "the":
        del words[0]
    forms: set[str] = set()
    while len(words) > 1 and (words[-1] in _FORMS or (forms and words[-1] == "and")):
        forms.add(words.pop())
    return CompanyName(" ".join(words), frozenset(forms - {"and"}))


def only_match(asked: CompanyName, candidates: Iterable[tuple[CompanyName, T]]) -> tuple[T, float] | None:
    """The one candidate whose name is the closest to what was asked for, with the confidence that it is meant:
    SAME_NAME, or SAME_BUT_FOR_FORM where one of the two states legal forms that the other leaves out. None where there
    is none, and where several are equally close: which of them is meant cannot be told."""
    matches: dict[float, list[T]] = {}
    for name, candidate in candidates:
        confidence = _likeness(asked, name)
        if confidence is not None:
            matches.setdefault(confidence, []).append(candidate)
    if not matches:
        return None
    confidence = max(matches)
    return (matches[confidence][0], confidence) if len(matches[confidence]) == 1 else None


def _likeness(asked: CompanyName, name: CompanyName) -> float | None:
    if not asked.words or asked.words != name.words:
        return None
    if asked.forms == name.forms:
        return SAME_NAME
    # Two forms that contradict each other are two companies: Acme GmbH is not Acme Inc.
    return SAME_BUT_FOR_FORM if asked.forms <= name.forms or asked.forms >= name.forms else None
