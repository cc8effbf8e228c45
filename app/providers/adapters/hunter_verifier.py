"""Hunter.io's verifier of e-mail addresses (docs/providers.md, Hunter): limits, price and switch of its own."""

from pydantic import SecretStr

from app.provider_settings import ProviderSettings
from app.providers.adapters.hunter_api import HunterApi, Reply, email_status, score
from app.providers.ports import Answer, Capabilities, Found, Missed, Query

# A status without a score.
UNSCORED_CONFIDENCE = 0.5
# What the domain alone decides: it is on a list.
_OF_THE_DOMAIN = frozenset({"webmail", "disposable"})


class HunterVerifier:
    """Whether an e-mail address takes mail, as its ``email_status``."""

    name = "hunter_verifier"
    capabilities = Capabilities(
        fields={"person": ("email_status",)},
        needs={"person": (frozenset({"email"}),)},
        requires_credential=True,
        verifies_email=True,
    )

    def __init__(self, settings: ProviderSettings) -> None:
        self.credit_cost = settings.credit_cost
        self.timeout_seconds = settings.timeout_seconds
        self._api = HunterApi(self.name, settings)

    async def look_up(self, query: Query) -> Answer:
        """One call, with the query's own key where it has one; to ask for a pending answer is to call again. An address
        of which Hunter cannot say anything is a miss, which it does not charge for. Raises a ProviderError."""
        reply = await self._api.get("/email-verifier", {"email": query.subject["email"]}, query.api_key)
        if not isinstance(reply, Reply):
            return reply
        status = email_status(reply.data.get("status"))
        if status is None or status == "unknown":
            return Missed()
        return Found({"email_status": status}, _confidence(status, score(reply.data.get("score"))), raw=reply.raw)

    async def verify(self, api_key: SecretStr) -> None:
        """Ask for the account, which is free. Newer plans count verifications among the credits.

        Raises CredentialRejected, PaymentRequired where the month's verifications are used up, or another
        ProviderError.
        """
        await self._api.check(api_key, ("verifications", "credits"))

    async def close(self) -> None:
        """Close every connection."""
        await self._api.close()


def _confidence(status: str, deliverable: float | None) -> float:
    """How far a status is to be believed, of a score that says how likely a mail arrives."""
    if status in _OF_THE_DOMAIN:
        return 1.0
    if deliverable is None:
        return UNSCORED_CONFIDENCE
    return 1 - deliverable if status == "invalid" else deliverable
