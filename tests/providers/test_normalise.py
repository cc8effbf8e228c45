"""From what people write to canonical values."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers import normalise

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
ODD_TEXT = st.text(st.characters(categories=("L", "N", "P", "S", "Z", "C"))) | st.text(
    st.sampled_from("aZ09.-_@/:+ ()%#?[]\\\x00\ud800éß。")
)
FUNCTIONS = {
    "text": normalise.text,
    "texts": normalise.texts,
    "integer": normalise.integer,
    "count": normalise.count,
    "year": normalise.year,
    "employee_range": normalise.employee_range,
    "dollars": normalise.dollars,
    "timestamp": normalise.timestamp,
    "domain": normalise.domain,
    "registrable_domain": normalise.registrable_domain,
    "email": normalise.email,
    "url": normalise.url,
    "country_code": normalise.country_code,
    "country": normalise.country,
    "phone": normalise.phone,
    "phone in the US": lambda value: normalise.phone(value, "US"),
    "phone in Italy": lambda value: normalise.phone(value, "IT"),
    "linkedin company": lambda value: normalise.linkedin_url(value, "company"),
    "linkedin person": lambda value: normalise.linkedin_url(value, "in"),
    "twitter": normalise.twitter_handle,
    "facebook": normalise.facebook_handle,
    "github": normalise.github_handle,
}


# Written the way people write these, so that most of them are values.
WRITTEN = (
    st.from_regex(r"(https?://)?(www\.){0,2}[a-z]{1,3}\.(co\.uk|com|de|kawasaki\.jp)(/[a-z]?)?", fullmatch=True)
    | st.from_regex(r"(\+|00|)[1-9][0-9]{0,2}[ (]{0,2}0?[)]?[0-9]{3,6}[ -]?[0-9]{2,6}( ext 1)?", fullmatch=True)
    | st.from_regex(r"(US\$|\$|€|EUR )?[0-9]{1,3}(,[0-9]{3}){0,2}(\.[0-9])? ?(k|M|bn|million)?( USD)?", fullmatch=True)
    | st.from_regex(r"[0-9]{1,3}(,[0-9]{3}|K)?( ?[-–] ?[0-9]{1,5}K?|\+)( employees)?", fullmatch=True)
    | st.datetimes(timezones=st.none() | st.timezones()).map(str)
    | st.sampled_from(["United States", "deutschland", "GBR", "uk", "Bosnia & Herzegovina", "St. Lucia", "The Gambia"])
)
CANONICAL = {
    "integer": r"-?\d+",
    "count": r"[1-9]\d*",
    "year": r"[12]\d{3}",
    "employee_range": r"\d+(-\d+|\+)",
    "dollars": r"[1-9]\d*",
    "timestamp": r"[12]\d{3}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\dZ",
    "domain": r"(?!www\..*\.)([a-z0-9_-]{1,63}\.)+[a-z][a-z0-9-]*",
    "registrable_domain": r"([a-z0-9_-]{1,63}\.)+[a-z][a-z0-9-]*",
    "email": r"[^@A-Z\s]+@[a-z0-9_.-]+",
    "url": r"https?://[^#\s]+",
    "country_code": r"[A-Z]{2}",
    "phone": r"\+[1-9]\d{3,14}",
    "phone in the US": r"\+[1-9]\d{3,14}",
    "phone in Italy": r"\+[1-9]\d{3,14}",
    "linkedin company": r"https://www\.linkedin\.com/(company|school|showcase|in)/[^/\s]+",
    "twitter": r"[A-Za-z0-9._-]+",
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(value=JSON | ODD_TEXT | WRITTEN)
def test_whatever_json_holds_it_gives_a_canonical_value_that_stays_as_it_is_or_none(name: str, value: object):
    function = FUNCTIONS[name]
    result = function(value)
    if result is None:
        return
    assert result not in ("", [])
    assert function(result) == result
    if name in CANONICAL:
        assert re.fullmatch(CANONICAL[name], str(result))
    stored = json.dumps(result, ensure_ascii=False, allow_nan=False)
    assert "\\u0000" not in stored
    stored.encode()  # fits into PostgreSQL: no lone surrogate


@given(label=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True))
def test_a_domain_is_found_in_any_url_around_it(label: str):
    domain = f"{label}.com"
    for written in (
        domain,
        domain.upper(),
        f"  {domain}. ",
        f"www.{domain}",
        f"http://{domain}",
        f"https://user:pass@WWW.{domain}:8443/about?x=1#top",
        f"//{domain}/",
        f"{domain}/path",
    ):
        assert normalise.domain(written) == domain


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("http://www.Example.com/about", "example.com"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("MÜNCHEN.de", "xn--mnchen-3ya.de"),
        ("a.b.co.uk", "a.b.co.uk"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("www.com", "www.com"),
        ("www.www.example.com", "example.com"),
        ("例え。jp", "xn--r8jz45g.jp"),
    ],
)
def test_a_domain_is_lower_case_punycode_without_www(written: str, domain: str):
    assert normalise.domain(written) == domain


@pytest.mark.parametrize(
    "written",
    [
        "",
        "example",
        "exa mple.com",
        "-a.com",
        "a..com",
        "a.com:http",
        "127.0.0.1",
        "http://127.0.0.1/",
        "127.1",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "http://[::1]:80/",
        "localhost",
        "db.internal",
        "printer.local",
        "router.home.arpa",
        "x.onion",
        f"{'a' * 64}.com",
        f"{'a.' * 130}com",
        "a.123",
        None,
        5,
    ],
)
def test_what_is_no_public_domain_is_none(written: object):
    assert normalise.domain(written) is None


@pytest.mark.parametrize(
    ("written", "kind", "url"),
    [
        ("acme", "company", "https://www.linkedin.com/company/acme"),
        ("company/Acme", "company", "https://www.linkedin.com/company/acme"),
        ("in/ana-roe", "in", "https://www.linkedin.com/in/ana-roe"),
        ("ana-roe", "in", "https://www.linkedin.com/in/ana-roe"),
        ("http://www.linkedin.com/company/acme/?trk=x", "company", "https://www.linkedin.com/company/acme"),
        ("https://de.linkedin.com/company/acme/about", "company", "https://www.linkedin.com/company/acme"),
        ("linkedin.com/school/mit", "company", "https://www.linkedin.com/school/mit"),
        ("//linkedin.com/in/zoé", "in", "https://www.linkedin.com/in/zoé"),
        ("https://evil.com/linkedin.com/in/x", "in", None),
        ("https://notlinkedin.com/in/x", "in", None),
        ("https://www.linkedin.com/", "in", None),
        ("/about", "company", None),
        ("", "company", None),
    ],
)
def test_a_linkedin_handle_becomes_its_url(written: str, kind: str, url: str | None):
    assert normalise.linkedin_url(written, kind) == url


@pytest.mark.parametrize(
    ("written", "handle"),
    [
        ("acme", "acme"),
        ("@acme", "acme"),
        ("https://twitter.com/acme", "acme"),
        ("https://x.com/acme?s=20", "acme"),
        ("http://www.twitter.com/@acme/", "acme"),
        ("https://twitter.com/intent/tweet", None),
        ("https://acme.com/about", None),
        ("/about", None),
        ("https://twitter.com", None),
    ],
)
def test_a_handle_is_taken_out_of_its_profile_url(written: str, handle: str | None):
    assert normalise.twitter_handle(written) == handle


@pytest.mark.parametrize(
    ("written", "number"),
    [("1,200", 1200), ("42", 42), (42.9, 42), ("10 000", 10000), ("51-200", None), ("12k", None), (True, None)],
)
def test_a_number_may_be_written_as_text(written: object, number: int | None):
    assert normalise.integer(written) == number


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300, 10**400, "9" * 5000])
def test_a_number_that_nobody_could_mean_is_none(number: object):
    assert normalise.integer(number) is None


def test_zero_is_how_vendors_write_not_known():
    assert normalise.count(0) is None
    assert normalise.count("0") is None
    assert normalise.count("7") == 7


@pytest.mark.parametrize(
    ("written", "range_"),
    [
        ("51-200", "51-200"),
        ("51 – 200", "51-200"),
        ("1,001-5,000", "1001-5000"),
        ("10,001+", "10001+"),
        ("> 500", "500+"),
        ("11 to 50", "11-50"),
        ("251-1K", "251-1000"),
        ("100K+", "100000+"),
        ("10,001+ employees", "10001+"),
        ("200-51", None),
        ("many", None),
        (51, None),
    ],
)
def test_an_employee_range_has_one_form(written: object, range_: str | None):
    assert normalise.employee_range(written) == range_


@pytest.mark.parametrize(
    ("written", "year"),
    [(1999, 1999), ("1999", 1999), ("1999-04-01", 1999), ("c. 1999", None), (19, None), (9999, None)],
)
def test_a_year_is_read_from_a_date(written: object, year: int | None):
    assert normalise.year(written) == year


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("Ana@Example.COM", "ana@example.com"),
        (" ana@www.example.com", "ana@www.example.com"),
        ("a b@example.com", None),
        ("ana@localhost", None),
        ("ana@127.0.0.1", None),
        ("ana@example.com/x", None),
        ("@example.com", None),
        ("ana", None),
    ],
)
def test_an_email_address_is_lower_case(written: str, address: str | None):
    assert normalise.email(written) == address


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("HTTPS://Example.com/Logo.png#x", "https://example.com/Logo.png"),
        ("//cdn.example.com/a.png", "https://cdn.example.com/a.png"),
        ("ftp://example.com/a", None),
        ("javascript:alert(1)", None),
        ("https://user:pass@example.com/", None),
        ("http://10.0.0.1/logo.png", None),
        ("/logo.png", None),
        ("http://[::1", None),
    ],
)
def test_a_url_is_absolute_and_public(written: str, url: str | None):
    assert normalise.url(written) == url


def test_text_loses_what_no_database_takes():
    assert normalise.text("  Acme\x00 \ud800Inc\n ") == "Acme Inc"
    assert normalise.text(" \t ") is None
    assert normalise.text("x" * 5000) == "x" * 2000
    assert normalise.text(42) == "42"
    assert normalise.text(["Acme"]) is None


def test_texts_come_once_and_in_order():
    assert normalise.texts(["b", "a", "b", "", None, {"x": 1}]) == ["b", "a"]
    assert normalise.texts("one") == ["one"]
    assert normalise.texts([]) is None


@given(value=JSON | ODD_TEXT | WRITTEN, currency=st.sampled_from(["EUR", "usd", "", None, 7]))
def test_whatever_is_no_money_is_none(value: object, currency: object):
    found = normalise.money(value, currency)
    if found is not None:
        assert found.amount > 0
        assert re.fullmatch("[A-Z]{3}", found.currency)
        assert normalise.money(found.amount, found.currency) == found


@pytest.mark.parametrize(
    ("written", "currency", "amount"),
    [
        (5_000_000.0, "usd", (5_000_000, "USD")),
        ("$1.2M", None, (1_200_000, "USD")),
        ("US$ 3 billion", None, (3_000_000_000, "USD")),
        ("EUR 5,000,000", None, (5_000_000, "EUR")),
        ("12.5 million gbp", None, (12_500_000, "GBP")),
        ("€300k", "USD", (300_000, "EUR")),
        ("1,234.56", "USD", (1234, "USD")),
        ("2,500", None, None),
        (0, "USD", None),
        (-5, "USD", None),
        ("$10M-$25M", None, None),
        ("a lot", "USD", None),
        (7, "dollars", None),
        (True, "USD", None),
    ],
)
def test_money_is_a_whole_amount_with_its_currency(
    written: object, currency: str | None, amount: tuple[int, str] | None
):
    assert normalise.money(written, currency) == amount


def test_only_dollars_are_dollars():
    assert normalise.dollars("$1.2M") == normalise.dollars(1_200_000) == 1_200_000
    assert normalise.dollars("€1.2M") is normalise.dollars(7, "EUR") is None


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("1997-09-15T04:00:00Z", "1997-09-15T04:00:00Z"),
        ("1997-09-15T04:00:00.123456+02:00", "1997-09-15T02:00:00Z"),
        ("1997-09-15", "1997-09-15T00:00:00Z"),
        ("1997-09-15 04:00:00", "1997-09-15T04:00:00Z"),
        ("0001-01-01T00:00:00+14:00", None),
        ("15.09.1997", None),
        ("", None),
        (874_296_000, None),
    ],
)
def test_a_moment_is_in_utc(written: object, moment: str | None):
    assert normalise.timestamp(written) == moment
