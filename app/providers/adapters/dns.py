"""What a domain's DNS says of its mail (docs/providers.md, DNS): who runs it, and whether SPF and DMARC are there.

Three queries one after the other, which cost about 0.9 ms of CPU: dnspython is slow, and together they would only take
the bulkhead's places for a shorter time.
"""

import dns.rdatatype

from app.provider_settings import DnsSettings
from app.providers.errors import Outage
from app.providers.ports import Answer, Capabilities, Found, JsonValue, Query, Unreachable
from app.providers.resolver import NameAbsent, NameFailure, Resolver, ResolverAway

# By the end of the name of the most preferred mail exchanger.
MAIL_PROVIDERS = {
    "google.com": "Google Workspace",
    "googlemail.com": "Google Workspace",
    "mail.protection.outlook.com": "Microsoft 365",
    "pphosted.com": "Proofpoint",
    "mimecast.com": "Mimecast",
    "zoho.com": "Zoho",
    "messagingengine.com": "Fastmail",
    "protonmail.ch": "Proton",
}
# For a domain that accepts no mail (RFC 7505), and for one whose exchanger has a name of its own.
NO_MAIL = "none"
OWN_SERVER = "self-hosted"

# Each of the queries may run into the timeout once, but the first one that does ends the lookup.
_GRACE_SECONDS = 2.0


class Dns:
    """Companies by domain."""

    name = "dns"
    capabilities = Capabilities(
        fields={"company": ("mail_provider", "has_spf", "has_dmarc")},
        needs={"company": (frozenset({"domain"}),)},
        requires_credential=False,
        asks_named_hosts=True,
    )

    def __init__(self, settings: DnsSettings) -> None:
        self.credit_cost = settings.credit_cost
        self.timeout_seconds = 2 * settings.timeout_seconds + _GRACE_SECONDS
        self._resolver = Resolver(settings.resolver, timeout_seconds=settings.timeout_seconds)

    async def look_up(self, query: Query) -> Answer:
        """Ask for MX, SPF and DMARC.

        A domain that does not exist or whose servers fail is Unreachable. Raises Outage where it is the resolver that
        does not work.
        """
        domain = query.subject["domain"]
        try:
            values: dict[str, JsonValue] = {}
            if (provider := await self._mail_provider(domain)) is not None:
                values["mail_provider"] = provider
            values["has_spf"] = await self._has_spf(domain)
            values["has_dmarc"] = await self._has_dmarc(domain)
        except NameFailure as failure:
            return Unreachable(str(failure))
        except ResolverAway as failure:
            raise Outage(self.name, str(failure)) from None
        # No `raw`: the records are public, and hold nothing of anybody.
        return Found(values)

    async def close(self) -> None:
        """Nothing is held open."""

    async def _mail_provider(self, domain: str) -> str | None:
        records = await self._resolver.records(f"{domain}.", dns.rdatatype.MX)
        if not records:
            return None
        first = min(records, key=lambda record: record.preference)
        exchanger = first.exchange.to_text(omit_final_dot=True).lower()
        if exchanger in ("", "."):
            return NO_MAIL
        for suffix, provider in MAIL_PROVIDERS.items():
            if exchanger == suffix or exchanger.endswith(f".{suffix}"):
                return provider
        return OWN_SERVER if exchanger == domain or exchanger.endswith(f".{domain}") else None

    async def _has_spf(self, domain: str) -> bool:
        texts = await self._texts(f"{domain}.")
        # Several records are an error, and no policy applies (RFC 7208, 4.5).
        return sum(text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ") for text in texts) == 1

    async def _has_dmarc(self, domain: str) -> bool:
        # The policy of a parent holds for its subdomains. Which parent is the organisation's takes a list of public
        # suffixes; walking up finds the same one, since suffixes publish no policy for others.
        labels = domain.split(".")
        for start in range(len(labels) - 1):
            try:
                texts = await self._texts(f"_dmarc.{'.'.join(labels[start:])}.")
            except NameAbsent:
                continue
            if any(text.replace(" ", "").startswith("v=DMARC1;") or text.strip() == "v=DMARC1" for text in texts):
                return True
        return False

    async def _texts(self, name: str) -> list[str]:
        # One record may come in several strings, which belong together without a space.
        records = await self._resolver.records(name, dns.rdatatype.TXT)
        return [b"".join(record.strings).decode("ascii", "replace") for record in records]
