"""What a record is looked up by."""

import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.enrichment.subjects import InputError, normalise, normalise_domain
from app.providers.ports import SUBJECT_KEYS, Entity


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("example.com", "example.com"),
        ("http://www.Example.com/about", "example.com"),
        ("https://example.com", "example.com"),
        ("HTTPS://WWW.EXAMPLE.COM:443/a/b?c=d#e", "example.com"),
        ("  example.com  ", "example.com"),
        ("\u00a0example.com", "example.com"),
        ("example.com.", "example.com"),
        ("example.com/deep/path.html?x=http://other.com", "example.com"),
        ("example.com?utm=1", "example.com"),
        ("example.com#top", "example.com"),
        ("//example.com/", "example.com"),
        ("http://user:secret@example.com/", "example.com"),
        ("shop.example.co.uk", "shop.example.co.uk"),
        ("www.shop.example.com", "shop.example.com"),
        ("www.com", "www.com"),
        ("48factoring.com", "48factoring.com"),
        ("3.com", "3.com"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("http://MÜNCHEN.de/", "xn--mnchen-3ya.de"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("bücher。example", "xn--bcher-kva.example"),
        ("straße.de", "xn--strae-oqa.de"),
    ],
)
def test_a_domain_is_the_host_in_what_people_write(text: str, domain: str):
    assert normalise_domain(text) == domain


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "http://10.0.0.1/admin",
        "8.8.8.8:80",
        "1.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "[::1]",
        "http://[2001:db8::1]:80/",
        "2001:db8::1",
        "::1",
        "１２７.0.0.1",  # full-width digits
        "127。0。0。1",  # ideographic full stops
        "localhost",
        "http://localhost:8000/",
        "printer.local",
        "db.internal",
        "app.localhost",
        "router.home.arpa",
        "intranet",
        "wiki.corp",
        "nas.lan",
    ],
)
def test_addresses_and_private_hosts_are_no_domains(text: str):
    with pytest.raises(InputError) as caught:
        normalise_domain(text)
    assert caught.value.field == "domain"


@pytest.mark.parametrize(
    "text",
    [
        "not a domain",
        "example",
        "example..com",
        ".example.com",
        "-example.com",
        "example-.com",
        "exa_mple.com",
        "exa mple.com",
        "a" * 64 + ".com",
        ".".join(["a" * 60] * 5),
        "https://",
        "http:///path",
        "/about",
        "ana@example.com",
        "mailto:ana@example.com",
        "ftp://example.com",
        "javascript:alert(1)",
        "example.com:port",
        "xn--a.com\u0301x",
        "xn--99999999.com",
        "☃\u200d.com",
        "<script>.com",
        "example.com, other.com",
    ],
)
def test_what_is_malformed_is_refused(text: str):
    with pytest.raises(InputError):
        normalise_domain(text)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_canonical_domain_or_refused(text: str):
    try:
        domain = normalise_domain(text)
    except InputError:
        return
    assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", domain)
    assert not re.fullmatch(r"[0-9.]+", domain)
    assert normalise_domain(domain) == domain


_HOSTS = st.from_regex(r"[a-z][a-z0-9]{0,10}(\.[a-z][a-z0-9]{0,5}){0,2}\.(com|de|io|co\.uk)", fullmatch=True).filter(
    lambda host: not host.startswith("www.")
)


@settings(deadline=None)
@given(_HOSTS, st.sampled_from(["", "http://", "https://", "//"]), st.sampled_from(["", "www."]),
       st.sampled_from(["", "/", "/a/b", "?q=1", "#x", ":8080", ":443/x"]), st.booleans())  # fmt: skip
def test_scheme_case_path_and_www_make_no_other_domain(host: str, scheme: str, www: str, rest: str, upper: bool):
    text = f" {scheme}{www}{host}{rest} "
    assert normalise_domain(text.upper() if upper else text) == host


@pytest.mark.parametrize(
    ("entity", "inputs", "key", "values"),
    [
        ("company", {"domain": "www.Acme.com", "name": " Acme  Inc "}, "domain:acme.com",
         {"domain": "acme.com", "name": "Acme Inc"}),
        ("company", {"domain": "", "name": "ACME\tInc"}, "name:acme inc", {"name": "ACME Inc"}),
        ("company", {"name": "Straße GmbH"}, "name:strasse gmbh", {"name": "Straße GmbH"}),
        ("company", {"name": "Ac\u200bme\ufeff"}, "name:acme", {"name": "Acme"}),
        ("company", {"name": "Acme \u200b Inc"}, "name:acme inc", {"name": "Acme Inc"}),
        ("company", {"linkedin_url": "linkedin.com/company/Acme/?x=1", "name": "Acme"}, "linkedin:company/acme",
         {"linkedin_url": "https://www.linkedin.com/company/acme", "name": "Acme"}),
        ("person", {"email": " Ana@Example.COM "}, "email:ana@example.com", {"email": "ana@example.com"}),
        ("person", {"full_name": "Ana  Li", "domain": "https://example.com/team"}, "name:ana li domain:example.com",
         {"full_name": "Ana Li", "domain": "example.com"}),
        ("person", {"first_name": "Ana", "last_name": "López", "company_name": "ACME"}, "name:ana lópez company:acme",
         {"first_name": "Ana", "last_name": "López", "company_name": "ACME"}),
        ("person", {"linkedin_url": "https://de.linkedin.com/in/ana-lopez/"}, "linkedin:in/ana-lopez",
         {"linkedin_url": "https://www.linkedin.com/in/ana-lopez"}),
    ],
)  # fmt: skip
def test_a_subject_is_named_by_the_best_that_is_known(
    entity: Entity, inputs: Mapping[str, str], key: str, values: Mapping[str, str]
):
    subject = normalise(entity, inputs)
    assert subject.key == key
    assert subject.values == values


@pytest.mark.parametrize(
    ("entity", "inputs", "field"),
    [
        ("company", {}, "domain"),
        ("company", {"domain": " ", "name": "\t"}, "domain"),
        ("company", {"name": "\u200b"}, "domain"),
        ("company", {"domain": "10.0.0.1", "name": "Acme"}, "domain"),
        ("company", {"name": "a" * 501}, "name"),
        ("company", {"linkedin_url": "https://example.com/company/acme"}, "linkedin_url"),
        ("company", {"linkedin_url": "https://www.linkedin.com/in/ana"}, "linkedin_url"),
        ("person", {"full_name": "Ana López"}, "email"),
        ("person", {"first_name": "Ana", "domain": "example.com"}, "email"),
        ("person", {"email": "ana"}, "email"),
        ("person", {"email": "ana@localhost"}, "email"),
        ("person", {"email": "ana@10.0.0.1"}, "email"),
        ("person", {"email": "ana lopez@example.com"}, "email"),
        ("person", {"email": "ana@example.com/x"}, "email"),
        ("person", {"email": "@example.com"}, "email"),
    ],
)
def test_a_record_that_cannot_be_looked_up_says_which_input_is_wrong(
    entity: Entity, inputs: Mapping[str, str], field: str
):
    with pytest.raises(InputError) as caught:
        normalise(entity, inputs)
    assert caught.value.field == field


@settings(deadline=None)
@given(st.sampled_from(["company", "person"]), st.data())
def test_a_subject_normalised_again_is_the_same(entity: Entity, data: st.DataObject):
    texts = st.one_of(st.text(max_size=20), _HOSTS, st.emails())
    inputs = data.draw(st.dictionaries(st.sampled_from(SUBJECT_KEYS[entity]), texts))
    try:
        subject = normalise(entity, inputs)
    except InputError:
        return
    assert subject.values.keys() <= inputs.keys()
    assert all(value and value == value.strip() and value.isprintable() for value in subject.values.values())
    assert normalise(entity, subject.values) == subject
