"""The person and company records of People Data Labs (docs/providers.md, People Data Labs)."""

from collections.abc import Collection, Sequence

from app.providers import normalise
from app.providers.ports import JsonValue
from app.providers.wire import Json, items, section

# What is given without a likelihood.
UNSCORED_CONFIDENCE = 0.5

# What is read of a record.
PERSON_KEYS = (
    "full_name", "first_name", "last_name", "linkedin_url", "facebook_url", "twitter_url", "github_url", "work_email",
    "personal_emails", "mobile_phone", "phone_numbers", "emails", "job_title", "job_title_role", "job_title_sub_role",
    "job_title_levels", "job_company_name", "job_company_website", "job_company_linkedin_url", "location_locality",
    "location_region", "location_country",
)  # fmt: skip
COMPANY_KEYS = (
    "name", "display_name", "size", "employee_count", "founded", "industry", "location", "linkedin_url", "facebook_url",
    "twitter_url", "website", "ticker", "type", "summary", "headline", "tags",
)  # fmt: skip

PERSON_FIELDS = (
    "full_name", "first_name", "last_name", "email", "personal_emails", "phone", "phones", "title", "seniority",
    "department", "role", "linkedin_url", "twitter_handle", "github_handle", "facebook_handle", "city", "region",
    "country", "country_code", "company_name", "company_domain", "company_linkedin_url",
)  # fmt: skip
COMPANY_FIELDS = (
    "name", "domain", "website", "description", "industry", "founded_year", "employee_count", "employee_range", "type",
    "ticker", "street", "city", "region", "postal_code", "country", "country_code", "linkedin_url", "twitter_handle",
    "facebook_handle", "tags",
)  # fmt: skip


def confidence(body: Json) -> float:
    """The likelihood of a match, which is of ten."""
    likelihood = normalise.integer(body.get("likelihood"))
    return UNSCORED_CONFIDENCE if likelihood is None else min(max(likelihood, 0), 10) / 10


def company(provider: str, record: Json, fields: Collection[str] | None) -> dict[str, JsonValue]:
    """The canonical fields of a company that are asked for. Raises Malformed for an object or list in the wrong
    place."""
    location = section(provider, record, "location")
    tags = _listed(provider, record, "tags")
    website = normalise.domain(record.get("website"))
    return normalise.asked_for(
        fields,
        (
            ("name", lambda: normalise.text(record.get("display_name")) or normalise.text(record.get("name"))),
            ("domain", lambda: website),
            ("website", lambda: website and f"https://{website}"),
            ("description", lambda: normalise.text(record.get("summary")) or normalise.text(record.get("headline"))),
            ("industry", lambda: normalise.text(record.get("industry"))),
            ("founded_year", lambda: normalise.year(record.get("founded"))),
            ("employee_count", lambda: normalise.count(record.get("employee_count"))),
            ("employee_range", lambda: normalise.employee_range(record.get("size"))),
            ("type", lambda: _word(record.get("type"))),
            ("ticker", lambda: _ticker(record.get("ticker"))),
            ("street", lambda: normalise.text(location.get("street_address"))),
            ("city", lambda: normalise.text(location.get("locality"))),
            ("region", lambda: normalise.text(location.get("region"))),
            ("postal_code", lambda: normalise.text(location.get("postal_code"))),
            ("country", lambda: normalise.country(location.get("country"))),
            ("country_code", lambda: normalise.country_code(location.get("country"))),
            ("linkedin_url", lambda: normalise.linkedin_url(record.get("linkedin_url"), "company")),
            ("twitter_handle", lambda: normalise.twitter_handle(record.get("twitter_url"))),
            ("facebook_handle", lambda: normalise.facebook_handle(record.get("facebook_url"))),
            ("tags", lambda: normalise.texts(list(tags))),
        ),
    )


def person(provider: str, record: Json, fields: Collection[str] | None) -> dict[str, JsonValue]:
    """The canonical fields of a person that are asked for. Raises Malformed for an object or list in the wrong
    place."""
    emails, numbers, personal, levels = (
        _listed(provider, record, key) for key in ("emails", "phone_numbers", "personal_emails", "job_title_levels")
    )
    listed = (each.get("address") if isinstance(each, dict) else each for each in emails)
    country = record.get("location_country")
    phones = [number for each in (record.get("mobile_phone"), *numbers) if (number := normalise.phone(each, country))]
    return normalise.asked_for(
        fields,
        (
            ("full_name", lambda: normalise.text(record.get("full_name"))),
            ("first_name", lambda: normalise.text(record.get("first_name"))),
            ("last_name", lambda: normalise.text(record.get("last_name"))),
            ("email", lambda: next(filter(None, map(normalise.email, (record.get("work_email"), *listed))), None)),
            ("personal_emails", lambda: normalise.texts([each for each in map(normalise.email, personal) if each])),
            ("phone", lambda: phones[0] if phones else None),
            ("phones", lambda: normalise.texts(phones)),
            ("title", lambda: normalise.text(record.get("job_title"))),
            ("seniority", lambda: _word(levels[0]) if levels else None),
            ("department", lambda: _word(record.get("job_title_role"))),
            ("role", lambda: _word(record.get("job_title_sub_role"))),
            ("linkedin_url", lambda: normalise.linkedin_url(record.get("linkedin_url"), "in")),
            ("twitter_handle", lambda: normalise.twitter_handle(record.get("twitter_url"))),
            ("github_handle", lambda: normalise.github_handle(record.get("github_url"))),
            ("facebook_handle", lambda: normalise.facebook_handle(record.get("facebook_url"))),
            ("city", lambda: normalise.text(record.get("location_locality"))),
            ("region", lambda: normalise.text(record.get("location_region"))),
            ("country", lambda: normalise.country(country)),
            ("country_code", lambda: normalise.country_code(country)),
            ("company_name", lambda: normalise.text(record.get("job_company_name"))),
            ("company_domain", lambda: normalise.domain(record.get("job_company_website"))),
            ("company_linkedin_url", lambda: normalise.linkedin_url(record.get("job_company_linkedin_url"), "company")),
        ),
    )


def _listed(provider: str, record: Json, key: str) -> Sequence[object]:
    """The list under a key, empty where `true` says that there is one and the plan does not show it."""
    return () if isinstance(record.get(key), bool) else items(provider, record, key)


def _word(value: object) -> str | None:
    """A word of a fixed set, which `titlecase` writes large as well."""
    word = normalise.text(value)
    return word and word.lower()


def _ticker(value: object) -> str | None:
    symbol = normalise.text(value)
    return symbol and symbol.upper()
