"""Apollo's organization and person objects as canonical fields (docs/providers.md, Apollo).

Telephone numbers of people are not asked for: they cost eight credits more and arrive by webhook.
"""

from collections.abc import Collection

from app.providers import normalise
from app.providers.ports import JsonValue
from app.providers.wire import Json, items, section

# What stands for an address that exists but is not unlocked. As an input it makes Apollo miss.
LOCKED_EMAIL = "email_not_unlocked@"

COMPANY_FIELDS = (
    "name", "domain", "website", "description", "industry", "founded_year", "employee_count", "annual_revenue",
    "total_funding", "funding_stage", "ticker", "exchange", "phone", "street", "city", "region", "postal_code",
    "country", "country_code", "linkedin_url", "twitter_handle", "facebook_handle", "crunchbase_handle", "logo_url",
    "technologies", "tags", "parent_domain",
)  # fmt: skip
PERSON_FIELDS = (
    "full_name", "first_name", "last_name", "email", "email_status", "title", "seniority", "department",
    "linkedin_url", "twitter_handle", "github_handle", "facebook_handle", "city", "region", "country", "country_code",
    "company_name", "company_domain", "company_linkedin_url", "bio", "avatar_url",
)  # fmt: skip

_EMAIL_STATUS = {"verified": "valid"}


def company(provider: str, record: Json, fields: Collection[str] | None) -> dict[str, JsonValue]:
    """The canonical fields of an organization that are asked for. Raises Malformed for an object or list in the wrong
    place."""
    phone = record.get("phone") or section(provider, record, "primary_phone").get("number")
    descriptions = (record.get("short_description"), record.get("seo_description"))
    owner = section(provider, record, "owned_by_organization")
    return normalise.asked_for(
        fields,
        (
            ("name", lambda: normalise.text(record.get("name"))),
            ("domain", lambda: normalise.domain(record.get("primary_domain"))),
            ("website", lambda: normalise.url(record.get("website_url"))),
            ("description", lambda: next(filter(None, map(normalise.text, descriptions)), None)),
            ("industry", lambda: normalise.text(record.get("industry"))),
            ("founded_year", lambda: normalise.year(record.get("founded_year"))),
            ("employee_count", lambda: normalise.count(record.get("estimated_num_employees"))),
            ("annual_revenue", lambda: normalise.dollars(record.get("annual_revenue"))),
            ("total_funding", lambda: normalise.dollars(record.get("total_funding"))),
            ("funding_stage", lambda: normalise.text(record.get("latest_funding_stage"))),
            ("ticker", lambda: normalise.text(record.get("publicly_traded_symbol"))),
            ("exchange", lambda: normalise.text(record.get("publicly_traded_exchange"))),
            ("phone", lambda: normalise.phone(phone, record.get("country"))),
            ("street", lambda: normalise.text(record.get("street_address"))),
            ("city", lambda: normalise.text(record.get("city"))),
            ("region", lambda: normalise.text(record.get("state"))),
            ("postal_code", lambda: normalise.text(record.get("postal_code"))),
            ("country", lambda: normalise.country(record.get("country"))),
            ("country_code", lambda: normalise.country_code(record.get("country"))),
            ("linkedin_url", lambda: normalise.linkedin_url(record.get("linkedin_url"), "company")),
            ("twitter_handle", lambda: normalise.twitter_handle(record.get("twitter_url"))),
            ("facebook_handle", lambda: normalise.facebook_handle(record.get("facebook_url"))),
            ("crunchbase_handle", lambda: _crunchbase_handle(record.get("crunchbase_url"))),
            ("logo_url", lambda: normalise.url(record.get("logo_url"))),
            ("technologies", lambda: normalise.texts(list(items(provider, record, "technology_names")))),
            ("tags", lambda: normalise.texts(list(items(provider, record, "keywords")))),
            ("parent_domain", lambda: normalise.domain(owner.get("website_url"))),
        ),
    )


def person(provider: str, record: Json, fields: Collection[str] | None) -> dict[str, JsonValue]:
    """The canonical fields of a person that are asked for. Raises Malformed for an object or list in the wrong
    place."""
    organization = section(provider, record, "organization")
    departments = items(provider, record, "departments")
    email, email_status = address(record)
    return normalise.asked_for(
        fields,
        (
            ("full_name", lambda: normalise.text(record.get("name"))),
            ("first_name", lambda: normalise.text(record.get("first_name"))),
            ("last_name", lambda: normalise.text(record.get("last_name"))),
            ("email", lambda: email),
            ("email_status", lambda: email_status),
            ("title", lambda: normalise.text(record.get("title"))),
            ("seniority", lambda: normalise.text(record.get("seniority"))),
            ("department", lambda: normalise.text(departments[0]) if departments else None),
            ("linkedin_url", lambda: normalise.linkedin_url(record.get("linkedin_url"), "in")),
            ("twitter_handle", lambda: normalise.twitter_handle(record.get("twitter_url"))),
            ("github_handle", lambda: normalise.github_handle(record.get("github_url"))),
            ("facebook_handle", lambda: normalise.facebook_handle(record.get("facebook_url"))),
            ("city", lambda: normalise.text(record.get("city"))),
            ("region", lambda: normalise.text(record.get("state"))),
            ("country", lambda: normalise.country(record.get("country"))),
            ("country_code", lambda: normalise.country_code(record.get("country"))),
            ("company_name", lambda: normalise.text(organization.get("name"))),
            ("company_domain", lambda: normalise.domain(organization.get("primary_domain"))),
            ("company_linkedin_url", lambda: normalise.linkedin_url(organization.get("linkedin_url"), "company")),
            ("bio", lambda: normalise.text(record.get("headline"))),
            ("avatar_url", lambda: normalise.url(record.get("photo_url"))),
        ),
    )


def address(record: Json) -> tuple[str | None, str | None]:
    """The e-mail address of a person and its canonical status: no address and ``locked`` for one that exists and is
    not unlocked, whatever Apollo's own status, which says that it works. Without an address it says nothing."""
    email = normalise.email(record.get("email"))
    if email is None:
        return None, None
    if email.startswith(LOCKED_EMAIL):
        return None, "locked"
    status = normalise.text(record.get("email_status"))
    return email, None if status is None else _EMAIL_STATUS.get(status, "unknown")


def _crunchbase_handle(written: object) -> str | None:
    """Without the kind of page before it: ``https://www.crunchbase.com/organization/acme``."""
    return normalise.handle(written.rstrip("/").rpartition("/")[2]) if isinstance(written, str) else None
