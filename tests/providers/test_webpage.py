"""What is read out of a company's page, and how far it is believed."""

import json
from time import process_time
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
    "leiCode": "529900holdfast000026",
    "naics": 221114,
    "sameAs": [
        "https://www.linkedin.com/company/acme/",
        "https://x.com/acme",
        "https://www.facebook.com/acmefb",
        "https://www.crunchbase.com/organization/Acme-Rooftops",
        "https://github.com/acme-hq",
    ],
}
MICRODATA = """
    <div itemscope itemtype="https://schema.org/WebSite"><meta itemprop="name" content="The site"></div>
    <div itemscope itemtype="https://schema.org/LocalBusiness">
      <h1 itemprop="name">Acme</h1><meta itemprop="legalName" content="Acme GmbH">
      <a itemprop="url" href="https://acme.com/">Home</a> <img itemprop="logo" src="/logo.png" alt="">
      <p itemprop="description">Acme plans
        <b>rooftops</b>.</p>
      <time itemprop="foundingDate" datetime="1999-04-01">spring of 1999</time>
      <span itemprop="numberOfEmployees" itemscope itemtype="https://schema.org/QuantitativeValue">
        <data itemprop="minValue" value="51">fifty</data> to <data itemprop="maxValue" value="200">more</data></span>
      <address itemprop="address location" itemscope itemtype="https://schema.org/PostalAddress">
        <span itemprop="streetAddress">Mühlweg 1</span>, <span itemprop="postalCode">10115</span>
        <span itemprop="addressLocality">Berlin</span> <meta itemprop="addressCountry" content="DE"></address>
      <a itemprop="email" href="mailto:Info@acme.com?subject=Hello">Mail</a>
      <span itemprop="telephone">+49 30 23125 000</span>
      <link itemprop="sameAs" href="https://www.linkedin.com/company/acme">
      <link itemprop="sameAs" href="https://x.com/acme">
    </div>
    <span itemprop="name">of nothing</span>
"""


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
        "lei": "529900HOLDFAST000026",
        "naics": "221114",
        "phone": "+493023125000",
        "emails": ["info@acme.com"],
        "street": "Mühlweg 1",
        "city": "Berlin",
        "region": "BE",
        "postal_code": "10115",
        "country": "Germany",
        "country_code": "DE",
        "linkedin_url": "https://www.linkedin.com/company/acme",
        "twitter_handle": "acme",
        "facebook_handle": "acmefb",
        "crunchbase_handle": "acme-rooftops",
        "github_org": "acme-hq",
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


def test_an_organization_in_microdata_gives_its_fields_with_high_confidence():
    found, confidences = read(MICRODATA)
    assert found == {
        "name": "Acme",
        "legal_name": "Acme GmbH",
        "website": "https://www.acme.com",
        "description": "Acme plans rooftops .",
        "founded_year": 1999,
        "employee_range": "51-200",
        "phone": "+493023125000",
        "emails": ["info@acme.com"],
        "street": "Mühlweg 1",
        "city": "Berlin",
        "postal_code": "10115",
        "country": "Germany",
        "country_code": "DE",
        "linkedin_url": "https://www.linkedin.com/company/acme",
        "twitter_handle": "acme",
        "logo_url": "https://www.acme.com/logo.png",
    }
    assert {confidences[field] for field in found if field != "website"} == {0.85}


def test_json_ld_comes_before_microdata_and_open_graph_after_it():
    preview = '<meta property="og:site_name" content="Preview"><meta property="og:description" content="From og.">'
    machine = block({"@type": "Organization", "name": "Machine"})
    found, confidences = read(preview + MICRODATA.replace('itemprop="description"', "") + machine)
    assert (found["name"], found["legal_name"], found["description"]) == ("Machine", "Acme GmbH", "From og.")
    assert (confidences["name"], confidences["legal_name"], confidences["description"]) == (0.9, 0.85, 0.7)


@pytest.mark.parametrize(
    "page",
    [
        '<div itemscope itemtype="https://schema.org/Person"><b itemprop="name">Ana Roe</b></div>',
        '<div itemscope><b itemprop="name">Acme</b></div>',
        '<div itemscope itemtype="https://schema.org/Organization"><b itemprop="">Acme</b></div>',
        '<b itemprop="name">Acme</b>',
    ],
)
def test_microdata_of_no_organization_is_passed_over(page: str):
    assert values(page) == {}


def test_contacts_in_the_text_are_the_last_that_are_believed():
    page = """
        <script>var mail = "script@acme.com"</script><style>.x{content:"style@acme.com"}</style>
        <!-- comment@acme.com --> <template><p>template@acme.com</p></template>
        <p>Write to Info@acme.com, sales@shop.acme.com. or press@agency.com; not to @acme or a@acme.</p>
        <p>Call +49 (0)30 / 23125-000, not 030 23125 or 2024-01-31 or +1 or +49123456789012345678901234567890</p>
    """
    found, confidences = read(page)
    assert found["emails"] == ["info@acme.com", "sales@shop.acme.com"]
    assert found["phone"] == "+493023125000"
    assert (confidences["emails"], confidences["phone"]) == (0.5, 0.5)
    found, confidences = read(page + '<a href="mailto:mail@acme.com">Mail</a>')
    assert (found["emails"], confidences["emails"]) == (["mail@acme.com"], 0.7)
    assert found["phone"] == "+493023125000"


@pytest.mark.parametrize(
    ("link", "handles"),
    [
        ("https://www.crunchbase.com/organization/acme", {"crunchbase_handle": "acme"}),
        ("https://www.crunchbase.com/person/ana-roe", {}),
        ("https://github.com/acme", {"github_org": "acme"}),
        ("https://github.com/acme/", {"github_org": "acme"}),
        ("https://github.com/acme/widgets", {}),
        ("https://github.com/features", {}),
        ("https://gist.github.com/acme", {}),
    ],
)
def test_a_link_to_a_page_of_the_companys_own_is_a_handle(link: str, handles: dict[str, str]):
    found = values(f'<a href="{link}">x</a>')
    found.pop("website", None)
    assert found == handles


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


@given(
    names=st.lists(
        st.sampled_from(["name", "email", "address", "sameAs", "url", "logo", "@type", "", "a b"]), max_size=8
    ),
    tags=st.lists(st.sampled_from(["b", "a", "meta", "img", "time", "data", "object", "div itemscope"]), min_size=8),
    text=st.text(max_size=30),
)
@settings(deadline=None)
def test_whatever_microdata_holds_it_is_read(names: list[str], tags: list[str], text: str):
    inner = "".join(f'<{tag} itemprop="{name}" href="{text}">{text}' for name, tag in zip(names, tags, strict=False))
    found = values(f'<div itemscope itemtype="https://schema.org/Organization">{inner}')
    assert set(found) <= set(FIELDS)


@pytest.mark.parametrize(
    "page",
    [
        "<div itemscope itemtype=https://schema.org/Organization><div itemprop=name>" * 5_000 + "x" * 1_000_000,
        "<b itemprop=name>" * 20_000,
        "a" * 3_000_000 + "@",
        "a@" * 500_000,
        "+1" * 1_000_000,
        "+4" + "9 " * 1_000_000,
        "a.b-" * 500_000 + "@acme.com",
    ],
    ids=["nested items", "properties", "a word", "at signs", "plus signs", "digits", "a mailbox"],
)
def test_a_page_that_means_to_be_slow_is_not(page: str):
    started = process_time()
    values(f"<body>{page}")
    assert process_time() - started < 1.5


def test_json_ld_that_is_nested_without_end_is_passed_over():
    assert values(block("[" * 100_000) + block(ORGANIZATION))["name"] == "Acme"
    assert values(block("[" * 900 + "]" * 900) + block(ORGANIZATION))["name"] == "Acme"
