"""Hunter.io, API v2: enrichment and the finder of e-mail addresses (docs/providers.md, Hunter)."""

from collections.abc import Collection, Mapping

from pydantic import SecretStr

from app.provider_settings import ProviderSettings
from app.providers import normalise
from app.providers.adapters import clearbit_shape
from app.providers.adapters.hunter_api import HunterApi, Reply, email_status, score
from app.providers.ports import SUFFICIENT_KEYS, Answer, Capabilities, Found, Missed, Query
from app.providers.wire import section

# An address that the finder gives without a score.
UNSCORED_CONFIDENCE = 0.5

_FINDER_FIELDS = ("email_status",)
# Seconds that the finder may be told to work for, at least and at most.
_SHORTEST_SEARCH, _LONGEST_SEARCH = 3, 20
# A search that is cut short ends in a 202, which is polled; one that runs into our own time limit is a failed call.
_SEARCH_SHARE = 0.7


class Hunter:
    """Companies by domain; people by e-mail address, by LinkedIn profile, or by name and company (the finder)."""

    name = "hunter"
    capabilities = Capabilities(
        fields={
            "company": clearbit_shape.COMPANY_FIELDS,
            "person": clearbit_shape.PERSON_FIELDS + _FINDER_FIELDS,
        },
        needs={"company": (frozenset({"domain"}),), "person": SUFFICIENT_KEYS["person"]},
        requires_credential=True,
    )

    def __init__(self, settings: ProviderSettings) -> None:
        self.credit_cost = settings.credit_cost
        self.timeout_seconds = settings.timeout_seconds
        seconds = int(_SEARCH_SHARE * settings.timeout_seconds)
        self._search_seconds = min(max(seconds, _SHORTEST_SEARCH), _LONGEST_SEARCH)
        self._api = HunterApi(self.name, settings)

    async def look_up(self, query: Query) -> Answer:
        """One call to one endpoint, with the query's own key where it has one; to ask for a pending answer is to call
        again. Raises a ProviderError."""
        subject = query.subject
        if query.entity == "company":
            return await self._enrich("/companies/find", {"domain": subject["domain"]}, query)
        if "email" in subject:
            return await self._enrich("/people/find", {"email": subject["email"]}, query)
        if "linkedin_url" in subject:
            handle = subject["linkedin_url"].rstrip("/").rpartition("/")[2]
            return await self._enrich("/people/find", {"linkedin_handle": handle}, query)
        return await self._find_email(query)

    async def verify(self, api_key: SecretStr) -> None:
        """Ask for the account, which is free.

        Raises CredentialRejected, PaymentRequired where the month's credits are used up, or another ProviderError.
        """
        await self._api.check(api_key, ("credits",))

    async def close(self) -> None:
        """Close every connection."""
        await self._api.close()

    async def _enrich(self, path: str, params: Mapping[str, str], query: Query) -> Answer:
        reply = await self._api.get(path, params, query.api_key)
        if not isinstance(reply, Reply):
            return reply
        if query.entity == "company":
            values = clearbit_shape.company(self.name, reply.data, query.fields)
            return Found(values, raw=reply.raw) if values else Missed()
        values = clearbit_shape.person(self.name, reply.data, query.fields)
        return Found(values, clearbit_shape.person_confidence(reply.data), raw=reply.raw) if values else Missed()

    async def _find_email(self, query: Query) -> Answer:
        subject = query.subject
        params = {"domain": subject["domain"]} if "domain" in subject else {"company": subject["company_name"]}
        if "first_name" in subject and "last_name" in subject:
            params |= {"first_name": subject["first_name"], "last_name": subject["last_name"]}
        else:
            params["full_name"] = subject["full_name"]
        params["max_duration"] = str(self._search_seconds)
        reply = await self._api.get("/email-finder", params, query.api_key)
        if not isinstance(reply, Reply):
            return reply
        # Without an address nothing was found, though the answer repeats the name that was asked for.
        return self._found_email(reply, query.fields) if normalise.email(reply.data.get("email")) else Missed()

    def _found_email(self, reply: Reply, fields: Collection[str] | None) -> Answer:
        data = reply.data
        verification = section(self.name, data, "verification")
        names = [normalise.text(data.get(key)) for key in ("first_name", "last_name")]
        values = normalise.asked_for(
            fields,
            (
                ("full_name", lambda: " ".join(filter(None, names)) if all(names) else None),
                ("first_name", lambda: names[0]),
                ("last_name", lambda: names[1]),
                ("email", lambda: normalise.email(data.get("email"))),
                ("email_status", lambda: email_status(verification.get("status"))),
                ("phone", lambda: normalise.phone(data.get("phone_number"))),
                ("title", lambda: normalise.text(data.get("position"))),
                ("linkedin_url", lambda: normalise.linkedin_url(data.get("linkedin_url"), "in")),
                ("twitter_handle", lambda: normalise.twitter_handle(data.get("twitter"))),
                ("company_name", lambda: normalise.text(data.get("company"))),
                ("company_domain", lambda: normalise.domain(data.get("domain"))),
            ),
        )
        confidence = score(data.get("score"))
        if not values:
            return Missed()
        return Found(values, UNSCORED_CONFIDENCE if confidence is None else confidence, raw=reply.raw)
