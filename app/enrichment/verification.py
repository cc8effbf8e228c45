"""What a verifier's word does to an e-mail address that a provider found."""

from collections.abc import Mapping

from app.providers.ports import Answer, Found, JsonValue

# Of an address of which nobody can say whether it works, or that works for everybody.
DOUBTFUL_CONFIDENCE = 0.5
# Of an address that no verifier has looked at.
UNVERIFIED = "unverified"

# Mail to these is refused, or read by nobody who is meant.
_USELESS = frozenset({"invalid", "disposable", UNVERIFIED})


def status_of(answer: Answer) -> str:
    """What a verifier says of an address: an ``email_status``, ``unknown`` where it says nothing."""
    status = answer.values.get("email_status") if isinstance(answer, Found) else None
    return status if isinstance(status, str) else "unknown"


def verified(found: Mapping[str, tuple[JsonValue, float]], status: str) -> dict[str, tuple[JsonValue, float]]:
    """What was found, with an address that works as it was, without one that does not, and with less confidence in one
    that may. The verifier's status takes the place of the finder's."""
    kept = dict(found)
    if status in _USELESS:
        del kept["email"]
    elif status != "valid":
        address, confidence = found["email"]
        kept["email"] = (address, min(confidence, DOUBTFUL_CONFIDENCE))
    if "email_status" in found:
        del kept["email_status"]
        if "email" in kept:
            kept["email_status"] = (status, 1.0)
    return kept
