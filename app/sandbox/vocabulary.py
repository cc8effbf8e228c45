# ruff: noqa: E501 - tables are read by row
"""The word lists from which `companies` invents: places, industries, names, titles, mail systems, technologies.

Invented combinations of ordinary words: nobody's data. Telephone prefixes are those that regulators keep for fiction where such a
range exists (+1 … 555 01xx, +44 20 7946 0xxx), so that no example dials a stranger.
"""

from typing import NamedTuple


class Place(NamedTuple):
    """A city with what the vendors print around it. `phone` lacks its last two digits."""

    city: str
    region: str
    region_code: str
    country: str
    country_code: str
    postal_code: str
    phone: str
    time_zone: str
    utc_offset: int
    latitude: float
    longitude: float
    legal_suffix: str


class Industry(NamedTuple):
    """One line of business in the classes of Clearbit (sector to sub-industry) with its SIC and NAICS codes."""

    sector: str
    group: str
    industry: str
    sub_industry: str
    sic: str
    naics: str
    offer: str
    tags: tuple[str, ...]


class Job(NamedTuple):
    """A title in both vendors' scales: Hunter knows three seniorities, Apollo about ten."""

    title: str
    department: str
    hunter_seniority: str
    apollo_seniority: str


class MailSystem(NamedTuple):
    """Who runs a domain's mail. `{label}` is the domain with dashes, `{domain}` the domain itself."""

    name: str
    exchangers: tuple[tuple[int, str], ...]
    spf: str


PLACES = (
    Place("San Francisco", "California", "CA", "United States", "US", "94105", "+1 415 555 01", "America/Los_Angeles", -8, 37.7749, -122.4194, "Inc."),
    Place("New York", "New York", "NY", "United States", "US", "10013", "+1 212 555 01", "America/New_York", -5, 40.7128, -74.006, "Inc."),
    Place("Austin", "Texas", "TX", "United States", "US", "78701", "+1 512 555 01", "America/Chicago", -6, 30.2672, -97.7431, "LLC"),
    Place("Boston", "Massachusetts", "MA", "United States", "US", "02110", "+1 617 555 01", "America/New_York", -5, 42.3601, -71.0589, "Inc."),
    Place("Chicago", "Illinois", "IL", "United States", "US", "60606", "+1 312 555 01", "America/Chicago", -6, 41.8781, -87.6298, "Inc."),
    Place("Washington", "District of Columbia", "DC", "United States", "US", "20004", "+1 202 555 01", "America/New_York", -5, 38.9072, -77.0369, "LLC"),
    Place("Seattle", "Washington", "WA", "United States", "US", "98104", "+1 206 555 01", "America/Los_Angeles", -8, 47.6062, -122.3321, "Inc."),
    Place("Denver", "Colorado", "CO", "United States", "US", "80202", "+1 303 555 01", "America/Denver", -7, 39.7392, -104.9903, "LLC"),
    Place("Toronto", "Ontario", "ON", "Canada", "CA", "M5V 2T6", "+1 416 555 01", "America/Toronto", -5, 43.6532, -79.3832, "Ltd."),
    Place("London", "England", "ENG", "United Kingdom", "GB", "EC2A 4NE", "+44 20 7946 09", "Europe/London", 0, 51.5074, -0.1278, "Ltd"),
    Place("Manchester", "England", "ENG", "United Kingdom", "GB", "M1 4BT", "+44 161 496 09", "Europe/London", 0, 53.4808, -2.2426, "Ltd"),
    Place("Berlin", "Berlin", "BE", "Germany", "DE", "10115", "+49 30 23125 0", "Europe/Berlin", 1, 52.52, 13.405, "GmbH"),
    Place("München", "Bayern", "BY", "Germany", "DE", "80331", "+49 89 99998 0", "Europe/Berlin", 1, 48.1351, 11.582, "GmbH"),
    Place("Paris", "Île-de-France", "IDF", "France", "FR", "75002", "+33 1 99 00 12 ", "Europe/Paris", 1, 48.8566, 2.3522, "SAS"),
    Place("Lyon", "Auvergne-Rhône-Alpes", "ARA", "France", "FR", "69002", "+33 2 61 91 12 ", "Europe/Paris", 1, 45.764, 4.8357, "SAS"),
    Place("Amsterdam", "Noord-Holland", "NH", "Netherlands", "NL", "1012 AB", "+31 20 555 01", "Europe/Amsterdam", 1, 52.3676, 4.9041, "B.V."),
)  # fmt: skip

INDUSTRIES = (
    Industry("Information Technology", "Software & Services", "Internet Software & Services", "Internet Software & Services", "7372", "511210", "software for small teams", ("SaaS", "B2B", "Software")),
    Industry("Information Technology", "Software & Services", "IT Services", "Data Processing & Outsourced Services", "7374", "518210", "data services for public agencies", ("Data", "B2B", "Technology")),
    Industry("Information Technology", "Technology Hardware & Equipment", "Electronic Equipment", "Electronic Components", "3674", "334413", "sensors and control boards", ("Hardware", "Manufacturing")),
    Industry("Financials", "Diversified Financials", "Capital Markets", "Asset Management", "6282", "523930", "investment research", ("Finance", "Investing")),
    Industry("Financials", "Insurance", "Insurance", "Insurance Brokers", "6411", "524210", "insurance for trades", ("Insurance", "B2B")),
    Industry("Health Care", "Health Care Equipment & Services", "Health Care Technology", "Health Care Technology", "8099", "621999", "price transparency in health care", ("Health", "SaaS")),
    Industry("Health Care", "Pharmaceuticals & Biotechnology", "Biotechnology", "Biotechnology", "2836", "325414", "laboratory reagents", ("Biotech", "Research")),
    Industry("Industrials", "Commercial & Professional Services", "Professional Services", "Research & Consulting Services", "8742", "541611", "advice on public policy", ("Consulting", "Research")),
    Industry("Industrials", "Transportation", "Logistics", "Air Freight & Logistics", "4731", "488510", "freight forwarding", ("Logistics", "Shipping")),
    Industry("Consumer Discretionary", "Retailing", "Internet Retail", "Internet & Direct Marketing Retail", "5961", "454110", "outdoor equipment", ("E-commerce", "Retail", "B2C")),
    Industry("Consumer Discretionary", "Media", "Media", "Publishing", "2741", "511140", "trade journals and newsletters", ("Media", "Publishing")),
    Industry("Real Estate", "Real Estate", "Real Estate", "Real Estate Services", "6531", "531210", "property records", ("Real Estate", "Data")),
    Industry("Energy", "Energy", "Renewable Energy", "Renewable Electricity", "4911", "221114", "rooftop solar planning", ("Energy", "Solar", "Climate")),
    Industry("Consumer Discretionary", "Diversified Consumer Services", "Education Services", "Education Services", "8299", "611710", "courses for adults", ("Education", "E-learning")),
)  # fmt: skip

JOBS = (
    Job("Chief Executive Officer", "executive", "executive", "c_suite"),
    Job("Founder", "executive", "executive", "founder"),
    Job("Chief Technology Officer", "it", "executive", "c_suite"),
    Job("VP of Sales", "sales", "executive", "vp"),
    Job("Head of Marketing", "marketing", "executive", "head"),
    Job("Director of Operations", "operations", "executive", "director"),
    Job("Engineering Manager", "it", "senior", "manager"),
    Job("Finance Manager", "finance", "senior", "manager"),
    Job("Senior Software Engineer", "it", "senior", "senior"),
    Job("Account Executive", "sales", "senior", "senior"),
    Job("Marketing Associate", "marketing", "junior", "entry"),
    Job("Support Specialist", "support", "junior", "entry"),
    Job("Data Analyst", "it", "junior", "entry"),
)

FIRST_NAMES = (
    "Ana", "Ben", "Carla", "David", "Elena", "Felix", "Grace", "Hugo", "Ines", "Jonas", "Karen", "Liam", "Maria", "Nadia", "Oscar",
    "Paula", "Quentin", "Rosa", "Simon", "Tara", "Ulrich", "Vera", "Walter", "Xenia", "Yusuf", "Zoe",
)  # fmt: skip
LAST_NAMES = (
    "Abbott", "Baker", "Castro", "Dubois", "Ellis", "Fischer", "Garcia", "Hughes", "Ito", "Jensen", "Kaya", "Lopez", "Moreau", "Novak",
    "Okafor", "Patel", "Quinn", "Roe", "Schmidt", "Tanaka", "Ueda", "Vogel", "Weber", "Xu", "Young", "Zimmer",
)  # fmt: skip
STREETS = (
    "Market Street",
    "Mill Lane",
    "Harbour Road",
    "Station Road",
    "Oak Avenue",
    "Bridge Street",
    "Park Row",
    "College Green",
)
TECHNOLOGIES = (
    "google_analytics", "amazon_aws", "cloudflare", "wordpress", "hubspot", "salesforce", "stripe", "intercom", "react", "postgresql",
    "nginx", "segment", "zendesk", "mailchimp", "shopify", "snowflake",
)  # fmt: skip
GENERIC_MAILBOXES = (
    "info",
    "contact",
    "hello",
    "sales",
    "support",
    "office",
    "admin",
    "press",
    "jobs",
    "billing",
)

GOOGLE = MailSystem(
    "google",
    (
        (1, "aspmx.l.google.com"),
        (5, "alt1.aspmx.l.google.com"),
        (5, "alt2.aspmx.l.google.com"),
        (10, "alt3.aspmx.l.google.com"),
    ),
    "v=spf1 include:_spf.google.com ~all",
)
MICROSOFT = MailSystem(
    "microsoft",
    ((0, "{label}.mail.protection.outlook.com"),),
    "v=spf1 include:spf.protection.outlook.com -all",
)
NULL_MX = MailSystem("null", ((0, ""),), "v=spf1 -all")
NO_MX = MailSystem("none", (), "")
# A tuple with repeats is a weighted choice: the shares are roughly those of business domains.
MAIL_SYSTEMS = (
    *(GOOGLE,) * 7,
    *(MICROSOFT,) * 7,
    MailSystem("proofpoint", ((10, "mxa-00a1b2c3.gslb.pphosted.com"), (10, "mxb-00a1b2c3.gslb.pphosted.com")), "v=spf1 include:pphosted.com ~all"),
    MailSystem("mimecast", ((10, "us-smtp-inbound-1.mimecast.com"), (10, "us-smtp-inbound-2.mimecast.com")), "v=spf1 include:us._netblocks.mimecast.com ~all"),
    MailSystem("zoho", ((10, "mx.zoho.com"), (20, "mx2.zoho.com")), "v=spf1 include:zoho.com ~all"),
    MailSystem("fastmail", ((10, "in1-smtp.messagingengine.com"), (20, "in2-smtp.messagingengine.com")), "v=spf1 include:spf.messagingengine.com ?all"),
    MailSystem("own", ((10, "mail.{domain}"),), "v=spf1 mx a -all"),
    MailSystem("own", ((10, "mail.{domain}"),), "v=spf1 mx -all"),
    NULL_MX,
    NO_MX,
)  # fmt: skip
