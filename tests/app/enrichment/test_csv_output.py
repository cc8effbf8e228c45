"""Cells of an exported CSV."""

import csv
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.enrichment.csv_output import cell, column_names, lines, neutralise


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        '=HYPERLINK("http://evil.example","x")',
        "=cmd|' /C calc'!A0",
        "+cmd|' /C calc'!A0",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(1+1)",
        "@acme",
        "\t=1",
        "\r=1",
        "\n=1",
        "+",
        "-",
        "--1",
        "+1 650 555 0100 ext. 7",
        "+1*2",
        "-12.5\n",
        "+1 650 555 0100\n",
        "+1;2",
        "-1/A1",
        "+A1",
        "+１",  # a full-width digit
    ],
)
def test_what_a_spreadsheet_would_run_gets_a_quote(text: str):
    assert neutralise(text) == f"'{text}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Acme",
        "a=b",
        "1-2",
        "'=1",
        "+1 650 555 0100",
        "+1-650-555-0100",
        "+1 (650) 555-0100",
        "+49 (0)30/123456",
        "+16505550100",
        "+44 20.7946.0958",
        "-12.5",
        "-12,5",
        "-1,234,567.89",
        "+3",
        "-4e-5",
        "-12 %",
        "+5%",
    ],
)
def test_text_phone_numbers_and_plain_numbers_stay_as_they_are(text: str):
    assert neutralise(text) == text


@settings(deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"[=+\-@\t\r\n].*", fullmatch=True)))
def test_no_cell_begins_like_a_formula_unless_it_is_digits_and_what_stands_between_them(text: str):
    safe = neutralise(text)
    assert safe in (text, f"'{text}")
    if safe[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
        assert re.fullmatch(r"[+-][0-9 ().,/eE%+-]*", safe)
        assert not re.search(r"[A-DF-Zaa-df-z]", safe)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (12, "12"),
        (-12, "-12"),
        (0.5, "0.5"),
        (["a", "b"], "a; b"),
        (["=1", "b"], "'=1; b"),
        ([], ""),
        ({"a": 1}, '{"a":1}'),
    ],
)
def test_values_are_text_as_people_read_it(value: object, text: str):
    assert cell(value) == text  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2), min_size=1))
def test_a_csv_reader_reads_what_was_written(rows: list[list[str]]):
    written = lines(rows)
    assert list(csv.reader(io.StringIO(written, newline=""))) == [[neutralise(text) for text in row] for row in rows]


def test_no_two_columns_have_the_same_name():
    assert column_names(["name", "enriched_name", "status"], ["name", "city", "status"]) == [
        "name",
        "enriched_name",
        "status",
        "enriched_enriched_name",
        "city",
        "enriched_status",
    ]
