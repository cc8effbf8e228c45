"""How Hunter says no: its error envelope and its status codes (facts: hunter.md of the provider facts).

403 is its rate limit and 429 the end of the monthly credits: the reverse of most APIs.
"""

from app.sandbox.emulator import HTML, Answer, encode, http_answer
from app.sandbox.faults import FaultMode

Parameters = dict[str, str]
"""The query of a request."""

_OUTAGE_PAGE = (
    b"<!DOCTYPE html><html><head><title>503 Service Unavailable</title></head>"
    b"<body><h1>Service Unavailable</h1></body></html>"
)
_CHALLENGE_PAGE = b"<!DOCTYPE html><html><body><p>One moment, please.</p></body></html>"


def refusal(status: int, error: str, details: str, keys: tuple[str, ...] = ()) -> Answer:
    """An answer in the error envelope."""
    envelope = {"errors": [{"id": error, "code": status, "details": details}]}
    return http_answer(status, encode(envelope), keys=keys)


def wrong(parameter: str, parameters: Parameters) -> Answer:
    """400: a parameter is missing or means nothing."""
    said = "is invalid" if parameters.get(parameter) else "is missing"
    return refusal(400, "wrong_params", f"The {parameter} parameter {said}.")


def legal(email: str) -> Answer:
    """451: the person has objected; permanent."""
    details = "The person asked us directly or indirectly not to process their personal data."
    return refusal(451, "claimed_email", details, (email,))


UNKNOWN_KEY = refusal(401, "authentication_failed", "No user found for the API key supplied.")
RATE_LIMITED = refusal(403, "too_many_requests", "You have reached the rate limit. Please slow down.")
QUOTA_EXHAUSTED = refusal(429, "usage_limit", "You have reached the usage limit of your plan for this month.")
NO_ENDPOINT = refusal(404, "not_found", "This endpoint does not exist.")

_FAILURES = {
    FaultMode.RATE_LIMITED: (RATE_LIMITED,),
    FaultMode.QUOTA_EXHAUSTED: (QUOTA_EXHAUSTED,),
    FaultMode.AUTH: (UNKNOWN_KEY,),
    FaultMode.FLAKY: (refusal(500, "internal_error", "Something went wrong on our side."),),
    # Two forms in turn: the page of a load balancer with nothing behind it, and the API itself.
    FaultMode.OUTAGE: (
        http_answer(503, _OUTAGE_PAGE, HTML),
        refusal(503, "service_unavailable", "Please try again later."),
    ),
}


def failure(mode: FaultMode, turn: int, answer: Answer) -> Answer:
    """Hunter's form of a fault; `answer` is what a malformed one is cut from."""
    forms = _FAILURES.get(mode) or (
        http_answer(200, _CHALLENGE_PAGE, HTML),
        http_answer(200, answer.body[: len(answer.body) // 2]),
        http_answer(200, b'{"data":"42","meta":["unexpected"]}'),
    )
    return forms[turn % len(forms)]
