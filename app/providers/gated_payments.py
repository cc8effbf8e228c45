"""The payment provider behind its gate."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from app.providers.circuit import Circuit
from app.providers.gate import Gate
from app.providers.metrics import ProviderMetrics
from app.providers.payments import (
    HostedPage,
    Invoice,
    Page,
    PayingCustomer,
    Payment,
    PaymentEvent,
    PaymentsApi,
    Subscription,
)
from app.providers.ports import always
from app.providers.quota import INSTALLATION, Quota

Got = TypeVar("Got")


class PaymentsAdapter(PaymentsApi, Protocol):
    """A vendor's wire format behind the gate: a PaymentsApi that makes one attempt a call and knows no circuit, no
    limit and no history."""

    @property
    def name(self) -> str:
        """The registry name."""

    @property
    def timeout_seconds(self) -> float:
        """After so long the gate takes a call for failed."""

    async def close(self) -> None:
        """Close every connection."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """Whom a call is about, which circuits count evidence by: a customer, a workspace, or all of one kind. Those of one
    customer wait in turn with those of others."""

    key: str
    workspace_id: UUID | None = None
    is_wanted: Callable[[], bool] = always


class GatedPayments(Gate):
    """A PaymentsApi: each call takes the way that every call to a provider takes."""

    def __init__(
        self,
        adapter: PaymentsAdapter,
        circuit: Circuit,
        metrics: ProviderMetrics,
        *,
        concurrency: int,
        quota: Quota | None = None,
        is_enabled: bool = True,
    ) -> None:
        super().__init__(
            adapter.name,
            circuit,
            metrics,
            timeout_seconds=adapter.timeout_seconds,
            concurrency=concurrency,
            quota=quota,
            is_enabled=is_enabled,
        )
        self._adapter = adapter

    async def create_customer(self, workspace_id: UUID, name: str, *, key: str) -> PayingCustomer:
        return await self._ask(
            _Turn(str(workspace_id), workspace_id),
            lambda: self._adapter.create_customer(workspace_id, name, key=key),
        )

    async def open_checkout(
        self, customer_id: str, price_id: str, *, success_url: str, cancel_url: str, reference: str, key: str
    ) -> HostedPage:
        return await self._ask(
            _Turn(customer_id),
            lambda: self._adapter.open_checkout(
                customer_id, price_id, success_url=success_url, cancel_url=cancel_url, reference=reference, key=key
            ),
        )

    async def close_checkouts(self, customer_id: str, *, before: str) -> None:
        await self._ask(_Turn(customer_id), lambda: self._adapter.close_checkouts(customer_id, before=before))

    async def open_portal(self, customer_id: str, *, return_url: str, key: str) -> HostedPage:
        return await self._ask(
            _Turn(customer_id), lambda: self._adapter.open_portal(customer_id, return_url=return_url, key=key)
        )

    async def cancel_subscription(self, subscription_id: str) -> None:
        await self._ask(_Turn(subscription_id), lambda: self._adapter.cancel_subscription(subscription_id))

    async def report_usage(self, customer_id: str, credits: int, *, identifier: str, at: datetime, key: str) -> None:
        await self._ask(
            _Turn(customer_id),
            lambda: self._adapter.report_usage(customer_id, credits, identifier=identifier, at=at, key=key),
        )

    async def reported_usage(self, customer_id: str, since: datetime, until: datetime) -> int:
        return await self._ask(_Turn(customer_id), lambda: self._adapter.reported_usage(customer_id, since, until))

    async def customers(self, *, since: datetime | None = None, after: str | None = None) -> Page[PayingCustomer]:
        return await self._ask(_Turn("customers"), lambda: self._adapter.customers(since=since, after=after))

    async def subscriptions(
        self, customer_id: str | None = None, *, since: datetime | None = None, after: str | None = None
    ) -> Page[Subscription]:
        return await self._ask(
            _Turn(customer_id or "subscriptions"),
            lambda: self._adapter.subscriptions(customer_id, since=since, after=after),
        )

    async def invoices(
        self, customer_id: str | None = None, *, since: datetime | None = None, after: str | None = None
    ) -> Page[Invoice]:
        return await self._ask(
            _Turn(customer_id or "invoices"), lambda: self._adapter.invoices(customer_id, since=since, after=after)
        )

    async def payments(
        self, customer_id: str | None = None, *, since: datetime | None = None, after: str | None = None
    ) -> Page[Payment]:
        return await self._ask(
            _Turn(customer_id or "payments"), lambda: self._adapter.payments(customer_id, since=since, after=after)
        )

    async def events(self, *, since: datetime | None = None, after: str | None = None) -> Page[PaymentEvent]:
        return await self._ask(_Turn("events"), lambda: self._adapter.events(since=since, after=after))

    async def find_customer(self, customer_id: str) -> PayingCustomer:
        return await self._ask(_Turn(customer_id), lambda: self._adapter.find_customer(customer_id))

    async def close(self) -> None:
        """Close every connection."""
        await self._adapter.close()

    async def _ask(self, turn: _Turn, call: Callable[[], Awaitable[Got]]) -> Got:
        self._refuse_unavailable()
        return await self._pass(turn, INSTALLATION, _made, call)


async def _made(call: Callable[[], Awaitable[Got]]) -> Got:
    return await call()
