"""From what people write to canonical values."""

import json

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
    "domain": normalise.domain,
    "email": normalise.email,
    "url": normalise.url,
    "country_code": normalise.country_code,
    "phone": normalise.phone,
    "phone in the US": lambda value: normalise.phone(value, "US"),
    "linkedin company": lambda value: normalise.linkedin_url(value, "company"),
    "linkedin person": lambda value: normalise.linkedin_url(value, "in"),
    "twitter": normalise.twitter_handle,
    "facebook": normalise.facebook_handle,
    "github": normalise.github_handle,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(value=JSON | ODD_TEXT)
def test_whatever_json_holds_it_gives_a_value_that_stays_as_it_is_or_none(name: str, value: object):
    function = FUNCTIONS[name]
    result = function(value)
    assert result is None or result not in ("", [])
    assert function(result) == result


@pytest.mark.parametrize("name", FUNCTIONS)
@given(value=JSON | ODD_TEXT)
def test_every_value_fits_into_postgresql(name: str, value: object):
    result = FUNCTIONS[name](value)
    stored = json.dumps(result, ensure_ascii=False, allow_nan=False)
    assert "\\u0000" not in stored
    stored.encode()


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
    ("written", "country", "number"),
    [
        ("+1 (415) 555-0100", None, "+14155550100"),
        ("+44 (0)20 7946 0958", None, "+442079460958"),
        ("0049 30 23125 000", None, "+493023125000"),
        ("(415) 555-0100", "US", "+14155550100"),
        ("1-415-555-0100", "ca", "+14155550100"),
        ("415.555.0100 ext. 12", "US", "+14155550100"),
        ("(415) 555-0100", None, None),
        ("030 23125 000", "DE", None),
        ("+0 123 456 789", None, None),
        ("+123", None, None),
        ("call us", "US", None),
        (14155550100, "US", "+14155550100"),
        (True, "US", None),
    ],
)
def test_a_phone_number_is_e164_or_none(written: object, country: str | None, number: str | None):
    assert normalise.phone(written, country) == number


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
