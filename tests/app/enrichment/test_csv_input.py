"""Reading an uploaded CSV file."""

import csv
import io
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.enrichment.csv_input import CsvIntake
from app.errors import InvalidRequest
from app.providers.ports import Entity


def read(
    file: bytes, entity: Entity = "company", mapping: Mapping[str, str] | None = None, *, max_rows: int = 100
) -> CsvIntake:
    return CsvIntake(io.BytesIO(file), entity, mapping or {}, max_rows=max_rows)


def keys(file: bytes, entity: Entity = "company", mapping: Mapping[str, str] | None = None) -> list[str | None]:
    return [row.subject.key if row.subject else None for row in read(file, entity, mapping).rows()]


def test_rows_keep_their_columns_in_order_and_as_they_came():
    rows = list(read(b'id, Website ,notes\n7, HTTP://Acme.com/x ,"a, ""b""\nc"\n').rows())
    assert [(row.position, row.key) for row in rows] == [(1, "1")]
    assert list(rows[0].input.items()) == [("id", "7"), ("Website", " HTTP://Acme.com/x "), ("notes", 'a, "b"\nc')]
    assert rows[0].subject is not None
    assert rows[0].subject.key == "domain:acme.com"


@pytest.mark.parametrize(
    "file",
    [
        b"domain,name\nacme.com,Acme\n",
        b"\xef\xbb\xbfdomain,name\nacme.com,Acme\n",
        b"domain,name\r\nacme.com,Acme\r\n",
        b"domain,name\racme.com,Acme\r",
        b"domain,name\nacme.com,Acme",
        b"\n\ndomain,name\n\nacme.com,Acme\n\n",
        b"domain;name\nacme.com;Acme\n",
        b"domain\tname\nacme.com\tAcme\n",
        b'"domain","name"\n"acme.com","Acme"\n',
    ],
)
def test_the_dialects_that_spreadsheets_write_are_read(file: bytes):
    table = read(file)
    assert table.columns == ("domain", "name")
    assert [row.input for row in table.rows()] == [{"domain": "acme.com", "name": "Acme"}]


@pytest.mark.parametrize(
    ("entity", "header", "row", "key"),
    [
        ("company", "Website", "acme.com", "domain:acme.com"),
        ("company", "URL", "acme.com", "domain:acme.com"),
        ("company", "Home Page", "acme.com", "domain:acme.com"),
        ("company", "company_name_id,company_name,url", "x,Acme,acme.com", "domain:acme.com"),
        ("company", "url,domain", "other.com,acme.com", "domain:acme.com"),
        ("company", "Company Name", "Acme", "name:acme"),
        ("company", "organisation", "Acme", "name:acme"),
        ("company", "LinkedIn URL", "linkedin.com/company/acme", "linkedin:company/acme"),
        ("person", "E-Mail", "ana@acme.com", "email:ana@acme.com"),
        ("person", "Name,Company", "Ana,Acme", "name:ana company:acme"),
        ("person", "First Name,Last Name,Website", "Ana,Li,acme.com", "name:ana li domain:acme.com"),
    ],
)
def test_columns_are_known_by_their_names(entity: Entity, header: str, row: str, key: str):
    assert keys(f"{header}\n{row}\n".encode(), entity) == [key]


def test_a_caller_says_which_column_is_which():
    file = b"Firma,domain,Netz\nAcme,wrong,acme.com\n"
    assert keys(file, mapping={"Netz": "domain", "Firma": "name"}) == ["domain:acme.com"]


def test_a_key_column_gives_the_keys_and_empty_ones_become_row_numbers():
    assert [row.key for row in read(b"key,domain\n a ,a.com\n,b.com\n").rows()] == ["a", "2"]


def test_a_wrong_row_is_told_by_its_column_and_spoils_no_other():
    rows = list(read(b"Firma,Website\nA,10.0.0.1\nB,b.com\n,\n").rows())
    assert [row.error.field if row.error else None for row in rows] == ["Website", None, "Website"]
    assert [row.subject is not None for row in rows] == [False, True, False]


def test_a_short_row_ends_with_empty_cells():
    assert [row.input for row in read(b"domain,name,city\na.com\n").rows()] == [
        {"domain": "a.com", "name": "", "city": ""}
    ]


def test_columns_without_a_name_are_called_by_their_number():
    assert read(b",domain,\n0,a.com,x\n").columns == ("column_1", "domain", "column_3")


def test_rows_can_be_read_again():
    table = read(b"domain\na.com\nb.com\n")
    assert [row.key for row in table.rows()] == [row.key for row in table.rows()] == ["1", "2"]


WRONG_FILES = {
    "empty": (b"", None),
    "only a byte order mark": (b"\xef\xbb\xbf", None),
    "only blank lines": (b"\n\r\n\n", None),
    "a header without names": (b",,\n1,2,3\n", None),
    "no row below the header": (b"domain,name\n", None),
    "no header": (b"acme.com,Acme\nexample.com,Example\n", "header"),
    "no usable column": (b"city,country\nOslo,NO\n", "header"),
    "two columns of the same name": (b"domain,name,domain\na.com,A,b.com\n", "header, column 3"),
    "the same name but for spaces": (b"domain,name, domain\na.com,A,b.com\n", "header, column 3"),
    "a row with too many cells": (b"domain,name\na.com,A\nb.com,B,extra\n", "row 2, column 3"),
    "a row with one comma too many": (b"domain,name\na.com,A,\n", "row 1, column 3"),
    "a NUL byte": (b"domain,name\na.com,A\nb.com,B\x00B\n", "row 2, column name"),
    "a NUL byte in the header": (b"domain,na\x00me\na.com,A\n", "header, column 2"),
    "Latin-1": ("domain,name\na.com,Café\n".encode("latin-1"), "row 1, column name"),
    "Latin-1 late in the file": (b"domain,name\n" + b"a.com,A\n" * 90 + b"b.com,\xe9\n", "row 91, column name"),
    "Latin-1 in the header": ("domain,Straße\na.com,A\n".encode("latin-1"), "header, column 2"),
    "UTF-16": ("domain,name\na.com,A\n".encode("utf-16"), "header, column 1"),
    "an encoded surrogate": (b"domain,name\na.com,\xed\xa0\x80\n", "row 1, column name"),
    "a quote that is not closed": (b'domain,name\na.com,"A\nb.com,B\n', "row 1"),
    "text after a closing quote": (b'domain,name\na.com,"A"B\n', "row 1"),
    "a cell that swallows the file": (b"domain,name\na.com," + b"A" * 200_000 + b"\n", "row 1"),
    "too many rows": (b"domain\n" + b"a.com\n" * 101, "row 101"),
}


@pytest.mark.parametrize(("file", "place"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_file_that_is_wrong_as_a_whole_is_refused_with_the_place(file: bytes, place: str | None):
    with pytest.raises(InvalidRequest) as caught:
        read(file)
    assert caught.value.message
    assert [detail.field for detail in caught.value.details] == ([place] if place else [])


def test_the_line_is_told_too_because_cells_may_hold_line_breaks():
    with pytest.raises(InvalidRequest, match=r"row 2, column 2 \(line 5 of the file\)"):
        read(b'name\n"A\nB"\n\nC,D\n')


@pytest.mark.parametrize(
    ("mapping", "place"),
    [
        ({"Webseite": "domain"}, "options.columns.Webseite"),
        ({"Firma": "company"}, "options.columns.Firma"),
        ({"Firma": "email"}, "options.columns.Firma"),
        ({"Firma": "name", "Ort": "name"}, "options.columns.Ort"),
    ],
)
def test_columns_that_do_not_fit_the_file_are_named(mapping: Mapping[str, str], place: str):
    with pytest.raises(InvalidRequest) as caught:
        read(b"Firma,Ort\nAcme,Oslo\n", mapping=mapping)
    assert [detail.field for detail in caught.value.details] == [place]


def test_a_key_that_is_too_long_is_refused_with_its_row():
    with pytest.raises(InvalidRequest) as caught:
        list(read(b"key,domain\na,a.com\n" + b"k" * 256 + b",b.com\n").rows())
    assert [detail.field for detail in caught.value.details] == ["row 2, column key"]


_CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(deadline=None)
@given(st.lists(st.lists(_CELLS, min_size=3, max_size=3), min_size=1, max_size=20))
def test_every_cell_that_a_csv_can_hold_comes_back_as_it_was(cells: list[list[str]]):
    output = io.StringIO(newline="")
    csv.writer(output).writerows([["domain", "b", "c"], *cells])
    assert [list(row.input.values()) for row in read(output.getvalue().encode()).rows()] == cells


@settings(deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_rows_or_refused(file: bytes, with_header: bool):
    try:
        table = read(b"domain,name\n" + file if with_header else file)
    except InvalidRequest:
        return
    assert sum(1 for _ in table.rows()) == table.total
