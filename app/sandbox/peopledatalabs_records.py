"""The person and company records of People Data Labs: lower case, without schemes (peopledatalabs.md of the provider
facts)."""

from collections.abc import Callable

from app.sandbox.companies import Company, Draws, Person, keep

ROLES_BEFORE = 18
"""Earlier positions of a person: with them a hundred whole people are more than the 1 MB of an answer."""

_LEVELS = {"c_suite": "cxo", "founder": "owner", "head": "director"}


def company_record(company: Company, d: Draws, case: Callable[[str], str]) -> dict[str, object]:
    """A company. `d` decides what it lacks; `case` is how text is written."""
    place = keep(d[0], 0.9, company.place)
    location = {
        "name": place and case(f"{place.city}, {place.region}, {place.country}"),
        "locality": place and case(place.city),
        "region": place and case(place.region),
        "metro": None,
        "country": place and case(place.country),
        "continent": None,
        "street_address": keep(d[1], 0.6, place and case(company.street)),
        "address_line_2": None,
        "postal_code": place and place.postal_code.lower(),
        "geo": place and f"{place.latitude},{place.longitude}",
    }
    return {
        "id": _identifier(d),
        "name": case(company.name),
        "display_name": company.name,
        "size": company.employees_range,
        "employee_count": keep(d[2], 0.85, company.employees),
        "founded": keep(d[3], 0.8, company.founded_year),
        "industry": keep(d[4], 0.9, case(company.industry.industry)),
        "location": location if place else None,
        "linkedin_id": str(100_000 + d[5] * 61),
        "linkedin_url": f"linkedin.com/company/{company.handle}",
        "linkedin_slug": company.handle,
        "facebook_url": keep(d[6], 0.5, f"facebook.com/{company.handle}"),
        "twitter_url": keep(d[7], 0.6, f"twitter.com/{company.handle}"),
        "profiles": [f"linkedin.com/company/{company.handle}"],
        "website": company.domain,
        "ticker": company.ticker and company.ticker.lower(),
        "type": case(company.kind),
        "summary": keep(d[8], 0.75, case(company.description)),
        "headline": None,
        "tags": [case(tag) for tag in company.industry.tags],
        "alternative_names": [case(company.legal_name)],
        "affiliated_profiles": [],
    }


def person_record(
    person: Person, company: Company, d: Draws, case: Callable[[str], str], *, is_shown: bool
) -> dict[str, object]:
    """A person. Where it is not `is_shown`, as on free plans, `true` stands for each way to reach them."""
    place = keep(d[0], 0.85, person.place)
    number = keep(d[1], 0.4, person.phone.replace(" ", ""))
    private = keep(d[2], 0.5, f"{person.first_name}.{person.last_name}{d[3]}@mail.example".lower().replace(" ", ""))
    full_name = f"{person.first_name} {person.last_name}"
    work = _employer(company, case)
    return {
        "id": _identifier(d),
        "full_name": case(full_name),
        "first_name": case(person.first_name),
        "middle_name": None,
        "last_name": case(person.last_name),
        "sex": None,
        "birth_year": None,
        "birth_date": None,
        "linkedin_url": f"linkedin.com/in/{person.handle}",
        "linkedin_username": person.handle,
        "linkedin_id": str(100_000 + d[4] * 61),
        "facebook_url": None,
        "twitter_url": keep(d[5], 0.2, f"twitter.com/{full_name.lower().replace(' ', '')}"),
        "github_url": None,
        "work_email": person.email if is_shown else True,
        "personal_emails": ([private] if private else []) if is_shown else bool(private),
        "recommended_personal_email": private if is_shown else bool(private),
        "mobile_phone": number if is_shown else bool(number),
        "phone_numbers": ([number] if number else []) if is_shown else bool(number),
        "emails": [{"address": person.email, "type": "current_professional"}] if is_shown else True,
        "industry": case(company.industry.industry),
        "job_title": keep(d[6], 0.95, case(person.job.title)),
        "job_title_role": case(person.job.department),
        "job_title_sub_role": None,
        "job_title_levels": [_LEVELS.get(person.job.apollo_seniority, person.job.apollo_seniority)],
        "job_company_id": _identifier(d)[::-1],
        "job_company_name": case(company.name),
        "job_company_website": company.domain,
        "job_company_size": company.employees_range,
        "job_company_founded": company.founded_year,
        "job_company_industry": case(company.industry.industry),
        "job_company_linkedin_url": f"linkedin.com/company/{company.handle}",
        "job_start_date": f"{2012 + d[7] % 12}-0{1 + d[8] % 9}",
        "job_last_updated": "2026-09-01",
        "location_name": place and case(f"{place.city}, {place.region}, {place.country}"),
        "location_locality": place and case(place.city),
        "location_region": place and case(place.region),
        "location_country": place and case(place.country),
        "location_postal_code": place and place.postal_code.lower(),
        "interests": [],
        "skills": [tag.lower() for tag in company.industry.tags],
        "experience": [
            {
                "company": work,
                "title": {"name": case(person.job.title), "role": case(person.job.department), "levels": []},
                "start_date": f"{2020 - year}-01",
                "end_date": f"{2021 - year}-01",
                "is_primary": year == 0,
                "summary": None,
            }
            for year in range(ROLES_BEFORE)
        ],
        "education": [],
        "profiles": [{"network": "linkedin", "username": person.handle, "url": f"linkedin.com/in/{person.handle}"}],
    }


def _employer(company: Company, case: Callable[[str], str]) -> dict[str, object]:
    place = company.place
    return {
        "id": company.handle,
        "name": case(company.name),
        "size": company.employees_range,
        "founded": company.founded_year,
        "industry": case(company.industry.industry),
        "location": {
            "name": case(f"{place.city}, {place.region}, {place.country}"),
            "locality": case(place.city),
            "region": case(place.region),
            "country": case(place.country),
            "street_address": case(company.street),
            "postal_code": place.postal_code.lower(),
            "geo": f"{place.latitude},{place.longitude}",
        },
        "linkedin_url": f"linkedin.com/company/{company.handle}",
        "website": company.domain,
    }


def _identifier(d: Draws) -> str:
    return "".join(f"{draw:04x}" for draw in d[20:26])
