"""The JSON shape of Clearbit's person and company, which Hunter and others copy.

Field lists: clearbit.md of the provider facts.
"""

from app.sandbox.companies import Company, Draws, Person, keep, pick

INDEXED_AT = "2026-10-01T06:00:00.000Z"


def company_object(company: Company, d: Draws, *, employees_as_range: bool = False) -> dict[str, object]:
    """A company as Hunter gives it. `d` decides what it lacks: the phone number often, the industry rarely."""
    place, industry = company.place, company.industry
    classified = keep(d[0], 0.85, industry)
    located = keep(d[1], 0.92, place)
    phone = keep(d[2], 0.35, company.phone)
    measured = keep(d[3], 0.88, company.employees)
    revenue = keep(d[4], 0.5, company.revenue)
    return {
        "id": _identifier(d),
        "name": company.name,
        "legalName": keep(d[5], 0.6, company.legal_name),
        "domain": company.domain,
        "domainAliases": [],
        "site": {
            "phoneNumbers": [phone] if phone else [],
            "emailAddresses": [f"info@{company.domain}"] if d[6] & 1 else [],
        },
        "category": {
            "sector": classified and classified.sector,
            "industryGroup": classified and classified.group,
            "industry": classified and classified.industry,
            "subIndustry": classified and classified.sub_industry,
            "gicsCode": None,
            "sicCode": classified and classified.sic,
            "sic4Codes": [classified.sic] if classified else [],
            "naicsCode": classified and classified.naics,
            "naics6Codes": [classified.naics] if classified else [],
            "naics6Codes2022": [classified.naics] if classified else [],
        },
        "tags": list(industry.tags) if d[7] & 3 else [],
        "description": keep(d[8], 0.8, company.description),
        "foundedYear": keep(d[9], 0.7, company.founded_year),
        "location": located
        and f"{company.street}, {place.city}, {place.region_code} {place.postal_code}, {place.country}",
        "timeZone": located and place.time_zone,
        "utcOffset": located and place.utc_offset,
        "geo": {
            "streetNumber": located and company.street.partition(" ")[0],
            "streetName": located and company.street.partition(" ")[2],
            "subPremise": None,
            "streetAddress": located and company.street,
            "city": located and place.city,
            "postalCode": located and place.postal_code,
            "state": located and place.region,
            "stateCode": located and place.region_code,
            "country": located and place.country,
            "countryCode": located and place.country_code,
            "lat": located and place.latitude,
            "lng": located and place.longitude,
        },
        "logo": f"https://logos.hunter.io/{company.domain}",
        "facebook": {"handle": keep(d[10], 0.4, company.handle), "likes": None},
        "linkedin": {"handle": keep(d[11], 0.8, f"company/{company.handle}")},
        "twitter": {
            "handle": keep(d[12], 0.55, company.handle),
            "id": None,
            "bio": None,
            "followers": None,
            "following": None,
            "location": None,
            "site": None,
            "avatar": None,
        },
        "crunchbase": {"handle": keep(d[13], 0.3, f"organization/{company.handle}")},
        "instagram": {"handle": None},
        "emailProvider": False,
        "type": company.kind,
        "company_type": "publicly traded" if company.kind == "public" else "privately held",
        "ticker": company.ticker,
        "identifiers": {"usEIN": None},
        "phone": phone,
        "metrics": {
            "alexaUsRank": None,
            "alexaGlobalRank": None,
            "trafficRank": pick(d[14], ("very_low", "low", "medium", "high", "very_high")),
            "employees": company.employees_range if employees_as_range and measured else measured,
            "employeesRange": company.employees_range if measured else None,
            "marketCap": None,
            "raised": keep(d[15], 0.4, company.raised or None),
            "annualRevenue": None,
            "estimatedAnnualRevenue": revenue and f"${revenue // 1_000_000}M",
            "fiscalYearEnd": None,
        },
        "indexedAt": INDEXED_AT,
        "tech": list(company.technologies) if d[16] & 3 else [],
        "techCategories": [],
        "fundingRounds": [],
        "parent": {"domain": None},
        "ultimateParent": {"domain": None},
    }


def person_object(person: Person, company: Company, d: Draws) -> dict[str, object]:
    """A person as Hunter gives it."""
    place = keep(d[1], 0.75, person.place)
    employed = keep(d[2], 0.9, person.job)
    return {
        "id": _identifier(d),
        "name": {
            "fullName": f"{person.first_name} {person.last_name}",
            "givenName": person.first_name,
            "familyName": person.last_name,
        },
        "email": person.email,
        "location": place and f"{place.city}, {place.region}, {place.country}",
        "timeZone": place and place.time_zone,
        "utcOffset": place and place.utc_offset,
        "geo": {
            "city": place and place.city,
            "state": place and place.region,
            "stateCode": place and place.region_code,
            "country": place and place.country,
            "countryCode": place and place.country_code,
            "lat": place and place.latitude,
            "lng": place and place.longitude,
        },
        "bio": None,
        "site": None,
        "avatar": None,
        "employment": {
            "domain": person.domain,
            "name": company.name,
            "title": employed and employed.title,
            "role": employed and employed.department,
            "subRole": None,
            "seniority": employed and employed.hunter_seniority,
        },
        "facebook": {"handle": None},
        "github": {
            "handle": None,
            "id": None,
            "avatar": None,
            "company": None,
            "blog": None,
            "followers": None,
            "following": None,
        },
        "twitter": {"handle": keep(d[3], 0.2, f"{person.first_name}{person.last_name}".lower().replace(" ", ""))},
        "linkedin": {"handle": keep(d[4], 0.8, person.handle)},
        "googleplus": {"handle": None},
        "gravatar": {"handle": None, "urls": [], "avatar": None, "avatars": []},
        "fuzzy": d[5] < 4096,
        "emailProvider": False,
        "indexedAt": INDEXED_AT,
        "phone": keep(d[6], 0.25, person.phone),
        "activeAt": INDEXED_AT,
        "inactiveAt": None,
    }


def _identifier(d: Draws) -> str:
    digits = "".join(f"{draw:04x}" for draw in d[20:28])
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
