"""The numbers of registers, each in one spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.identifiers import cik, lei

LEI = "98450DV7KQ2M4T1XW896"


@pytest.mark.parametrize("value", [LEI, LEI.lower(), f" {LEI} "])
def test_an_lei_is_known_in_any_case(value: str):
    assert lei(value) == LEI


@pytest.mark.parametrize("value", [None, 7, "", LEI[:-1], f"{LEI}0", LEI.replace("7", "8", 1), f"٣{LEI[1:]}"])
def test_an_lei_whose_check_digits_are_wrong_is_none(value: object):
    assert lei(value) is None


@pytest.mark.parametrize("value", [320193, "320193", "0000320193", 320193.0])
def test_a_cik_has_ten_digits_however_it_is_written(value: object):
    assert cik(value) == "0000320193"


@pytest.mark.parametrize("value", [None, True, 0, -1, "", "CIK", 10**10, "12345678901", [1], float("nan")])
def test_what_is_no_cik_is_none(value: object):
    assert cik(value) is None


@given(st.text() | st.integers() | st.floats() | st.none())
def test_any_value_is_read_and_what_was_read_stays(value: object):
    for reading in (lei, cik):
        known = reading(value)
        assert known is None or reading(known) == known
