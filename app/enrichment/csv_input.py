"""Reading an uploaded CSV file: once through to see that it is right as a whole, then row by row.

UTF-8 with or without a byte order mark, a header, cells split by comma, semicolon or tab. Rows are numbered from 1,
the first below the header; blank lines are no rows; a row that ends early has empty cells at its end.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from app.enrichment.intake import InputRow, make_row
from app.enrichment.subjects import InputError
from app.errors import Detail, InvalidRequest
from app.providers.ports import SUBJECT_KEYS, Entity, JsonValue

_DELIMITERS = (",", ";", "\t")
_LONGEST_HEADER = 64 * 1024

# Bytes that are not UTF-8 arrive as these surrogates; PostgreSQL stores neither them nor NUL.
_UNREADABLE = re.compile("[\0\udc80-\udcff]")

# Input field → names of columns that mean it, the best first. Compared as lower-case words joined by "_".
_COMPANY_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "domain": (
        "domain", "company_domain", "domain_name", "website", "company_website", "website_url", "url", "company_url",
        "web", "web_site", "homepage", "home_page", "site",
    ),
    "name": (
        "name", "company_name", "company", "organization_name", "organisation_name", "organization", "organisation",
        "account_name", "account",
    ),
    "linkedin_url": (
        "linkedin_url", "company_linkedin_url", "linkedin", "company_linkedin", "linkedin_page",
        "linkedin_company_page",
    ),
}  # fmt: skip
_PERSON_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "email": ("email", "email_address", "e_mail", "e_mail_address", "work_email", "business_email", "mail"),
    "full_name": ("full_name", "fullname", "name", "person_name", "contact_name", "contact"),
    "first_name": ("first_name", "firstname", "given_name", "forename", "first"),
    "last_name": ("last_name", "lastname", "family_name", "surname", "last"),
    "domain": _COMPANY_COLUMNS["domain"],
    "company_name": (*_COMPANY_COLUMNS["name"][1:], "employer"),
    "linkedin_url": (
        "linkedin_url", "person_linkedin_url", "linkedin", "linkedin_profile", "linkedin_profile_url",
        "person_linkedin",
    ),
}  # fmt: skip
_COLUMNS: Mapping[Entity, Mapping[str, tuple[str, ...]]] = {
    "company": {"key": ("key",), **_COMPANY_COLUMNS},
    "person": {"key": ("key",), **_PERSON_COLUMNS},
}
# One of these must be among the columns, or no row could be looked up.
_USABLE: Mapping[Entity, tuple[set[str], ...]] = {
    "company": ({"domain"}, {"name"}, {"linkedin_url"}),
    "person": (
        {"email"},
        {"linkedin_url"},
        {"full_name", "domain"},
        {"full_name", "company_name"},
        {"last_name", "domain"},
        {"last_name", "company_name"},
    ),
}


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    line: int
    cells: list[str]


class CsvIntake:
    """The rows of a CSV file (a binary file that can be read twice). `mapping`: column → input field, by which callers
    overrule what the columns' names suggest.

    Raises InvalidRequest, with the row and column, for a file that is wrong as a whole: empty, no header, not UTF-8,
    a NUL byte, columns of the same name, none to look up by, a row with too many cells, no row, more than `max_rows`.
    Reads the whole file: call it in a thread.
    """

    def __init__(self, file: BinaryIO, entity: Entity, mapping: Mapping[str, str], *, max_rows: int) -> None:
        self._file = file
        self._entity = entity
        self._delimiter = _delimiter(file)
        rows = self._read()
        header = next(rows, None)
        if header is None:
            raise InvalidRequest("The file is empty: a header row and at least one row below it are needed.")
        self.columns: Sequence[str] = _column_names(header.cells)
        self._fields = _input_fields(entity, self.columns, mapping)
        self.total = self._count(rows, max_rows)

    def rows(self) -> Iterator[InputRow]:
        width = len(self.columns)
        index = {field: self.columns.index(column) for field, column in self._fields.items()}
        key_index = index.pop("key", None)
        rows = self._read()
        next(rows)
        for row in rows:
            cells = row.cells + [""] * (width - len(row.cells))
            inputs = {field: cells[i] for field, i in index.items()}
            key = "" if key_index is None else cells[key_index]
            as_it_came: dict[str, JsonValue] = dict(zip(self.columns, cells, strict=True))
            made = make_row(self._entity, row.number, key, as_it_came, inputs, self.place_of_key(row.number))
            yield self._in_terms_of_columns(made)

    def place(self, position: int, column: str) -> str:
        return f"row {position}, column {column}"

    def place_of_key(self, position: int) -> str:
        return self.place(position, self._fields.get("key", "key"))

    def _in_terms_of_columns(self, row: InputRow) -> InputRow:
        if row.error is None:
            return row
        column = self._fields.get(row.error.field, row.error.field)
        return InputRow(row.position, row.key, row.input, None, InputError(column, row.error.message))

    def _count(self, rows: Iterator[_Row], max_rows: int) -> int:
        number, width = 0, len(self.columns)
        for row in rows:
            number = row.number
            if number > max_rows:
                raise _wrong(f"row {number}", f"A file has at most {max_rows:,} rows.", line=row.line)
            if len(row.cells) > width:
                message = f"This row has {len(row.cells)} cells, the header has {width}."
                raise _wrong(f"row {number}, column {width + 1}", message, line=row.line)
        if number == 0:
            raise InvalidRequest("The file has a header and no row below it.")
        return number

    def _read(self) -> Iterator[_Row]:
        """The header as row 0, then the rows. Raises InvalidRequest for what cannot be read."""
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        suspicious = False

        def lines() -> Iterator[str]:
            nonlocal suspicious
            for line in text:
                suspicious = suspicious or _UNREADABLE.search(line) is not None
                yield line

        reader = csv.reader(lines(), delimiter=self._delimiter, strict=True)
        number = 0
        header: list[str] = []
        try:
            for cells in reader:
                if suspicious:
                    raise _unreadable(number, reader.line_num, cells, header)
                if cells:
                    header = header or cells
                    yield _Row(number, reader.line_num, cells)
                    number += 1
        except csv.Error as error:
            message = f"This row cannot be read: {error}."
            raise _wrong(f"row {number}" if number else "header", message, line=reader.line_num) from None
        finally:
            with suppress(ValueError):  # of rows that are not read to their end the file may be closed by now
                text.detach()


def _delimiter(file: BinaryIO) -> str:
    """The one that splits the header into most columns."""
    file.seek(0)
    beginning = file.read(_LONGEST_HEADER).decode(errors="replace").removeprefix("\ufeff").lstrip("\r\n")
    header = re.split(r"[\r\n]", beginning, maxsplit=1)[0]
    return max(_DELIMITERS, key=lambda each: len(next(csv.reader([header], delimiter=each), [])))


def _column_names(header: Sequence[str]) -> tuple[str, ...]:
    """The columns' names without spaces around them; one without a name is called by its number."""
    names = tuple(cell.strip() or f"column_{n}" for n, cell in enumerate(header, start=1))
    if not any(cell.strip() for cell in header):
        raise InvalidRequest("The file has no header: its first row names no column.")
    first: dict[str, int] = {}
    for n, name in enumerate(names, start=1):
        if name in first:
            message = f"Columns {first[name]} and {n} have the same name, {name!r}."
            raise _wrong(f"header, column {n}", message)
        first[name] = n
    return names


def _input_fields(entity: Entity, columns: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Input field → column: as `mapping` says, else as the columns' names suggest."""
    known = _COLUMNS[entity]
    details: list[Detail] = []
    fields: dict[str, str] = {}
    for column, field in mapping.items():
        place = f"options.columns.{column}"
        if column not in columns:
            details.append(Detail(place, f"The file has no column {column!r}; it has {', '.join(columns)}."))
        elif field not in known:
            details.append(Detail(place, f"{field!r} is no input field; there are {', '.join(known)}."))
        elif field in fields:
            details.append(Detail(place, f"{field!r} is given by column {fields[field]!r} already."))
        else:
            fields[field] = column
    if details:
        raise InvalidRequest("The columns do not fit the file.", details=details)
    by_meaning = {_words(column): column for column in reversed(columns) if column not in mapping}
    for field, names in known.items():
        guesses = [by_meaning[name] for name in names if name in by_meaning]
        if guesses and field not in fields:
            fields[field] = guesses[0]
    if not any(usable <= fields.keys() for usable in _USABLE[entity]):
        raise _wrong(
            "header",
            f"No column says what to look up. The first row must name the columns; found: {', '.join(columns)}."
            f" Name one of {', '.join(SUBJECT_KEYS[entity])}, or say in options.columns which column is which.",
        )
    return fields


def _words(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")


def _unreadable(number: int, line: int, cells: Sequence[str], header: Sequence[str]) -> InvalidRequest:
    n, found = next((n, found) for n, cell in enumerate(cells) if (found := _UNREADABLE.search(cell)))
    column = header[n].strip() if n < len(header) else str(n + 1)
    place = f"row {number}, column {column}" if number else f"header, column {n + 1}"
    if found[0] == "\0":
        return _wrong(place, "There is a NUL byte in this cell.", line=line)
    message = f"Byte 0x{ord(found[0]) - 0xDC00:02X} is not UTF-8: save the file as CSV in UTF-8."
    return _wrong(place, message, line=line)


def _wrong(place: str, message: str, *, line: int | None = None) -> InvalidRequest:
    where = place if line is None else f"{place} (line {line} of the file)"
    return InvalidRequest(f"The file is wrong at {where}: {message}", details=[Detail(place, message)])
