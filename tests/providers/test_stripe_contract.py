"""What billing relies on, held against the adapter with the emulated Stripe behind it, and against the fake."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import uuid4

import pytest
from pydantic import SecretStr

from app.db import new_id
from app.provider_settings import StripeSettings
from app.providers.errors import InvalidQuery, Missing, ProviderError, StoredFailure, Transient
from app.providers.payments import Page, PayingCustomer, PaymentsApi, Subscription
from app.providers.registry import open_payments
from tests.fakes_payments import Call, FakePayments, works
from tests.stripe_sandbox import API_KEY, METER, METER_EVENT, STARTER, StripeSandbox, running_stripe

NOW = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
HOUR = timedelta(hours=1)
BACK = "http://127.0.0.1:8000/back"


class Provider(ABC):
    """A payment provider, and what a test does to it beside the port."""

    payments: PaymentsApi

    @abstractmethod
    def failing(self, form: Literal["stored_error", "drop"]) -> AbstractAsyncContextManager[None]:
        """Every write fails for as long as the block lasts: with a failure that its key remembers and without an
        effect, or with an effect of which nobody hears."""

    @abstractmethod
    async def subscribe(self, customer_id: str) -> None:
        """The customer buys the plan that is cheapest."""

    @abstractmethod
    async def open_checkouts(self) -> set[str]:
        """The checkout pages on which somebody can buy."""

    @abstractmethod
    async def fill(self, customers: int) -> None:
        """There are so many more customers."""


class Fake(Provider):
    def __init__(self) -> None:
        self.payments = self._fake = FakePayments()

    @asynccontextmanager
    async def failing(self, form: Literal["stored_error", "drop"]) -> AsyncIterator[None]:
        def stored(_: Call) -> ProviderError:
            return StoredFailure("stripe", "status 500")

        def dropped(_: Call) -> ProviderError:
            return Transient("stripe", "the connection broke")

        if form == "drop":
            self._fake.after = dropped
        else:
            self._fake.before = stored
        yield
        self._fake.before = self._fake.after = works

    async def subscribe(self, customer_id: str) -> None:
        start = datetime.now(UTC).replace(microsecond=0)
        self._fake.put(
            Subscription(
                id="sub_1",
                customer_id=customer_id,
                status="active",
                price_id=STARTER,
                quantity=1,
                period_start=start,
                period_end=start + timedelta(days=30),
                cancel_at_period_end=False,
                cancel_at=None,
                canceled_at=None,
                ended_at=None,
                created_at=start,
            )
        )

    async def open_checkouts(self) -> set[str]:
        return {page for _, page in self._fake.open_checkouts}

    async def fill(self, customers: int) -> None:
        self._fake.put(*(PayingCustomer(f"cus_{number:04}", None) for number in range(customers)))


class Emulated(Provider):
    def __init__(self, payments: PaymentsApi, sandbox: StripeSandbox) -> None:
        self.payments = payments
        self._sandbox = sandbox

    @asynccontextmanager
    async def failing(self, form: Literal["stored_error", "drop"]) -> AsyncIterator[None]:
        await self._sandbox.set(fail_share=1, fail_forms=form)
        yield
        await self._sandbox.set(fail_share=0)

    async def subscribe(self, customer_id: str) -> None:
        await self._sandbox.pay_with(customer_id, "pm_card_visa")
        await self._sandbox.subscribe(customer_id)

    async def open_checkouts(self) -> set[str]:
        sessions = await self._sandbox.objects("checkout_sessions")
        return {each["id"] for each in sessions if each["status"] == "open"}

    async def fill(self, customers: int) -> None:
        await self._sandbox.populate(customers)


@pytest.fixture(params=["fake", "emulated"])
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[Provider]:
    if request.param == "fake":
        yield Fake()
        return
    async with running_stripe() as sandbox:
        settings = StripeSettings(
            base_url=sandbox.base_url, api_key=SecretStr(API_KEY), meter=METER_EVENT, meter_id=METER
        )
        async with open_payments(settings) as payments:
            assert payments is not None
            yield Emulated(payments, sandbox)


async def new_customer(provider: Provider) -> PayingCustomer:
    return await provider.payments.create_customer(new_id(), "Acme & Söhne", key=str(uuid4()))


async def everybody(provider: Provider) -> list[PayingCustomer]:
    page = await provider.payments.customers()
    found = list(page.items)
    while page.next is not None:
        page = await provider.payments.customers(after=page.next)
        found += page.items
    return found


async def test_a_customer_is_found_with_the_workspace_that_it_was_made_for(provider: Provider):
    workspace_id = new_id()
    made = await provider.payments.create_customer(workspace_id, "Acme", key="k")
    assert made.workspace_id == workspace_id
    assert not made.is_deleted
    assert await provider.payments.find_customer(made.id) == made
    assert await everybody(provider) == [made]
    assert (await provider.payments.customers(since=datetime.now(UTC) + HOUR)).items == []


async def test_one_key_makes_one_customer_and_belongs_to_one_request(provider: Provider):
    workspace_id = new_id()
    first = await provider.payments.create_customer(workspace_id, "Acme", key="k")
    assert await provider.payments.create_customer(workspace_id, "Acme", key="k") == first
    with pytest.raises(InvalidQuery):
        await provider.payments.create_customer(workspace_id, "Another", key="k")
    assert len(await everybody(provider)) == 1


async def test_what_had_its_effect_and_no_answer_has_it_once(provider: Provider):
    workspace_id = new_id()
    async with provider.failing("drop"):
        with pytest.raises(Transient):
            await provider.payments.create_customer(workspace_id, "Acme", key="k")
    made = await provider.payments.create_customer(workspace_id, "Acme", key="k")
    assert await everybody(provider) == [made]


async def test_a_key_that_remembers_a_failure_says_so_and_only_another_one_helps(provider: Provider):
    workspace_id = new_id()
    async with provider.failing("stored_error"):
        with pytest.raises(Transient):
            await provider.payments.create_customer(workspace_id, "Acme", key="k:0")
    for _ in range(2):
        with pytest.raises(StoredFailure):
            await provider.payments.create_customer(workspace_id, "Acme", key="k:0")
    assert await everybody(provider) == []
    made = await provider.payments.create_customer(workspace_id, "Acme", key="k:1")
    assert await everybody(provider) == [made]


async def test_a_list_is_read_page_by_page(provider: Provider):
    await provider.fill(120)
    page: Page[PayingCustomer] = await provider.payments.customers()
    assert len(page.items) == 100
    assert page.next == page.items[-1].id
    everyone = await everybody(provider)
    assert len({each.id for each in everyone}) == len(everyone) == 120


async def test_a_subscription_is_ended_at_once_and_stays_in_the_list(provider: Provider):
    customer = await new_customer(provider)
    await provider.subscribe(customer.id)
    [subscription] = (await provider.payments.subscriptions(customer.id)).items
    assert (subscription.customer_id, subscription.status) == (customer.id, "active")
    assert (subscription.price_id, subscription.quantity) == (STARTER, 1)
    assert subscription.period_end > subscription.period_start
    assert subscription.ended_at is None
    for _ in range(2):
        await provider.payments.cancel_subscription(subscription.id)
    [ended] = (await provider.payments.subscriptions(customer.id)).items
    assert ended.status == "canceled"
    assert ended.ended_at is not None
    assert (await provider.payments.subscriptions()).items == [ended]


async def test_to_end_a_subscription_that_never_was_changes_nothing(provider: Provider):
    await provider.payments.cancel_subscription("sub_nobody")


async def test_pages_open_for_a_customer(provider: Provider):
    customer = await new_customer(provider)
    checkout = await provider.payments.open_checkout(
        customer.id, STARTER, success_url=BACK, cancel_url=BACK, reference="r", key="c"
    )
    assert checkout.url.startswith("http")
    assert checkout.expires_at is not None
    assert checkout.expires_at > datetime.now(UTC) + 23 * HOUR
    again = await provider.payments.open_checkout(
        customer.id, STARTER, success_url=BACK, cancel_url=BACK, reference="r", key="c"
    )
    assert again == checkout
    portal = await provider.payments.open_portal(customer.id, return_url=BACK, key="p")
    assert portal.url.startswith("http")
    assert portal.expires_at is None


async def test_checkouts_that_were_opened_before_are_closed(provider: Provider):
    customer, other = await new_customer(provider), await new_customer(provider)
    opened = [
        await provider.payments.open_checkout(
            whose.id, STARTER, success_url=BACK, cancel_url=BACK, reference="r", key=f"c{number}"
        )
        for number, whose in enumerate((customer, other, customer, customer))
    ]
    await provider.payments.close_checkouts(customer.id, before=opened[2].id)
    assert await provider.open_checkouts() == {opened[1].id, opened[2].id, opened[3].id}


async def test_who_is_no_customer_is_missing(provider: Provider):
    payments = provider.payments
    with pytest.raises(Missing):
        await payments.find_customer("cus_nobody")
    with pytest.raises(Missing):
        await payments.open_portal("cus_nobody", return_url=BACK, key="p")
    with pytest.raises(Missing):
        await payments.open_checkout("cus_nobody", STARTER, success_url=BACK, cancel_url=BACK, reference="r", key="c")
    for listed in (payments.subscriptions, payments.invoices, payments.payments):
        with pytest.raises(Missing):
            await listed("cus_nobody")


async def test_what_was_used_counts_once_by_its_identifier(provider: Provider):
    customer = await new_customer(provider)
    for key in ("a", "a", "b"):
        await provider.payments.report_usage(customer.id, 120, identifier="batch", at=NOW - HOUR, key=key)
    await provider.payments.report_usage(customer.id, 5, identifier="next", at=NOW - HOUR, key="c")
    start = NOW.replace(minute=0) - HOUR
    assert await provider.payments.reported_usage(customer.id, start, start + HOUR) == 125
    assert await provider.payments.reported_usage(customer.id, start - HOUR, start) == 0
