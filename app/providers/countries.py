"""Countries by what people call them: ISO 3166-1 alpha-2 and alpha-3 codes, and names in the languages below.

Names are those of Unicode's CLDR, as Babel ships them.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import NamedTuple

from babel.core import Locale, get_global

# Where two languages mean different countries by a name, the earlier one counts.
_LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt")

# CLDR's codes beyond those that ISO has assigned to countries: reserved ones, unions, and test data.
_NOT_ASSIGNED = frozenset({"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "XK", "ZZ"})
# CLDR's English names of these tell more than the name.
_SHORT_NAMES = {"HK": "Hong Kong", "MM": "Myanmar", "MO": "Macao"}
# English names in daily use that are not CLDR's.
_ALSO = {
    "america": "US",
    "britain": "GB",
    "burma": "MM",
    "cote divoire": "CI",
    "czech republic": "CZ",
    "democratic republic of the congo": "CD",
    "el": "GR",
    "england": "GB",
    "great britain": "GB",
    "holland": "NL",
    "islamic republic of iran": "IR",
    "ivory coast": "CI",
    "korea": "KR",
    "korea republic of": "KR",
    "macau": "MO",
    "macedonia": "MK",
    "northern ireland": "GB",
    "peoples republic of china": "CN",
    "republic of ireland": "IE",
    "republic of korea": "KR",
    "republic of moldova": "MD",
    "russian federation": "RU",
    "scotland": "GB",
    "swaziland": "SZ",
    "turkey": "TR",
    "turkiye": "TR",
    "uae": "AE",
    "united kingdom of great britain and northern ireland": "GB",
    "united states of america": "US",
    "viet nam": "VN",
    "wales": "GB",
}
_LONGEST = 100
_MARKS = re.compile(r"[.,'’()]")


class _Countries(NamedTuple):
    names: Mapping[str, str]
    codes: Mapping[str, str]


def code(written: str) -> str | None:
    """The alpha-2 code of a country, from its code or its name in any case; None for what is neither."""
    return _code(written) if len(written) <= _LONGEST else None


def name(alpha_2: str) -> str:
    """The English name of a country. Raises KeyError for what is no alpha-2 code."""
    return _countries().names[alpha_2]


@lru_cache(4096)
def _code(written: str) -> str | None:
    return _countries().codes.get(_key(written))


@cache
def _countries() -> _Countries:
    codes: dict[str, str] = {}
    for language in _LANGUAGES:
        for territory, called in Locale(language).territories.items():
            if len(territory) == 2 and territory not in _NOT_ASSIGNED:
                codes.setdefault(_key(called), territory)
    english = Locale("en").territories
    codes |= {each.lower(): each for each in set(codes.values())}
    names = {each: _SHORT_NAMES.get(each, english[each]) for each in codes.values()}
    codes |= {_key(called): each for each, called in names.items()} | _ALSO
    # UK for GB, alpha-3 codes, and those of countries that have become one other.
    for alias, now in get_global("territory_aliases").items():
        if alias.isalpha() and len(now) == 1 and now[0] in names:
            codes.setdefault(alias.lower(), now[0])
    return _Countries(names, codes)


def _key(written: str) -> str:
    plain = _MARKS.sub("", written.casefold().replace("&", " and ")).replace("-", " ")
    return " ".join(plain.split()).removeprefix("the ").replace("saint ", "st ")
