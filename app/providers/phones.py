"""Telephone numbers by the plans of their countries, as `phonenumbers` knows them.

A number that is written with its country's code, which is what vendors mostly send, is only compared with that plan:
parsing it costs ten times as much.
"""

import re
from collections.abc import Callable
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberFormat

_LONGEST = 80
_INTERNATIONAL = re.compile(r"\+[0-9 ()./\xa0-]{1,80}")
_NO_DIGITS = re.compile(r"[^0-9]+")
_SEVERAL = re.compile(r"[,;|\n]")
_LONGEST_CODE = 3
# Of a whole number (E.164, 6.2.1); the plans have room for longer ones.
_MOST_DIGITS = 15


def e164(written: str, country: str | None) -> str | None:
    """A number as E.164 (``+14155550100``), the first where there are several, without its extension.

    `country` (alpha-2) is that of numbers without a country's code; without it these are None, as is a number that no
    plan has room for: a wrong one dials a stranger. Whether anybody has it is not asked, since plans grow.
    """
    if _INTERNATIONAL.fullmatch(written) and _fits(digits := _NO_DIGITS.sub("", written)):
        return f"+{digits}"
    first = _SEVERAL.split(written.strip(), maxsplit=1)[0]
    # Where no country's dialling is known, these two are the prefix of most.
    return _parsed(f"+{first[2:]}" if first.startswith("00") else first, country)


def _fits(digits: str) -> bool:
    """Whether a whole number, country's code and all, is one of its country's plan."""
    if len(digits) > _MOST_DIGITS:
        return False
    for end in range(1, _LONGEST_CODE + 1):
        plan = _plan(digits[:end])
        if plan is not None:
            return plan(digits[end:]) is not None
    return False


@lru_cache(2048)
def _plan(code: str) -> Callable[[str], re.Match[str] | None] | None:
    """What recognises the numbers of a country's code; None where there is no such code."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code or "0"))
    if not regions or code.startswith("0"):
        return None
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), regions[0])
    general = metadata.general_desc if metadata else None
    if general is None or general.national_number_pattern is None:
        return None
    lengths = "|".join(f".{{{length}}}" for length in general.possible_length)
    return re.compile(f"(?=(?:{lengths})$)(?:{general.national_number_pattern})", re.ASCII).fullmatch


def _parsed(written: str, country: str | None) -> str | None:
    if len(written) > _LONGEST:
        return None
    try:
        number = phonenumbers.parse(written, country)
    except NumberParseException:
        return None
    found: str = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return found if _fits(found[1:]) else None
