"""Whose is which result of a call for several (docs/providers.md, Apollo).

Where the misses stand among Apollo's results, as null or not at all, no primary source shows. So a result belongs to
whom its identifiers name. Its place counts where as many results came as were asked for and none of them shows that
they stand in another order, and then only together with something that speaks for it. What may be somebody else's is
nobody's: it is asked for again alone.
"""

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

from app.providers import normalise
from app.providers.adapters import apollo_records
from app.providers.errors import Malformed
from app.providers.ports import Missed, Query
from app.providers.wire import Json

_LETTERS = re.compile(r"[^a-z]+")


class _Match(IntEnum):
    """How far a result is that of a query: not at all, as it seems, by an identifier."""

    NONE = 0
    LIKELY = 1
    IDENTIFIED = 2


def share_out(
    provider: str, queries: Sequence[Query], results: Sequence[Any], missing: int | None
) -> list[Json | Missed | Malformed]:
    """For each query the record that is its own, Missed where there is none, Malformed where that cannot be told.

    `results` are records, null or empty for a miss. `missing` is how many misses the answer counts, None where it does
    not say.
    """
    records: list[Json] = [result if isinstance(result, dict) else {} for result in results]
    matches = [[_match(query, record) for record in records] for query in queries]
    identified = [[index for index, match in enumerate(row) if match is _Match.IDENTIFIED] for row in matches]
    owned = [indexes[0] if indexes and _are_one(records, indexes) else None for indexes in identified]
    is_in_order = _is_in_order(identified, len(records))
    claimed = set(owned)
    for place, indexes in enumerate(identified):
        if is_in_order and not indexes and records[place] and place not in claimed and _speaks_for(matches, place):
            owned[place] = place
    strays = {index for index, result in enumerate(results) if result not in (None, {})} - set(owned)
    unfilled = owned.count(None)
    is_contradiction = missing is not None and missing < unfilled
    shares: list[Json | Missed | Malformed] = []
    for place, index in enumerate(owned):
        if index is not None:
            shares.append(records[index])
        elif is_contradiction or place in strays or (strays and not is_in_order):
            shares.append(Malformed(provider, "it cannot be told which result is this one's"))
        else:
            shares.append(Missed())
    return shares


def _are_one(records: Sequence[Json], indexes: Sequence[int]) -> bool:
    """Whether these are the same record, several times: somebody who was asked for in two ways."""
    return all(records[index] == records[indexes[0]] for index in indexes)


def _is_in_order(identified: Sequence[Sequence[int]], results: int) -> bool:
    """Whether there is a result for each query, and none that identifiers give to others but not to the query in its
    place."""
    elsewhere = {index for place, indexes in enumerate(identified) for index in indexes if index != place}
    return results == len(identified) and all(index in identified[index] for index in elsewhere)


def _speaks_for(matches: Sequence[Sequence[_Match]], place: int) -> bool:
    """Whether a result is that of the query in its place: others are identified in theirs, or it seems to be this
    one's and nobody else's."""
    if any(row[index] is _Match.IDENTIFIED for index, row in enumerate(matches)):
        return True
    return [row[place] for row in matches].count(_Match.NONE) == len(matches) - 1 and bool(matches[place][place])


def _match(query: Query, record: Json) -> _Match:
    if not record:
        return _Match.NONE
    return _match_company(query.subject, record) if query.entity == "company" else _match_person(query.subject, record)


def _match_company(subject: Mapping[str, str], record: Json) -> _Match:
    page = normalise.linkedin_url(record.get("linkedin_url"), "company")
    if subject.get("domain") in _domains(record) or _is_same(subject.get("linkedin_url"), page):
        return _Match.IDENTIFIED
    if not _is_same(subject.get("name"), normalise.text(record.get("name"))):
        return _Match.NONE
    # A name that is asked for together with a domain is nothing that only one company has.
    return _Match.LIKELY if "domain" in subject else _Match.IDENTIFIED


def _match_person(subject: Mapping[str, str], record: Json) -> _Match:
    organization = record.get("organization")
    employer: Json = organization if isinstance(organization, dict) else {}
    email, _ = apollo_records.address(record)
    profile = normalise.linkedin_url(record.get("linkedin_url"), "in")
    if _is_same(subject.get("email"), email) or _is_same(subject.get("linkedin_url"), profile):
        return _Match.IDENTIFIED
    first, last = (normalise.text(record.get(key)) or "" for key in ("first_name", "last_name"))
    mailbox, _, domain = subject.get("email", "").partition("@")
    asked_first, asked_last = subject.get("first_name"), subject.get("last_name")
    asked = f"{asked_first} {asked_last}" if asked_first and asked_last else subject.get("full_name")
    is_named = _is_same(asked, normalise.text(record.get("name")) or f"{first} {last}")
    is_named = is_named or (mailbox != "" and _letters(mailbox) in (_letters(first + last), _letters(last + first)))
    works_there = bool({subject.get("domain"), domain} & _domains(employer))
    works_there = works_there or _is_same(subject.get("company_name"), normalise.text(employer.get("name")))
    if is_named and works_there:
        return _Match.IDENTIFIED
    return _Match.LIKELY if is_named or works_there else _Match.NONE


def _domains(record: Json) -> set[str | None]:
    found = (normalise.domain(record.get(key)) for key in ("primary_domain", "website_url"))
    return {domain for domain in found if domain is not None}


def _is_same(asked: str | None, told: str | None) -> bool:
    return asked is not None and told is not None and asked.casefold() == told.casefold()


def _letters(name: str) -> str:
    """A name as it may stand in an address; nothing that equals another where there is no letter in it."""
    return _LETTERS.sub("", name.lower()) or name
