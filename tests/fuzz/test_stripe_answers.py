"""The adapter of Stripe against answers that Stripe's documents do not show: what comes out is of the port's types, and
can be stored, or is a ProviderError.

`make test` tries 100 answers, the same ones every time; `make fuzz` 10,000 others.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from app.provider_settings import StripeSettings
from app.providers.adapters.stripe import Stripe
from app.providers.errors import ProviderError
from app.providers.payments import Page, PayingCustomer
from tests.fuzz.answers import HTML_TYPE, JSON_TYPE, Json, Said, Vendor, mutated

STATUSES = (200,) * 12 + (301, 400, 401, 402, 403, 404, 409, 424, 429, 500, 503)
EXAMPLES = 10 * int(os.environ.get("FUZZ_EXAMPLES", "10"))


def listed(*data: Json) -> Json:
    return {"object": "list", "has_more": False, "url": "/v1", "data": list(data)}


# An answer of each endpoint in the documented shape, with invented values, by the end of its path.
DOCUMENTS: Mapping[str, Json] = {
    "/customers": listed({"id": "cus_1", "object": "customer", "metadata": {"workspace_id": "x", "a": "b"}}),
    "/subscriptions": listed(
        {
            "id": "sub_1",
            "customer": "cus_1",
            "status": "active",
            "items": listed(
                {
                    "id": "si_1",
                    "price": {"id": "price_1", "recurring": {"interval": "month"}},
                    "quantity": 1,
                    "current_period_start": 1_795_000_000,
                    "current_period_end": 1_797_592_000,
                }
            ),
            "cancel_at_period_end": False,
            "cancel_at": None,
            "canceled_at": None,
            "ended_at": None,
            "created": 1_795_000_000,
        }
    ),
    "/invoices": listed(
        {
            "id": "in_1",
            "customer": "cus_1",
            "status": "paid",
            "number": "A-1",
            "currency": "usd",
            "amount_due": 4900,
            "amount_paid": 4900,
            "attempt_count": 1,
            "next_payment_attempt": None,
            "hosted_invoice_url": "https://invoice.stripe.com/i/1",
            "parent": {"subscription_details": {"subscription": "sub_1"}},
            "payments": listed({"id": "inpay_1", "payment": {"type": "payment_intent", "payment_intent": "pi_1"}}),
            "lines": listed(
                {
                    "id": "il_1",
                    "amount": 4900,
                    "quantity": 1,
                    "period": {"start": 1_795_000_000, "end": 1_797_592_000},
                    "pricing": {"type": "price_details", "price_details": {"price": "price_1", "product": "prod_1"}},
                    "parent": {"subscription_item_details": {"proration": False, "subscription": "sub_1"}},
                }
            ),
            "status_transitions": {"paid_at": 1_795_000_001},
            "created": 1_795_000_000,
        }
    ),
    "/charges": listed(
        {
            "id": "ch_1",
            "customer": "cus_1",
            "status": "succeeded",
            "amount": 4900,
            "amount_refunded": 0,
            "disputed": True,
            "payment_intent": "pi_1",
            "created": 1_795_000_000,
        }
    ),
    "/disputes": listed({"id": "du_1", "status": "needs_response", "charge": "ch_1"}),
    "/events": listed(
        {
            "id": "evt_1",
            "type": "invoice.paid",
            "created": 1_795_000_000,
            "data": {"object": {"id": "in_1", "object": "invoice", "customer": "cus_1"}},
        }
    ),
    "/sessions": {"id": "cs_1", "url": "https://checkout.stripe.com/c/pay/cs_1", "expires_at": 1_795_086_400},
    "/cus_1": {"id": "cus_1", "object": "customer", "metadata": {}},
}
CALLS: Mapping[str, Callable[[Stripe], Awaitable[object]]] = {
    "/customers": lambda stripe: stripe.customers(),
    "/subscriptions": lambda stripe: stripe.subscriptions("cus_1"),
    "/invoices": lambda stripe: stripe.invoices("cus_1"),
    "/charges": lambda stripe: stripe.payments("cus_1"),
    "/disputes": lambda stripe: stripe.payments("cus_1"),
    "/events": lambda stripe: stripe.events(),
    "/sessions": lambda stripe: stripe.open_checkout(
        "cus_1", "price_1", success_url="http://a", cancel_url="http://a", reference="r", key="k"
    ),
    "/cus_1": lambda stripe: stripe.find_customer("cus_1"),
}


@pytest.fixture
def adapter(loop: asyncio.Runner, server: Vendor) -> Iterator[Stripe]:
    async def new() -> Stripe:
        return Stripe(StripeSettings(base_url=server.url, api_key=SecretStr("sk_test_1")))

    made = loop.run(new())
    yield made
    loop.run(made.close())


def documented() -> dict[str, Said]:
    return {path: Said(json.dumps(body).encode()) for path, body in DOCUMENTS.items()}


async def ask(adapter: Stripe, path: str) -> object:
    """Any other exception than a ProviderError, and what cannot be stored, is a failure of the test."""
    said: object
    async with asyncio.timeout(10):
        try:
            said = await CALLS[path](adapter)
        except ProviderError as error:
            said = error
    if isinstance(said, ProviderError):
        assert said.provider == "stripe"
        assert len(str(said)) < 500
        return said
    stored = json.dumps(said, default=_plain, ensure_ascii=False, allow_nan=False)
    assert "\\u0000" not in stored
    stored.encode()  # no lone surrogate
    return said


def _plain(value: Any) -> Any:
    return {name: getattr(value, name) for name in value.__slots__} if hasattr(value, "__slots__") else str(value)


@pytest.mark.parametrize("path", CALLS)
def test_the_documented_answer_is_read(loop: asyncio.Runner, server: Vendor, adapter: Stripe, path: str):
    server.said = documented()
    said = loop.run(ask(adapter, path))
    assert not isinstance(said, ProviderError), said
    assert not isinstance(said, Page) or len(said.items) == 1


@pytest.mark.parametrize("path", CALLS)
def test_whatever_stripe_says_is_read_or_is_an_error(loop: asyncio.Runner, server: Vendor, adapter: Stripe, path: str):
    answers = st.builds(
        Said, mutated(DOCUMENTS[path]), st.sampled_from(STATUSES), st.sampled_from((JSON_TYPE, HTML_TYPE, ""))
    )

    @settings(
        max_examples=EXAMPLES // len(CALLS),
        derandomize="FUZZ_EXAMPLES" not in os.environ,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(said=answers)
    def holds(said: Said) -> None:
        server.said = {**documented(), path: said}
        loop.run(ask(adapter, path))

    holds()


def test_a_customer_of_somebody_else_belongs_to_no_workspace(loop: asyncio.Runner, server: Vendor, adapter: Stripe):
    server.said = documented()
    assert loop.run(ask(adapter, "/cus_1")) == PayingCustomer("cus_1", None)
