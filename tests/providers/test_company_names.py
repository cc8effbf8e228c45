"""Which names mean the same company, and how sure that is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.company_names import SAME_BUT_FOR_FORM, SAME_NAME, only_match, read


def confidence(asked: str, name: str) -> float | None:
    match = only_match(read(asked), [(read(name), "it")])
    return match[1] if match else None


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("Acme Inc.", "ACME INC"),
        ("Acme, Incorporated", "Acme Inc."),
        ("Café Zürich GmbH", "CAFE ZURICH GMBH"),
        ("Straßenbau AG", "Strassenbau Aktiengesellschaft"),
        ("Johnson & Johnson", "JOHNSON AND JOHNSON"),
        ("Smith & Co.", "Smith and Company"),
        ("The Coca-Cola Company", "COCA COLA CO"),
        ("Amazon.com, Inc.", "AMAZON COM INC"),
        ("Macy's, Inc.", "MACYS INC"),
        ("Total S.A.", "TOTAL SA"),
        ("U.S. Steel L.L.C.", "US STEEL LLC"),
        ("Nowak Sp. z o.o.", "NOWAK SP ZOO"),
        ("Müller GmbH & Co. KG", "Mueller GmbH & Co KG".replace("ue", "ü")),
    ],
)
def test_spelling_makes_no_other_company(asked: str, name: str):
    assert confidence(asked, name) == SAME_NAME


@pytest.mark.parametrize(
    ("asked", "name"),
    [("Acme", "Acme Inc."), ("Acme Holdings Ltd", "Acme Holdings"), ("JPMorgan Chase", "JPMORGAN CHASE & CO")],
)
def test_a_legal_form_that_only_one_of_two_states_is_a_doubt(asked: str, name: str):
    assert confidence(asked, name) == SAME_BUT_FOR_FORM < SAME_NAME


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("Acme GmbH", "Acme Inc."),
        ("Acme", "Acme Holding Inc."),
        ("Acme Solar", "Acme"),
        ("Acme", "Acmee"),
        ("Acme 2", "Acme 3"),
        ("", ""),
        ("!!!", "???"),
        ("がくぶち", "かくふち"),
    ],
)
def test_another_word_and_another_form_are_another_company(asked: str, name: str):
    assert confidence(asked, name) is None


def test_the_same_name_wins_over_one_with_another_form():
    candidates = [(read("Acme"), "without"), (read("Acme Inc."), "with")]
    assert only_match(read("Acme, Inc"), candidates) == ("with", SAME_NAME)


@pytest.mark.parametrize("names", [("Acme Inc", "ACME INC."), ("Acme Inc", "Acme GmbH")])
def test_of_two_that_are_equally_close_none_is_meant(names: tuple[str, str]):
    assert only_match(read("Acme"), [(read(name), name) for name in names]) is None


def test_a_name_is_never_only_a_form():
    assert read("The Company").words == "co"
    assert read("AG").words == "ag"


@given(st.text(max_size=60))
def test_any_text_is_read_and_is_itself_in_any_case_and_spacing(name: str):
    known = read(name)
    assert confidence(name, name) == (SAME_NAME if known.words else None)
    if name.isascii():
        assert read(f"  {name.upper()} !") == known


@given(st.text(max_size=30), st.text(max_size=30))
def test_it_does_not_matter_which_of_two_names_is_asked_for(one: str, other: str):
    assert confidence(one, other) == confidence(other, one)
