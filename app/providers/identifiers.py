"""The numbers that registers give to companies, each in the one spelling in which answers of two providers agree."""

import re

from app.providers.normalise import integer

_LEI = re.compile(r"[0-9A-Z]{18}[0-9]{2}")
_CIK_DIGITS = 10


def lei(value: object) -> str | None:
    """A Legal Entity Identifier (ISO 17442) whose check digits are right, in upper case."""
    if not isinstance(value, str):
        return None
    code = value.strip().upper()
    # Letters count from 10 (ISO 7064, MOD 97-10), as they do in base 36.
    is_whole = _LEI.fullmatch(code) and int("".join(str(int(each, 36)) for each in code)) % 97 == 1
    return code if is_whole else None


def cik(value: object) -> str | None:
    """A Central Index Key of the SEC, with leading zeros to ten digits, from its number or its text."""
    number = integer(value)
    return f"{number:0{_CIK_DIGITS}d}" if number is not None and 0 < number < 10**_CIK_DIGITS else None
