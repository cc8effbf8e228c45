"""Apollo's organization and person objects (field lists: apollo.md of the provider facts)."""

from app.sandbox.companies import Company, Draws, Person, keep

LOCKED_EMAIL = "email_not_unlocked@domain.com"
"""What stands for an address that exists but is not unlocked. No value, though it looks like one."""


def organization_object(company: Company, d: Draws) -> dict[str, object]:
    """A company as Apollo gives it. `d` decides what it lacks: the industry often, the phone number rarely."""
    place = keep(d[0], 0.85, company.place)
    industry = keep(d[1], 0.55, company.industry.industry.lower())
    phone = keep(d[2], 0.8, company.phone)
    employees = keep(d[3], 0.8, company.employees)
    revenue = keep(d[4], 0.6, company.revenue)
    raised = keep(d[5], 0.6, company.raised or None)
    linkedin = keep(d[6], 0.95, f"http://www.linkedin.com/company/{company.handle}")
    technologies = list(company.technologies) if d[7] & 3 else []
    return {
        "id": _identifier(d),
        "name": company.name,
        "website_url": f"http://www.{company.domain}",
        "blog_url": None,
        "angellist_url": None,
        "linkedin_url": linkedin,
        "linkedin_uid": str(100_000 + d[8] * 61) if linkedin else None,
        "twitter_url": keep(d[9], 0.45, f"https://twitter.com/{company.handle}"),
        "facebook_url": keep(d[10], 0.35, f"https://www.facebook.com/{company.handle}"),
        "crunchbase_url": None,
        "logo_url": f"https://zenprospect-production.s3.amazonaws.com/uploads/pictures/{_identifier(d)}/picture",
        "phone": phone,
        "primary_phone": {"number": phone, "source": "Scraped"} if phone else {},
        "languages": ["English"],
        "num_languages": 1,
        "alexa_ranking": None,
        "primary_domain": company.domain,
        "founded_year": keep(d[11], 0.85, company.founded_year),
        "publicly_traded_symbol": company.ticker,
        "publicly_traded_exchange": "nasdaq" if company.ticker else None,
        "industry": industry,
        "industries": [industry] if industry else [],
        "secondary_industries": [],
        "keywords": [tag.lower() for tag in company.industry.tags] if industry else [],
        "estimated_num_employees": employees,
        "raw_address": place and f"{company.street}, {place.city}, {place.region}, {place.country}",
        "street_address": place and company.street,
        "city": place and place.city,
        "state": place and place.region,
        "postal_code": place and place.postal_code,
        "country": place and place.country,
        "short_description": keep(d[12], 0.6, company.description),
        "seo_description": keep(d[13], 0.3, company.description),
        "annual_revenue": revenue,
        "annual_revenue_printed": revenue and f"{revenue / 1_000_000:.1f}M",
        "total_funding": raised,
        "total_funding_printed": raised and f"{raised / 1_000_000:.1f}M",
        "latest_funding_round_date": "2021-06-01T00:00:00.000+00:00" if raised else None,
        "latest_funding_stage": "Series A" if raised else None,
        "funding_events": [],
        "technology_names": [name.replace("_", " ").title() for name in technologies],
        "current_technologies": [{"uid": name, "name": name.replace("_", " ").title()} for name in technologies],
        # The three m are Apollo's.
        "departmental_head_count": {"engineering": (employees or 0) // 3, "media_and_commmunication": 0},
        "owned_by_organization": None,
        "owned_by_chain": [],
        "ultimate_parent_organization": None,
        "suborganizations": [],
        "num_suborganizations": 0,
        "organization_headcount_six_month_growth": round(d[14] / 655360, 4),
        "organization_headcount_twelve_month_growth": round(d[15] / 655360, 4),
        "organization_headcount_twenty_four_month_growth": round(d[16] / 655360, 4),
    }


def person_object(person: Person, company: Company, d: Draws) -> dict[str, object]:
    """A person as Apollo gives it, without `organization`, which the emulator adds."""
    place = keep(d[0], 0.8, person.place)
    is_locked = person.email.startswith("locked") or d[1] < 6554
    identifier = _identifier(d)
    return {
        "id": identifier,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "name": f"{person.first_name} {person.last_name}",
        "linkedin_url": keep(d[2], 0.9, f"http://www.linkedin.com/in/{person.handle}"),
        "title": person.job.title,
        "headline": f"{person.job.title} at {company.name}",
        "email": LOCKED_EMAIL if is_locked else person.email,
        # "verified" says that the address works, not that it is unlocked.
        "email_status": "verified" if d[3] & 3 else "unverified",
        "extrapolated_email_confidence": None,
        "photo_url": None,
        "twitter_url": None,
        "github_url": None,
        "facebook_url": None,
        "organization_id": identifier[::-1],
        "city": place and place.city,
        "state": place and place.region,
        "country": place and place.country,
        "seniority": person.job.apollo_seniority,
        "departments": [person.job.department],
        "subdepartments": [],
        "functions": [person.job.department],
        "employment_history": [
            {
                "_id": identifier,
                "id": identifier,
                "key": identifier,
                "current": True,
                "organization_id": identifier[::-1],
                "organization_name": company.name,
                "title": person.job.title,
                "start_date": f"{2012 + d[4] % 12}-0{1 + d[5] % 9}-01",
                "end_date": None,
            }
        ],
        "revealed_for_current_team": True,
        "is_likely_to_engage": bool(d[6] & 1),
    }


def _identifier(d: Draws) -> str:
    return "".join(f"{draw:04x}" for draw in d[20:26])
