"""The pages of a small company's website: title, description, Open Graph, JSON-LD, links, rarely all."""

from html import escape

from app.sandbox.companies import Company, Draws, keep
from app.sandbox.emulator import encode

_BROKEN_JSON_LD = '<script type="application/ld+json">{"@type": "WebSite", "name": </script>'
_STYLE = "<style>body{font:16px/1.5 sans-serif;max-width:60rem;margin:auto}nav a{margin-right:1rem}</style>"


def home_page(company: Company, d: Draws) -> bytes:
    """The home page. `d` decides what its author left out and in which form the rest is."""
    name, place = escape(company.name), company.place
    description = escape(company.description)
    head = [
        '<meta charset="utf-8">',
        f"<title>{name} | {escape(company.industry.offer.capitalize())}</title>",
        keep(d[0], 0.8, f'<meta name="description" content="{description}">'),
        keep(d[1], 0.7, f'<meta property="og:site_name" content="{name}">'),
        keep(d[1], 0.7, f'<meta property="og:title" content="{name}">'),
        keep(d[2], 0.6, f'<meta property="og:description" content="{description}">'),
        keep(d[3], 0.5, '<meta property="og:image" content="/static/share.png">'),
        keep(d[4], 0.4, f'<meta name="twitter:site" content="@{company.handle}">'),
        f'<link rel="canonical" href="https://{company.domain}/">',
        '<link rel="icon" href="/favicon.ico">',
        # A broken block before the good one: a reader that gives up on the first error finds nothing.
        keep(d[5], 0.15, _BROKEN_JSON_LD),
        keep(d[6], 0.75, _json_ld(company, d)),
        _STYLE,
    ]
    links = [
        keep(d[7], 0.75, f'<a href="https://www.linkedin.com/company/{company.handle}/">LinkedIn</a>'),
        keep(d[8], 0.55, f'<a href="https://{"x" if d[8] & 1 else "twitter"}.com/{company.handle}">X</a>'),
        keep(d[9], 0.35, f'<a href="https://www.facebook.com/{company.handle}">Facebook</a>'),
        keep(d[10], 0.2, f'<a href="https://github.com/{company.handle}">GitHub</a>'),
        keep(d[11], 0.6, f'<a href="mailto:{_mailbox(company)}?subject=Hello">{_mailbox(company)}</a>'),
        keep(d[12], 0.5, f'<a href="tel:{company.phone.replace(" ", "")}">{company.phone}</a>'),
    ]
    address = keep(d[13], 0.5, f"{company.street}, {place.city}, {place.region_code} {place.postal_code}")
    body = f"""<header><h1>{name}</h1></header>
<main><p>{description}</p>
<p>Trusted by teams in {escape(place.country)} since {company.founded_year}.</p></main>
<footer>{" ".join(filter(None, links))}<address>{escape(address or "")}</address></footer>"""
    return _page(head, body, "de" if place.country_code == "DE" else "en")


def about_page(company: Company, d: Draws) -> bytes:
    """The page about the company, where the founding year and the size are told in words."""
    size = keep(d[14], 0.6, f"<p>Today we are {company.employees} people.</p>") or ""
    body = f"""<main><h1>About {escape(company.name)}</h1><p>{escape(company.description)}</p>
<p>{escape(company.legal_name)} was founded in {company.founded_year} in {escape(company.place.city)}.</p>
{size}</main>"""
    return _page([f"<title>About {escape(company.name)}</title>"], body, "en")


def contact_page(company: Company) -> bytes:
    """The page with the address, the mailbox and the telephone number."""
    place = company.place
    body = f"""<main><h1>Contact</h1><address>{escape(company.legal_name)}<br>{company.street}<br>
{place.postal_code} {escape(place.city)}<br>{escape(place.country)}</address>
<a href="mailto:{_mailbox(company)}">{_mailbox(company)}</a>
<a href="tel:{company.phone}">{company.phone}</a></main>"""
    return _page([f"<title>Contact | {escape(company.name)}</title>"], body, "en")


def _json_ld(company: Company, d: Draws) -> str:
    place = company.place
    postal = {
        "@type": "PostalAddress",
        "streetAddress": company.street,
        "addressLocality": place.city,
        "addressRegion": place.region_code,
        "postalCode": place.postal_code,
        "addressCountry": place.country_code if d[16] & 1 else {"@type": "Country", "name": place.country},
    }
    quantity: object = company.employees
    if d[17] & 1:
        low, _, high = company.employees_range.removesuffix("+").partition("-")
        quantity = {
            "@type": "QuantitativeValue",
            "minValue": int(low),
            **({"maxValue": int(high)} if high else {}),
        }
    same_as = [f"https://www.linkedin.com/company/{company.handle}", f"https://twitter.com/{company.handle}"]
    fields = {
        "@type": "Corporation" if company.ticker else "Organization",
        "name": company.name,
        "legalName": keep(d[18], 0.5, company.legal_name),
        "url": f"https://{company.domain}/",
        "logo": "/static/logo.png" if d[19] & 1 else {"@type": "ImageObject", "url": "/static/logo.png"},
        "description": keep(d[20], 0.5, company.description),
        "foundingDate": keep(d[21], 0.5, f"{company.founded_year}-01-01" if d[21] & 1 else str(company.founded_year)),
        "numberOfEmployees": keep(d[22], 0.3, quantity),
        "address": keep(d[23], 0.7, postal),
        "telephone": keep(d[24], 0.4, company.phone),
        "email": keep(d[25], 0.3, _mailbox(company)),
        "sameAs": keep(d[26], 0.6, same_as if d[26] & 1 else same_as[0]),
    }
    organization = {name: value for name, value in fields.items() if value is not None}
    site = {"@type": "WebSite", "name": company.name, "url": f"https://{company.domain}/"}
    document: dict[str, object] = {"@context": "https://schema.org"}
    document |= {"@graph": [site, organization]} if d[27] & 1 else organization
    # Text that looks like the end of the element would end it; JSON lets the slash be escaped.
    text = encode(document).decode().replace("</", r"<\/")
    return f'<script type="application/ld+json">{text}</script>'


def _mailbox(company: Company) -> str:
    return f"info@{company.domain}"


def _page(head: list[str | None], body: str, language: str) -> bytes:
    navigation = '<nav><a href="/">Home</a><a href="/about">About us</a><a href="/contact">Contact</a></nav>'
    lines = "\n".join(filter(None, head))
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n{lines}\n</head>\n'
        f"<body>\n{navigation}\n{body}\n</body>\n</html>\n"
    ).encode()
