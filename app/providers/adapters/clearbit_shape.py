"""The person and company objects that Clearbit introduced and Hunter and others copy (docs/providers.md, Clearbit).

`metrics.employees` is a number in one document and a range in another: both are read.
"""

from collections.abc import Collection

from app.providers import normalise
from app.providers.ports import JsonValue
from app.providers.wire import Json, items, section

FUZZY_CONFIDENCE = 0.5

COMPANY_FIELDS = (
    "name",
    "legal_name",
    "domain_aliases",
    "website",
    "description",
    "industry",
    "sector",
    "naics",
    "sic",
    "founded_year",
    "employee_count",
    "employee_range",
    "annual_revenue",
    "total_funding",
    "type",
    "ticker",
    "phone",
    "emails",
    "street",
    "city",
    "region",
    "postal_code",
    "country",
    "country_code",
    "linkedin_url",
    "twitter_handle",
    "facebook_handle",
    "crunchbase_handle",
    "logo_url",
    "technologies",
    "tags",
    "parent_domain",
)
PERSON_FIELDS = (
    "full_name",
    "first_name",
    "last_name",
    "email",
    "phone",
    "title",
    "seniority",
    "department",
    "role",
    "linkedin_url",
    "twitter_handle",
    "github_handle",
    "facebook_handle",
    "city",
    "region",
    "country",
    "country_code",
    "timezone",
    "company_name",
    "company_domain",
    "bio",
    "avatar_url",
)


def company(provider: str, record: Json, fields: Collection[str] | None = None) -> dict[str, JsonValue]:
    """The canonical fields of a company object, or those of them that are asked for.

    Raises Malformed for an object or list in the wrong place.
    """
    site, category, geo, metrics = (section(provider, record, key) for key in ("site", "category", "geo", "metrics"))
    country_code = normalise.country_code(geo.get("countryCode"))
    emails = (normalise.email(each) for each in items(provider, site, "emailAddresses"))
    aliases = (normalise.domain(each) for each in items(provider, record, "domainAliases"))
    return normalise.asked_for(
        fields,
        (
            ("name", lambda: normalise.text(record.get("name"))),
            ("legal_name", lambda: normalise.text(record.get("legalName"))),
            ("domain_aliases", lambda: normalise.texts([each for each in aliases if each])),
            ("website", lambda: _home_page(record.get("domain"))),
            ("description", lambda: normalise.text(record.get("description"))),
            ("industry", lambda: normalise.text(category.get("industry"))),
            ("sector", lambda: normalise.text(category.get("sector"))),
            ("naics", lambda: normalise.text(category.get("naicsCode"))),
            ("sic", lambda: normalise.text(category.get("sicCode"))),
            ("founded_year", lambda: normalise.year(record.get("foundedYear"))),
            ("employee_count", lambda: normalise.count(metrics.get("employees"))),
            (
                "employee_range",
                lambda: (
                    normalise.employee_range(metrics.get("employeesRange"))
                    or normalise.employee_range(metrics.get("employees"))
                ),
            ),
            ("annual_revenue", lambda: normalise.dollars(metrics.get("annualRevenue"))),
            ("total_funding", lambda: normalise.dollars(metrics.get("raised"))),
            ("type", lambda: normalise.text(record.get("type"))),
            ("ticker", lambda: normalise.text(record.get("ticker"))),
            ("phone", lambda: _phone(provider, record, site, country_code)),
            ("emails", lambda: normalise.texts([each for each in emails if each])),
            ("street", lambda: normalise.text(geo.get("streetAddress"))),
            ("city", lambda: normalise.text(geo.get("city"))),
            ("region", lambda: normalise.text(geo.get("state"))),
            ("postal_code", lambda: normalise.text(geo.get("postalCode"))),
            ("country", lambda: normalise.country(geo.get("country"))),
            ("country_code", lambda: country_code),
            ("linkedin_url", lambda: normalise.linkedin_url(_handle(provider, record, "linkedin"), "company")),
            ("twitter_handle", lambda: normalise.twitter_handle(_handle(provider, record, "twitter"))),
            ("facebook_handle", lambda: normalise.facebook_handle(_handle(provider, record, "facebook"))),
            ("crunchbase_handle", lambda: _crunchbase_handle(_handle(provider, record, "crunchbase"))),
            ("logo_url", lambda: normalise.url(record.get("logo"))),
            ("technologies", lambda: normalise.texts(list(items(provider, record, "tech")))),
            ("tags", lambda: normalise.texts(list(items(provider, record, "tags")))),
            ("parent_domain", lambda: normalise.domain(section(provider, record, "parent").get("domain"))),
        ),
    )


def _home_page(domain: object) -> str | None:
    host = normalise.domain(domain)
    return host and f"https://{host}"


def _phone(provider: str, record: Json, site: Json, country_code: str | None) -> str | None:
    numbers = (record.get("phone"), *items(provider, site, "phoneNumbers"))
    return next(filter(None, (normalise.phone(each, country_code) for each in numbers)), None)


def person(provider: str, record: Json, fields: Collection[str] | None = None) -> dict[str, JsonValue]:
    """The canonical fields of a person object, or those of them that are asked for.

    Raises Malformed for an object or list in the wrong place.
    """
    name, geo, employment = (section(provider, record, key) for key in ("name", "geo", "employment"))
    country_code = normalise.country_code(geo.get("countryCode"))
    return normalise.asked_for(
        fields,
        (
            ("full_name", lambda: normalise.text(name.get("fullName"))),
            ("first_name", lambda: normalise.text(name.get("givenName"))),
            ("last_name", lambda: normalise.text(name.get("familyName"))),
            ("email", lambda: normalise.email(record.get("email"))),
            ("phone", lambda: normalise.phone(record.get("phone"), country_code)),
            ("title", lambda: normalise.text(employment.get("title"))),
            ("seniority", lambda: normalise.text(employment.get("seniority"))),
            ("department", lambda: normalise.text(employment.get("role"))),
            ("role", lambda: normalise.text(employment.get("subRole"))),
            ("linkedin_url", lambda: normalise.linkedin_url(_handle(provider, record, "linkedin"), "in")),
            ("twitter_handle", lambda: normalise.twitter_handle(_handle(provider, record, "twitter"))),
            ("github_handle", lambda: normalise.github_handle(_handle(provider, record, "github"))),
            ("facebook_handle", lambda: normalise.facebook_handle(_handle(provider, record, "facebook"))),
            ("city", lambda: normalise.text(geo.get("city"))),
            ("region", lambda: normalise.text(geo.get("state"))),
            ("country", lambda: normalise.country(geo.get("country"))),
            ("country_code", lambda: country_code),
            ("timezone", lambda: normalise.text(record.get("timeZone"))),
            ("company_name", lambda: normalise.text(employment.get("name"))),
            ("company_domain", lambda: normalise.domain(employment.get("domain"))),
            ("bio", lambda: normalise.text(record.get("bio"))),
            ("avatar_url", lambda: normalise.url(record.get("avatar"))),
        ),
    )


def person_confidence(record: Json) -> float:
    """How far a person object is to be believed: half, where it says that it was matched by likeness."""
    return FUZZY_CONFIDENCE if record.get("fuzzy") is True else 1.0


def _crunchbase_handle(written: object) -> str | None:
    """Without the kind of page before it: ``organization/acme``."""
    return normalise.handle(written.rpartition("/")[2]) if isinstance(written, str) else None


def _handle(provider: str, record: Json, network: str) -> object:
    return section(provider, record, network).get("handle")
