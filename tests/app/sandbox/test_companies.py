"""The invented world: the same for everybody, plausible, and only partly known to each."""

import os
import subprocess
import sys

from app.sandbox.companies import Companies, clean_domain, clean_email, email_of_handle
from app.sandbox.vocabulary import NO_MX, NULL_MX

DOMAINS = [f"company-{n}.com" for n in range(2000)]

TELL = "from app.sandbox.companies import Companies; print(Companies(7).company('acme.com'))"


def test_the_same_seed_gives_the_same_company_in_any_process():
    told = {
        subprocess.run(
            [sys.executable, "-c", TELL],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {f"{Companies(7).company('acme.com')}\n".encode()}
    assert Companies(8).company("acme.com") != Companies(7).company("acme.com")


def test_each_provider_knows_its_share_and_more_share_takes_nothing_away():
    companies = Companies()
    few = {domain for domain in DOMAINS if companies.knows("hunter", domain, 0.3)}
    many = {domain for domain in DOMAINS if companies.knows("hunter", domain, 0.62)}
    others = {domain for domain in DOMAINS if companies.knows("apollo", domain, 0.62)}
    assert few < many
    assert 0.58 < len(many) / len(DOMAINS) < 0.66
    # Independent, so that a waterfall of two finds what one alone does not.
    assert 0.8 < len(many | others) / len(DOMAINS) < 0.9


def test_companies_are_plausible_and_various():
    companies = [Companies().company(domain) for domain in DOMAINS]
    assert all(1960 < company.founded_year <= 2022 for company in companies)
    assert all(company.employees >= 1 for company in companies)
    assert len({company.place.city for company in companies}) > 10
    assert len({company.industry.sub_industry for company in companies}) > 10
    assert {NULL_MX, NO_MX} < {company.mail for company in companies}


def test_a_company_is_named_after_its_registrable_label():
    names = {"acme-widgets.com": "Acme Widgets", "aws.amazon.com": "Amazon", "acme.co.uk": "Acme"}
    assert {domain: Companies().company(domain).name for domain in names} == names


def test_a_name_can_be_read_back_from_its_address_and_its_handle():
    companies = Companies()
    for domain in DOMAINS[:50]:
        email = companies.address("Ana", "Roe", domain)
        person = companies.person(email)
        assert (person.first_name, person.last_name, person.domain) == ("Ana", "Roe", domain)
        assert email_of_handle(person.handle, companies) == email
    assert email_of_handle("somebody-else", companies) == ""


def test_a_staff_is_people_of_the_company_with_distinct_addresses():
    companies = Companies()
    staff = [companies.person(email) for domain in DOMAINS[:50] for email in companies.staff_emails(domain)]
    assert len({person.email for person in staff}) == len(staff) > 100


def test_domains_and_addresses_are_cleaned_or_refused():
    assert clean_domain(" HTTPS://www.Acme.com:443/about?x=1 ") == "acme.com"
    assert clean_domain("www.com") == "www.com"
    assert [clean_domain(text) for text in ("", "acme", "a b.com", "10.0.0.1", "-a.com", "a..com")] == [""] * 6
    assert clean_email(" Ana.Roe@Acme.com ") == "ana.roe@acme.com"
    assert [clean_email(text) for text in ("", "ana", "@acme.com", "ana@acme", "a b@acme.com")] == [""] * 5
