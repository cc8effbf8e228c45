"""What People Data Labs says in its tests, in the documented shape with invented values, and who hears it."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from app.provider_settings import PeopleDataLabsSettings, QuotaWindow
from app.providers.adapters.peopledatalabs import PeopleDataLabs
from tests.providers.stubs import Server, answer, company, person, serving

COMPANY: Mapping[str, Any] = {
    "status": 200,
    "likelihood": 8,
    "id": "c1",
    "name": "acme",
    "display_name": "ACME",
    "size": "51-200",
    "employee_count": 120,
    "founded": 1999,
    "industry": "Renewables",
    "location": {
        "name": "Austin, Texas, United States",
        "locality": "Austin",
        "region": "Texas",
        "country": "united states",
        "street_address": "1 Mill Lane",
        "address_line_2": None,
        "postal_code": "78701",
    },
    "linkedin_url": "linkedin.com/company/acme",
    "facebook_url": "facebook.com/acmefb",
    "twitter_url": "twitter.com/acme",
    "profiles": ["linkedin.com/company/acme"],
    "website": "acme.com",
    "ticker": "acme",
    "type": "Private",
    "summary": "Acme plans rooftops.",
    "tags": ["Solar", "Climate"],
}
PERSON: Mapping[str, Any] = {
    "id": "p1",
    "full_name": "Ana Roe",
    "first_name": "Ana",
    "last_name": "Roe",
    "linkedin_url": "linkedin.com/in/ana-roe",
    "twitter_url": None,
    "github_url": "github.com/anaroe",
    "work_email": "ana@acme.com",
    "personal_emails": ["ana@mail.example.org", "broken"],
    "mobile_phone": "+33626911203",
    "phone_numbers": ["+33626911203", "+33261911204"],
    "emails": [{"address": "ana.roe@acme.com", "type": "professional"}],
    "job_title": "CTO",
    "job_title_role": "Engineering",
    "job_title_sub_role": "Software",
    "job_title_levels": ["Cxo", "Director"],
    "job_company_name": "Acme",
    "job_company_website": "acme.com",
    "job_company_linkedin_url": "linkedin.com/company/acme",
    "location_locality": "Lyon",
    "location_region": "Auvergne-Rhône-Alpes",
    "location_country": "France",
}
FROM_COMPANY = {
    "name": "ACME",
    "domain": "acme.com",
    "website": "https://acme.com",
    "description": "Acme plans rooftops.",
    "industry": "Renewables",
    "founded_year": 1999,
    "employee_count": 120,
    "employee_range": "51-200",
    "type": "private",
    "ticker": "ACME",
    "street": "1 Mill Lane",
    "city": "Austin",
    "region": "Texas",
    "postal_code": "78701",
    "country": "United States",
    "country_code": "US",
    "linkedin_url": "https://www.linkedin.com/company/acme",
    "twitter_handle": "acme",
    "facebook_handle": "acmefb",
    "tags": ["Solar", "Climate"],
}
BY_DOMAIN = company("acme.com")
BY_EMAIL = person(email="ana@acme.com")
CALLS = QuotaWindow(calls=1000, seconds=60), QuotaWindow(calls=10_000, seconds=86_400)


@asynccontextmanager
async def vendor_saying(*answers: bytes) -> AsyncIterator[tuple[PeopleDataLabs, Server]]:
    async with serving(*answers) as server:
        adapter = PeopleDataLabs(
            PeopleDataLabsSettings(base_url=f"{server.url}/v5", api_key=SecretStr("k-123"), quotas=CALLS)
        )
        try:
            yield adapter, server
        finally:
            await adapter.close()


def body(value: object, status: int = 200, *headers: str) -> bytes:
    return answer(status, json.dumps(value).encode(), "application/json", *headers)


def found(data: object, likelihood: object = 9) -> bytes:
    return body({"status": 200, "likelihood": likelihood, "data": data})


def error(status: int, code: object, *headers: str) -> bytes:
    return body({"status": status, "error": {"type": code, "message": "text"}}, status, *headers)


MISS = error(404, "not_found")
