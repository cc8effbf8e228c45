"""What a company's page says of it: JSON-LD, microdata, Open Graph, meta elements, links and text, as canonical fields.

How far each is believed: JSON-LD and microdata are written for machines, Open Graph and meta elements for previews, a
title for people; a link may lead to somebody else's profile. For each field the first source in that order wins.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode
from yarl import URL

from app.providers import identifiers, normalise
from app.providers.adapters import microdata
from app.providers.ports import JsonValue

JSON_LD_CONFIDENCE = 0.9
MICRODATA_CONFIDENCE = 0.85
OPEN_GRAPH_CONFIDENCE = 0.7
META_CONFIDENCE = 0.6
LINK_CONFIDENCE = 0.7
TITLE_CONFIDENCE = 0.4
# Of an address or a number in the text of the page.
TEXT_CONFIDENCE = 0.5
# The page was fetched there, or it says so itself.
WEBSITE_CONFIDENCE = 1.0

FIELDS = (
    "name",
    "legal_name",
    "website",
    "description",
    "founded_year",
    "employee_count",
    "employee_range",
    "ticker",
    "lei",
    "naics",
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
    "github_org",
    "logo_url",
    "tags",
)

# schema.org's types of an organisation, and its subtypes by how their names end.
_ORGANIZATION = re.compile(
    r"(?i)(?:https?://schema\.org/)?\w*(organization|corporation|business|store|ngo|airline|agency|dealer|school"
    r"|university|consortium|cooperative|service|hospital|hotel|restaurant|attorney|dentist|physician)"
)
_TITLE_SEPARATOR = re.compile(r"\s+[|–—·•»]\s+|\s+-\s+|:\s+")
# A page with more of them is a directory, or means to be slow.
_MOST_BLOCKS = 50
_MOST_NODES = 1000
_MOST_LINKS = 3000
_MOST_EMAILS = 5
_MOST_TEXT = 200_000
_UNSEEN = frozenset({"script", "style", "template", "noscript", "textarea", "title"})

_IN_TEXT = {"emails", "phone"}
# From the beginning of a word on, which keeps it from beginning again at each letter of a long one.
_EMAIL_IN_TEXT = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,24}")
# Only with the prefix of its country: what else looks like a number may be a price or a date.
_PHONE_IN_TEXT = re.compile(r"\+[1-9][0-9 ().\-/\u00a0]{6,24}[0-9]")
_CRUNCHBASE = re.compile(r"(?i)https?://(?:www\.)?crunchbase\.com/organization/([a-z0-9._-]{1,100})/?")
# The page of somebody on GitHub, and not one of a repository.
_GITHUB = re.compile(r"(?i)https?://(?:www\.)?github\.com/([a-z0-9-]{1,39})/?")
_GITHUBS_OWN = frozenset({"about", "features", "login", "pricing", "sponsors", "topics", "trending"})

Fields = dict[str, JsonValue]


class Page:
    """A page as it was fetched from `address`."""

    def __init__(self, html: bytes | str, address: URL) -> None:
        # Head elements after a <noscript> stay in the head only where scripts are on.
        self._tree = LexborHTMLParser(html, encoding=True, scripting=True)
        self._address = address

    def company(self) -> tuple[Fields, dict[str, float]]:
        """The fields that the page fills, and how far each is believed."""
        values: Fields = {}
        confidences: dict[str, float] = {}
        for read, confidence in (
            (self._json_ld, JSON_LD_CONFIDENCE),
            (self._microdata, MICRODATA_CONFIDENCE),
            (self._open_graph, OPEN_GRAPH_CONFIDENCE),
            (self._links, LINK_CONFIDENCE),
            (self._meta, META_CONFIDENCE),
            (self._text, TEXT_CONFIDENCE),
            (self._title, TITLE_CONFIDENCE),
        ):
            if read == self._text and values.keys() >= _IN_TEXT:
                continue  # the longest reading of all
            for field, value in read().items():
                if field not in values:
                    values[field], confidences[field] = value, confidence
        if values and (website := normalise.url(str(self._address.origin()))):
            values["website"], confidences["website"] = website, WEBSITE_CONFIDENCE
        return values, confidences

    def _json_ld(self) -> Fields:
        return self._own(self._nodes())

    def _microdata(self) -> Fields:
        return self._own(microdata.items(self._tree, most=_MOST_NODES))

    def _own(self, nodes: Iterable[Mapping[str, Any]]) -> Fields:
        """What is said of the page's own organisation among some nodes."""
        organizations = [node for node in nodes if _is_organization(node)]
        host = normalise.domain(str(self._address))
        # A page may describe partners too: the one with this page's domain, else the one with most to say.
        own = [each for each in organizations if host and normalise.domain(_first(each.get("url"))) == host]
        return max((self._organization(each) for each in own or organizations), key=len, default={})

    def _nodes(self) -> Iterator[Mapping[str, Any]]:
        """The objects in the page's JSON-LD. A block that cannot be read spoils none of the others."""
        queue: list[Any] = []
        for block in self._tree.css('script[type="application/ld+json"]')[:_MOST_BLOCKS]:
            try:
                queue.append(json.loads(block.text(), strict=False))
            except (ValueError, RecursionError):
                continue
        for _ in range(_MOST_NODES):
            if not queue:
                return
            node = queue.pop(0)
            if isinstance(node, list):
                queue[:0] = node[:_MOST_NODES]
            elif isinstance(node, dict):
                yield node
                queue += [node[key] for key in ("@graph", "publisher", "mainEntity", "about") if key in node]

    def _organization(self, node: Mapping[str, Any]) -> Fields:
        address = _first(node.get("address"))
        postal = address if isinstance(address, dict) else {}
        country = _name(postal.get("addressCountry"))
        code = normalise.country_code(country)
        contact = _object(node.get("contactPoint"))
        employees = _first(node.get("numberOfEmployees"))
        profiles = node.get("sameAs")
        urls = profiles if isinstance(profiles, list) else [profiles]
        email = normalise.email(_without_scheme(_first(node.get("email") or contact.get("email"))))
        return {
            **_profiles(urls),
            **_employees(employees),
            **normalise.known(
                (
                    ("name", normalise.text(_first(node.get("name")))),
                    ("legal_name", normalise.text(_first(node.get("legalName")))),
                    ("description", normalise.text(_first(node.get("description")))),
                    ("founded_year", normalise.year(_first(node.get("foundingDate")))),
                    ("ticker", normalise.text(_first(node.get("tickerSymbol")))),
                    ("lei", identifiers.lei(_first(node.get("leiCode")))),
                    ("naics", normalise.text(_first(node.get("naics")))),
                    ("phone", normalise.phone(_first(node.get("telephone") or contact.get("telephone")), code)),
                    ("emails", [email] if email else None),
                    ("street", normalise.text(_first(postal.get("streetAddress")))),
                    ("city", normalise.text(_first(postal.get("addressLocality")))),
                    ("region", normalise.text(_name(postal.get("addressRegion")))),
                    ("postal_code", normalise.text(_first(postal.get("postalCode")))),
                    ("country", normalise.country(country)),
                    ("country_code", code),
                    ("logo_url", self._absolute(_image(node.get("logo")))),
                )
            ),
        }

    def _open_graph(self) -> Fields:
        return normalise.known(
            (
                ("name", normalise.text(self._content('meta[property="og:site_name"]'))),
                ("description", normalise.text(self._content('meta[property="og:description"]'))),
            )
        )

    def _meta(self) -> Fields:
        keywords = self._content('meta[name="keywords" i]')
        icon = self._attribute('link[rel~="apple-touch-icon"]', "href")
        return normalise.known(
            (
                ("name", normalise.text(self._content('meta[name="application-name" i]'))),
                ("description", normalise.text(self._content('meta[name="description" i]'))),
                ("twitter_handle", normalise.twitter_handle(self._content('meta[name="twitter:site" i]'))),
                ("logo_url", self._absolute(icon or self._content('meta[property="og:image"]'))),
                ("tags", normalise.texts([each.strip() for each in keywords.split(",")]) if keywords else None),
            )
        )

    def _links(self) -> Fields:
        targets: list[str] = []
        emails: list[JsonValue] = []
        phones: list[str] = []
        for link in self._tree.css("a[href]")[:_MOST_LINKS]:
            target = (link.attributes.get("href") or "").strip()
            lowered = target[:7].lower()
            if lowered == "mailto:":
                email = normalise.email(_without_scheme(target))
                if email and email not in emails and len(emails) < _MOST_EMAILS:
                    emails.append(email)
            elif lowered.startswith("tel:"):
                phones.append(target[4:])
            else:
                targets.append(target)
        phone = next(filter(None, map(normalise.phone, phones)), None)
        return _profiles(targets) | normalise.known((("emails", emails or None), ("phone", phone)))

    def _text(self) -> Fields:
        """The contacts that people read: addresses at the page's own domain, for others' are others'."""
        body = self._tree.body
        if body is None:
            return {}
        text = _visible(body)
        own = normalise.registrable_domain(str(self._address))
        found = (normalise.email(each) for each in _EMAIL_IN_TEXT.findall(text))
        emails = [
            email for email in found if email and own and normalise.registrable_domain(email.rpartition("@")[2]) == own
        ]
        phone = next(filter(None, map(normalise.phone, _PHONE_IN_TEXT.findall(text))), None)
        return normalise.known((("emails", normalise.texts(emails, _MOST_EMAILS)), ("phone", phone)))

    def _title(self) -> Fields:
        title = self._tree.css_first("title")
        name = normalise.text(_TITLE_SEPARATOR.split(title.text().strip())[0]) if title else None
        return {"name": name} if name and len(name) <= 80 else {}

    def _content(self, selector: str) -> str | None:
        return self._attribute(selector, "content")

    def _attribute(self, selector: str, attribute: str) -> str | None:
        node = self._tree.css_first(selector)
        return node.attributes.get(attribute) if node else None

    def _absolute(self, reference: object) -> str | None:
        if not isinstance(reference, str) or not reference.strip():
            return None
        try:
            return normalise.url(str(self._address.join(URL(reference.strip()))))
        except ValueError:
            return None


def _visible(body: LexborNode) -> str:
    """The text of a page that its readers see."""
    parts: list[str] = []
    size = 0
    for node in body.traverse(include_text=True):
        if node.tag == "-text" and (node.parent is None or node.parent.tag not in _UNSEEN):
            parts.append(node.text_content or "")
            size += len(parts[-1])
            if size > _MOST_TEXT:
                break
    return " ".join(parts)


def _is_organization(node: Mapping[str, Any]) -> bool:
    kinds = node.get("@type")
    return any(
        isinstance(kind, str) and _ORGANIZATION.fullmatch(kind)
        for kind in (kinds if isinstance(kinds, list) else [kinds])
    )


def _profiles(urls: list[Any]) -> Fields:
    """The company's own profiles among some URLs: bare names are not taken, nor people's pages and single posts."""
    found: Fields = {}
    for written in urls:
        url = normalise.url(written)
        if url is None:
            continue
        if "linkedin.com/" in url:
            profile = normalise.linkedin_url(url, "company")
            if (
                profile
                and "/in/" not in profile
                and any(f"/{kind}/" in url for kind in ("company", "school", "showcase"))
            ):
                found.setdefault("linkedin_url", profile)
        elif page := _CRUNCHBASE.fullmatch(url):
            found.setdefault("crunchbase_handle", page[1].lower())
        elif (page := _GITHUB.fullmatch(url)) and page[1].lower() not in _GITHUBS_OWN:
            found.setdefault("github_org", page[1])
        elif handle := normalise.twitter_handle(url):
            found.setdefault("twitter_handle", handle)
        elif handle := normalise.facebook_handle(url):
            found.setdefault("facebook_handle", handle)
    return found


def _employees(value: object) -> Fields:
    if not isinstance(value, dict):
        return normalise.known(
            (("employee_count", normalise.count(value)), ("employee_range", normalise.employee_range(value)))
        )
    low, high = (normalise.count(_first(value.get(key))) for key in ("minValue", "maxValue"))
    written = f"{low}-{high}" if low and high else f"{low}+" if low else None
    return normalise.known(
        (
            ("employee_count", normalise.count(_first(value.get("value")))),
            ("employee_range", normalise.employee_range(written)),
        )
    )


def _first(value: Any) -> Any:
    """A property of JSON-LD may have one value or a list of them."""
    return (value[0] if value else None) if isinstance(value, list) else value


def _object(value: Any) -> Mapping[str, Any]:
    first = _first(value)
    return first if isinstance(first, dict) else {}


def _name(value: Any) -> Any:
    first = _first(value)
    return _first(first.get("name")) if isinstance(first, dict) else first


def _image(value: Any) -> Any:
    first = _first(value)
    return _first(first.get("url") or first.get("contentUrl")) if isinstance(first, dict) else first


def _without_scheme(address: Any) -> Any:
    return re.sub(r"(?i)^mailto:", "", address).partition("?")[0] if isinstance(address, str) else address
