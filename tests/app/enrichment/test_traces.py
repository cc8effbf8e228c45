"""Whom an erasure means, wherever they stand, and nobody else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.enrichment.traces import Trace, TracedAnswer, TracedRecord, trace_of
from app.errors import InvalidRequest
from app.providers.ports import Entity

ANN = Trace("email", "ann@example.com")
EXAMPLE = Trace("domain", "example.com")
BOOKS = Trace("email", "ann@xn--bcher-kva.de")


def record(
    inputs: dict[str, Any] | None = None, subject: dict[str, str] | None = None, key: str = "1", **found: Any
) -> TracedRecord:
    values = {name: [value, 1.0] for name, value in found.items()}
    return TracedRecord(1, 1, key, inputs or {}, subject, None, [TracedAnswer("alpha", values, None)])


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.com",
        "ANN@Example.COM",
        "Ann <ann@example.com>",
        "mailto:ann@example.com?subject=x",
        "'ann@example.com', 'bob@example.com'",
        "https://crm.example.org/?q=ann%40example.com&x=1",
        "Write to ann@example.com.",
    ],
)
def test_an_address_is_found_as_a_whole(text: str):
    assert ANN.mentioned_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "joann@example.com",
        "mary-ann@example.com",
        "a.ann@example.com",
        "x+ann@example.com",
        "ann@example.com.au",
        "ann@example.community",
        "ann@example",
        "ann at example.com",
        "",
    ],
)
def test_an_address_is_not_found_in_another(text: str):
    assert not ANN.mentioned_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "example.com",
        "https://www.Example.com/about",
        "https%3A%2F%2Fexample.com",
        "bob@example.com",
        "bob@eu.example.com",
        "We are example.com.",
    ],
)
def test_a_domain_is_found_with_what_is_below_it_and_at_it(text: str):
    assert EXAMPLE.mentioned_in(text)


@pytest.mark.parametrize("text", ["notexample.com", "my-example.com", "example.com.au", "example.community", "com"])
def test_a_domain_is_not_found_in_another(text: str):
    assert not EXAMPLE.mentioned_in(text)


def test_an_international_domain_is_found_in_both_forms():
    assert BOOKS.mentioned_in("ann@xn--bcher-kva.de")
    assert BOOKS.mentioned_in("Ann@BÜCHER.de")
    assert not BOOKS.mentioned_in("ann@bucher.de")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"email":"ann@example.com"}',
        b'{"email":"ann\\u0040example.com"}',
        b"<a href='mailto:ann&#64;example.com'>",
        b"<p>ann&commat;example.com</p>",
        b'\xff\xfe broken {"email": "ann@example.com',
    ],
)
def test_an_address_is_found_in_what_vendors_send(raw: bytes):
    assert ANN.mentioned_in_raw(raw)


def test_a_slash_that_is_escaped_hides_no_domain():
    assert EXAMPLE.mentioned_in_raw(b'{"url":"https:\\/\\/example.com\\/"}')
    assert not EXAMPLE.mentioned_in_raw(b'{"url":"https:\\/\\/example.org\\/"}')


@given(st.sampled_from([ANN, EXAMPLE, BOOKS]), st.text(max_size=20), st.text(max_size=20), st.booleans())
def test_a_pattern_of_like_fits_all_that_is_meant(trace: Trace, before: str, after: str, upper: bool):
    text = f"{before} {trace.subject.upper() if upper else trace.subject} {after}"
    if trace.mentioned_in(text):
        wanted = [each.strip("%").replace("\\", "") for each in trace.like]
        assert any(each in text.lower() for each in wanted)


@pytest.mark.parametrize(
    ("trace", "entity", "of"),
    [
        (ANN, "person", record(subject={"email": "ann@example.com"})),
        (ANN, "person", record(subject={"linkedin_url": "x"}, email="ann@example.com")),
        (ANN, "person", record(subject={"email": "ann@example.org"}, personal_emails=["a@b.com", "Ann@Example.com"])),
        (ANN, "person", record({"mail": "ann@example.com"}, {"full_name": "Ann", "company_name": "Acme"})),
        (ANN, "person", record({"mail": "ann@example.com ?"})),
        (ANN, "person", record({"name": "Ann"}, {"full_name": "Ann", "domain": "x.com"}, "ann@example.com")),
        (EXAMPLE, "company", record(subject={"domain": "eu.example.com"})),
        (EXAMPLE, "company", record(subject={"name": "Example"}, domain="example.com")),
        (EXAMPLE, "company", record({"site": "www.example.com"}, {"name": "Example"})),
        (EXAMPLE, "person", record(subject={"email": "bob@example.com"})),
        (EXAMPLE, "person", record(subject={"full_name": "Bob", "company_name": "Acme"}, company_domain="example.com")),
    ],
)
def test_a_record_is_about_whom_it_says(trace: Trace, entity: Entity, of: TracedRecord):
    assert trace.is_about(entity, of)


@pytest.mark.parametrize(
    ("trace", "entity", "of"),
    [
        (ANN, "person", record({"manager": "ann@example.com"}, {"email": "bob@example.com"})),
        (ANN, "person", record(subject={"email": "bob@example.com"}, bio="Reports to ann@example.com")),
        (ANN, "company", record({"contact": "ann@example.com"}, {"domain": "example.com"})),
        (ANN, "company", record(subject={"domain": "example.com"}, emails=["ann@example.com"])),
        (EXAMPLE, "company", record({"customer": "example.com"}, {"domain": "acme.com"}, parent_domain="example.com")),
        (EXAMPLE, "person", record({"customer": "example.com"}, {"email": "bob@acme.com"})),
    ],
)
def test_a_record_that_only_mentions_somebody_is_not_about_them(trace: Trace, entity: Entity, of: TracedRecord):
    assert not trace.is_about(entity, of)


def test_what_mentions_somebody_is_removed_and_the_rest_stays():
    value = {
        "note": "ask ann@example.com",
        "ann@example.com": 1,
        "people": [{"email": "ann@example.com", "name": "Ann"}, {"email": "bob@example.com"}],
        "count": 2,
        "nothing": None,
    }
    left = ANN.removed_from(value)
    assert left == {
        "note": None,
        "erased": 1,
        "people": [{"email": "bob@example.com"}],
        "count": 2,
        "nothing": None,
    }
    assert not ANN.mentioned_in(left)


def test_a_field_of_which_nothing_is_left_is_left_out():
    found = {"emails": [["ann@example.com", "b@x.com"], 0.9], "phone": ["1", 1.0], "bio": ["ann@example.com", 1.0]}
    assert ANN.removed_from_found(found) == {"emails": [["b@x.com"], 0.9], "phone": ["1", 1.0]}
    assert ANN.removed_from_found({"emails": [["ann@example.com"], 1.0]}) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["ann@example.com", "x ANN@EXAMPLE.COM"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("ann@example.com"), inner),
)


@given(JSON)
def test_nothing_that_is_left_mentions_them_and_what_does_not_is_untouched(value: Any):
    left = ANN.removed_from(value)
    assert not ANN.mentioned_in(left)
    if not ANN.mentioned_in(value):
        assert left == value


def test_a_subject_is_normalised_as_records_are():
    assert trace_of(" Ann@WWW.Example.com ", None) == Trace("email", "ann@example.com")
    assert trace_of(None, "https://Bücher.de/impressum").subject == "xn--bcher-kva.de"


@pytest.mark.parametrize(("email", "domain", "field"), [("ann", None, "email"), (None, "localhost", "domain")])
def test_what_is_no_subject_is_refused(email: str | None, domain: str | None, field: str):
    with pytest.raises(InvalidRequest) as refused:
        trace_of(email, domain)
    assert [detail.field for detail in refused.value.details] == [field]
