"""Cells of an exported CSV: no cell runs as a formula in a spreadsheet, and no two columns have the same name."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

import orjson

from app.providers.ports import JsonValue

# What spreadsheets take for the beginning of a formula, as OWASP lists it ("CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# +1 650 555 0100, +49 (0)30 123-456, -12.5, -1,000, +3e-5, -12 %: digits and what stands between them run nothing.
_NUMBER = re.compile(r"\+[0-9(][0-9 ().\-/]*[0-9]|[+-][0-9]+(?:[.,][0-9]+)*(?:[eE][+-]?[0-9]+)?(?: ?%)?", re.ASCII)


def neutralise(text: str) -> str:
    """The text as it is, with a quote in front where a spreadsheet would run it as a formula."""
    if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def cell(value: JsonValue) -> str:
    """A value as text: nothing for None, lists joined by "; ", objects as JSON; neutralised."""
    return neutralise(_text(value))


def lines(rows: Iterable[Sequence[JsonValue]]) -> str:
    """The rows as CSV."""
    output = io.StringIO()
    csv.writer(output).writerows([[cell(value) for value in row] for row in rows])
    return output.getvalue()


def column_names(own: Sequence[str], added: Iterable[str]) -> list[str]:
    """The input's own columns, then the added ones, with ``enriched_`` in front where the input has the name too."""
    names = list(own)
    for name in added:
        while name in names:
            name = f"enriched_{name}"  # noqa: PLW2901  # an input may hold an earlier export
        names.append(name)
    return names


def _text(value: JsonValue) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case list():
            return "; ".join(map(_text, value))
        case dict():
            return orjson.dumps(value).decode()
