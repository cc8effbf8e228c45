"""Where somebody is, by telephone, country and domain: normalised by lists that others keep."""

import phonenumbers
import pytest

from app.providers import normalise


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
        ("030 23125 000", "DE", "+493023125000"),
        ("030/23125-000", "Germany", "+493023125000"),
        ("06 6982", "IT", "+39066982"),
        ("+39 06 6982", None, "+39066982"),
        ("+1 (415) 555-0100, +1 (415) 555-0101", None, "+14155550100"),
        ("+1 1415 555 010", None, None),
        ("+999 123 456 789", None, None),
        ("+1" + "2" * 500, None, None),
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
    ("written", "domain"),
    [
        ("https://shop.acme.co.uk/x", "acme.co.uk"),
        ("acme.com", "acme.com"),
        ("a.b.acme.com", "acme.com"),
        ("co.uk", None),
        ("foo.github.io", "github.io"),
        ("a.b.no-such-suffix", "b.no-such-suffix"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("localhost", None),
    ],
)
def test_a_registrable_domain_is_what_somebody_has_registered(written: str, domain: str | None):
    assert normalise.registrable_domain(written) == domain


@pytest.mark.parametrize(
    ("written", "code", "name"),
    [
        ("US", "US", "United States"),
        (" us ", "US", "United States"),
        ("USA", "US", "United States"),
        ("united states of america", "US", "United States"),
        ("UK", "GB", "United Kingdom"),
        ("Great Britain", "GB", "United Kingdom"),
        ("Deutschland", "DE", "Germany"),
        ("España", "ES", "Spain"),
        ("Korea, Republic of", "KR", "South Korea"),
        ("Côte d'Ivoire", "CI", "Côte d’Ivoire"),
        ("Hong Kong", "HK", "Hong Kong"),
        ("XX", None, "XX"),
        ("EU", None, "EU"),
        ("Atlantis", None, "Atlantis"),
        ("", None, None),
        (7, None, "7"),
        (None, None, None),
    ],
)
def test_a_country_is_known_by_code_and_by_name(written: object, code: str | None, name: str | None):
    assert normalise.country_code(written) == code
    assert normalise.country(written) == name


def test_a_number_that_is_written_for_abroad_is_the_one_that_is_written_at_home():
    for region in filter(normalise.country_code, phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number(region)
        abroad, home = (
            phonenumbers.format_number(example, form)
            for form in (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.NATIONAL)
        )
        expected = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        assert normalise.phone(abroad) == normalise.phone(home, region) == expected
