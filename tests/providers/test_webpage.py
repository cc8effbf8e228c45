"""What is read out of a company's page, and how far it is believed."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from app.providers.adapters.webpage import FIELDS, Page
from app.providers.ports import COMPANY_FIELDS, JsonValue

ADDRESS = URL("https://www.acme.com/")
ORGANIZATION = {
    "@context": "https://schema.org",
    "@type": "Organization",
    "name": "Acme",
    "legalName": "Acme GmbH",
    "url": "https://acme.com/",
    "logo": {"@type": "ImageObject", "url": "/logo.png"},
    "description": "Acme plans rooftops.",
    "foundingDate": "1999-04-01",
    "numberOfEmployees": {"@type": "QuantitativeValue", "minValue": 51, "maxValue": 200},
    "address": {
        "@type": "PostalAddress",
        "streetAddress": "Mühlweg 1",
        "addressLocality": "Berlin",
        "addressRegion": "BE",
        "postalCode": 10115,
        "addressCountry": {"@type": "Country", "name": "Germany"},
    },
    "telephone": "+49 30 23125 000",
    "email": "mailto:Info@acme.com",
    "tickerSymbol": "ACM",
    "sameAs": ["https://www.linkedin.com/company/acme/", "https://x.com/acme", "https://www.facebook.com/acmefb"],
}


def read(html: str | bytes) -> tuple[dict[str, JsonValue], dict[str, float]]:
    return Page(html, ADDRESS).company()


def values(html: str | bytes) -> dict[str, JsonValue]:
    return read(html)[0]


def block(content: Any) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    return f'<script type="application/ld+json">{text}</script>'


def test_an_organization_in_json_ld_gives_its_fields_with_high_confidence():
    found, confidences = read(block(ORGANIZATION))
    assert found == {
        "name": "Acme",
        "legal_name": "Acme GmbH",
        "website": "https://www.acme.com",
        "description": "Acme plans rooftops.",
        "founded_year": 1999,
        "employee_range": "51-200",
        "ticker": "ACM",
        "phone": "+493023125000",
        "emails": ["info@acme.com"],
        "street": "Mühlweg 1",
        "city": "Berlin",
        "region": "BE",
        "postal_code": "10115",
        "country": "Germany",
        "linkedin_url": "https://www.linkedin.com/company/acme",
        "twitter_handle": "acme",
        "facebook_handle": "acmefb",
        "logo_url": "https://www.acme.com/logo.png",
    }
    assert {confidences[field] for field in found if field != "website"} == {0.9}


def test_a_broken_block_spoils_none_of_the_others():
    page = block('{"@type": "WebSite", "name": ') + block(ORGANIZATION) + block("[1,") + block("")
    assert values(page)["legal_name"] == "Acme GmbH"


@pytest.mark.parametrize(
    "document",
    [
        {"@graph": [{"@type": "WebSite", "name": "x"}, ORGANIZATION]},
        [{"@type": "BreadcrumbList"}, [ORGANIZATION]],
        {"@type": "WebSite", "publisher": ORGANIZATION},
        ORGANIZATION | {"@type": ["Thing", "https://schema.org/Corporation"]},
        ORGANIZATION | {"@type": "LocalBusiness"},
    ],
)
def test_the_organization_is_found_where_authors_put_it(document: Any):
    assert values(block(document))["legal_name"] == "Acme GmbH"


def test_the_organization_of_this_domain_wins_over_a_partner_with_more_to_say():
    partner = ORGANIZATION | {"name": "Partner", "url": "https://partner.com"}
    own = {"@type": "Organization", "name": "Acme", "url": "https://acme.com"}
    assert values(block(partner) + block(own))["name"] == "Acme"


@pytest.mark.parametrize(
    ("employees", "field", "value"),
    [
        (120, "employee_count", 120),
        ("120", "employee_count", 120),
        ({"value": 120}, "employee_count", 120),
        ({"minValue": 10001}, "employee_range", "10001+"),
        ("51-200", "employee_range", "51-200"),
    ],
)
def test_employees_are_read_in_each_form(employees: Any, field: str, value: object):
    assert values(block(ORGANIZATION | {"numberOfEmployees": employees}))[field] == value


def test_a_national_telephone_number_is_read_by_the_country_of_the_address():
    american = ORGANIZATION | {"telephone": "(415) 555-0100", "address": {"addressCountry": "us"}}
    found = values(block(american))
    assert (found["phone"], found["country_code"]) == ("+14155550100", "US")


def test_open_graph_comes_before_meta_elements_and_these_before_the_title():
    page = """
        <title>Acme | Rooftops for all</title>
        <meta name="Description" content="From meta.">
        <meta name="keywords" content="solar, climate,,solar">
        <meta name="twitter:site" content="@acme">
        <meta property="og:image" content="/share.png">
    """
    found, confidences = read(page)
    assert found["name"] == "Acme"
    assert confidences["name"] == 0.4
    assert found["description"] == "From meta."
    assert found["tags"] == ["solar", "climate"]
    assert found["logo_url"] == "https://www.acme.com/share.png"
    assert found["twitter_handle"] == "acme"
    preview = '<meta property="og:site_name" content="Acme Co"><meta property="og:description" content="From og.">'
    found, confidences = read(preview + page)
    assert (found["name"], found["description"]) == ("Acme Co", "From og.")
    assert confidences["name"] == confidences["description"] == 0.7
    assert confidences["tags"] == 0.6


def test_links_give_profiles_addresses_and_telephone_numbers():
    found = values("""
        <a href="/about">About</a> <a>nothing</a>
        <a href="https://www.linkedin.com/in/ceo">Our CEO</a>
        <a href="https://twitter.com/intent/tweet?text=x">Tweet</a>
        <a href="https://www.facebook.com/sharer/sharer.php?u=x">Share</a>
        <a href="https://www.linkedin.com/company/acme?trk=x">LinkedIn</a>
        <a href="//twitter.com/acme">X</a>
        <a href="https://facebook.com/acmefb/">Facebook</a>
        <a href="MAILTO:Info@acme.com?subject=Hello">Mail</a> <a href="mailto:info@acme.com">again</a>
        <a href="tel:030-23125">local</a> <a href="tel:+493023125000">call</a>
    """)
    assert found == {
        "linkedin_url": "https://www.linkedin.com/company/acme",
        "twitter_handle": "acme",
        "facebook_handle": "acmefb",
        "emails": ["info@acme.com"],
        "phone": "+493023125000",
        "website": "https://www.acme.com",
    }


@pytest.mark.parametrize(
    "html", ["", "<p>Hello</p>", b"\x00\xff\xfe<ht\x80ml>\xc3\x28" * 40, "plain text", "<title> </title>"]
)
def test_a_page_that_says_nothing_gives_nothing(html: str | bytes):
    assert values(html) == {}


def test_the_encoding_that_a_page_declares_is_used():
    page = '<meta charset="windows-1252"><meta property="og:site_name" content="Münch">'.encode("cp1252")
    assert values(page)["name"] == "Münch"


def test_what_stands_after_a_noscript_image_is_still_read():
    page = '<head><noscript><img src="p.gif"></noscript><meta property="og:site_name" content="Acme"></head>'
    assert values(page)["name"] == "Acme"


def test_it_fills_only_canonical_fields_and_promises_all_of_them():
    assert set(FIELDS) <= set(COMPANY_FIELDS)
    assert set(values(block(ORGANIZATION))) <= set(FIELDS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*ORGANIZATION, "@graph", "value", "name", "url", "contactPoint"]), inner)
    ),
    max_leaves=10,
)


@given(properties=st.dictionaries(st.sampled_from(sorted(ORGANIZATION.keys() - {"@type"})), JSON))
@settings(deadline=None)
def test_whatever_an_organization_holds_the_page_is_read(properties: dict[str, Any]):
    found = values(block({"@type": "Organization", **properties}))
    assert set(found) <= set(FIELDS)
    json.dumps(found, allow_nan=False)


@given(html=st.binary(max_size=400) | st.text(max_size=400))
@settings(deadline=None)
def test_whatever_a_page_holds_it_is_read(html: str | bytes):
    assert set(values(html)) <= set(FIELDS)


def test_json_ld_that_is_nested_without_end_is_passed_over():
    assert values(block("[" * 100_000) + block(ORGANIZATION))["name"] == "Acme"
    assert values(block("[" * 900 + "]" * 900) + block(ORGANIZATION))["name"] == "Acme"
