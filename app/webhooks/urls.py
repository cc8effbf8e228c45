"""Where a workspace may have its events sent, as far as the address itself tells.

Nothing is looked up: no call leaves the API process. What a name leads to is checked where the socket is made, at each
attempt (app/providers/addresses.py), for it may lead elsewhere the next time.
"""

from ipaddress import ip_address

from yarl import URL

from app.providers import normalise
from app.providers.addresses import PORTS, is_public
from app.settings import WebhookSettings

_INSIDE = "must lead to a public address: neither a private one nor a name of a private network"


def check_url(url: str, settings: WebhookSettings) -> None:
    """Raises ValueError, which says what it must be."""
    address = _parsed(url)
    if address.scheme not in (("http", "https") if settings.allow_private else ("https",)) or not address.raw_host:
        raise ValueError(
            "must begin with http:// or https://" if settings.allow_private else "must begin with https://"
        )
    if address.raw_user is not None or address.raw_password is not None:
        raise ValueError("must hold no user name and no password: a header can")
    if "#" in url:
        raise ValueError("must have no fragment: it is never sent")
    if settings.allow_private:
        return
    ports = PORTS | set(settings.allowed_ports)
    if address.port not in ports:
        raise ValueError(f"must use one of the ports {', '.join(map(str, sorted(ports)))}")
    if not _may_be_public(address.raw_host):
        raise ValueError(_INSIDE)


def _parsed(url: str) -> URL:
    if not url.isprintable() or any(each.isspace() for each in url):
        raise ValueError("must hold no blanks and no control characters")
    try:
        address = URL(url)
        # A port that is none is found when it is asked for.
        _ = address.port
    except ValueError:
        raise ValueError("must be an address such as https://example.com/webhooks") from None
    return address


def _may_be_public(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        # Other spellings of an address (127.1, 0x7f000001) are no domain either: those end in a letter.
        return normalise.domain(host) is not None
    return is_public(host)
