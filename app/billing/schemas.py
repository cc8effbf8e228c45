"""The shapes of plans, subscriptions and invoices in answers."""

from datetime import datetime
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from app.billing.entitlements import Standing, Status
from app.billing.facts import InvoiceFacts
from app.billing.plans import Interval, Plan, Plans
from app.billing.repository import StoredInvoice
from app.billing.service import Billing
from app.pagination import Cursor
from app.plan_limits.limits import PlanLimits
from app.providers.payments import InvoiceStatus, SubscriptionStatus

_LIMITS: dict[str, JsonValue] = {
    "records_per_job": 500000,
    "members": 100,
    "requests_per_minute": 6000,
    "fairness_weight": 2.0,
}


class LimitsOut(BaseModel):
    """What a plan allows; null: as much as the installation does."""

    records_per_job: int | None
    members: int | None = Field(description="Open invitations included.")
    requests_per_minute: int | None = Field(description="Of all callers of the workspace together.")
    fairness_weight: float | None = Field(
        description="Where work of several workspaces waits: 2 is served twice as often as 1."
    )

    @classmethod
    def of(cls, limits: PlanLimits) -> Self:
        return cls(**{name: getattr(limits, name) for name in cls.model_fields})


class PriceOut(BaseModel):
    """What a plan costs is said by Stripe; this is what the price is called there, and what each of its periods
    grants."""

    id: str
    interval: Interval
    credits: int = Field(description="Of each period, for each unit of the quantity.")


class PlanOut(BaseModel):
    """A plan that can be had."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "growth",
                    "title": "Growth",
                    "prices": [{"id": "price_growth_monthly", "interval": "month", "credits": 25000}],
                    "rollover_periods": 1,
                    "limits": _LIMITS,
                }
            ]
        }
    )

    name: str
    title: str
    prices: list[PriceOut] = Field(description="None: it costs nothing.")
    rollover_periods: int | None = Field(
        description="How many periods after their own granted credits can still be spent; null: always."
    )
    limits: LimitsOut

    @classmethod
    def of(cls, plan: Plan) -> Self:
        return cls(
            name=plan.name,
            title=plan.title,
            prices=[PriceOut(id=price.id, interval=price.interval, credits=price.credits) for price in plan.prices],
            rollover_periods=plan.rollover_periods,
            limits=LimitsOut.of(plan.limits),
        )


class SubscriptionOut(BaseModel):
    """A subscription as Stripe had it last."""

    id: str
    status: SubscriptionStatus
    price: str = Field(description="Stripe's id of it.")
    interval: Interval | None = Field(description="Null for a price of no plan.")
    quantity: int
    current_period_start: datetime
    current_period_end: datetime
    cancel_at_period_end: bool
    grace_until: datetime | None = Field(description="How long the plan is kept although a payment failed.")

    @classmethod
    def of(cls, standing: Standing, plans: Plans) -> Self | None:
        subscription = standing.subscription
        if subscription is None:
            return None
        sold = plans.price(subscription.price_id)
        return cls(
            id=subscription.id,
            status=subscription.status,
            price=subscription.price_id,
            interval=sold[1].interval if sold else None,
            quantity=subscription.quantity,
            current_period_start=subscription.period_start,
            current_period_end=subscription.period_end,
            cancel_at_period_end=subscription.cancel_at_period_end,
            grace_until=standing.grace_until,
        )


class BillingOut(BaseModel):
    """What a workspace has bought."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "plan": "growth",
                    "status": "active",
                    "subscription": {
                        "id": "sub_1SVbpzKZ8hXcQ4mB2nQ5rT8u",
                        "status": "active",
                        "price": "price_growth_monthly",
                        "interval": "month",
                        "quantity": 1,
                        "current_period_start": "2026-11-01T09:30:00Z",
                        "current_period_end": "2026-12-01T09:30:00Z",
                        "cancel_at_period_end": False,
                        "grace_until": None,
                    },
                    "limits": _LIMITS,
                    "last_synced_at": "2026-11-21T09:30:00.000000Z",
                }
            ]
        }
    )

    plan: str = Field(description="As GET /billing/plans names it.")
    status: Status = Field(description="Of the subscription, in fewer words.")
    subscription: SubscriptionOut | None = Field(description="The one that counts; null: there never was one.")
    limits: LimitsOut
    last_synced_at: datetime | None = Field(description="When this was last read from Stripe; null: never.")

    @classmethod
    def of(cls, billing: Billing, plans: Plans) -> Self:
        return cls(
            plan=billing.plan.name,
            status=billing.standing.status,
            subscription=SubscriptionOut.of(billing.standing, plans),
            limits=LimitsOut.of(billing.plan.limits),
            last_synced_at=billing.synced_at,
        )


class InvoiceOut(BaseModel):
    """An invoice as Stripe had it last; amounts in minor units of the currency."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "in_1SVbpzKZ8hXcQ4mB7vN1wX3y",
                    "number": "HF-0001",
                    "subscription_id": "sub_1SVbpzKZ8hXcQ4mB2nQ5rT8u",
                    "status": "paid",
                    "currency": "usd",
                    "amount_due": 19900,
                    "amount_paid": 19900,
                    "amount_refunded": 0,
                    "disputed": False,
                    "attempts": 1,
                    "next_attempt_at": None,
                    "credits_granted": 25000,
                    "credits_clawed_back": 0,
                    "hosted_url": "https://invoice.stripe.com/i/acct_1/test_1",
                    "created_at": "2026-11-01T09:30:00Z",
                    "paid_at": "2026-11-01T10:31:00Z",
                }
            ]
        }
    )

    id: str
    number: str | None
    subscription_id: str | None
    status: InvoiceStatus
    currency: str
    amount_due: int
    amount_paid: int
    amount_refunded: int
    disputed: bool = Field(description="A payment of it is disputed, or was and the dispute was lost.")
    attempts: int = Field(description="To collect it.")
    next_attempt_at: datetime | None
    credits_granted: int
    credits_clawed_back: int = Field(description="Because it was refunded or disputed.")
    hosted_url: str | None = Field(description="Stripe's page of it, where it is also paid.")
    created_at: datetime
    paid_at: datetime | None

    @classmethod
    def of(cls, invoice: StoredInvoice) -> Self:
        facts: InvoiceFacts = invoice.facts
        return cls(
            id=facts.id,
            number=facts.number,
            subscription_id=facts.subscription_id,
            status=facts.status,
            currency=facts.currency,
            amount_due=facts.amount_due,
            amount_paid=facts.amount_paid,
            amount_refunded=facts.amount_refunded,
            disputed=facts.dispute in ("open", "lost"),
            attempts=facts.attempts,
            next_attempt_at=facts.next_attempt_at,
            credits_granted=invoice.credits_granted,
            credits_clawed_back=invoice.credits_clawed_back,
            hosted_url=facts.hosted_url,
            created_at=facts.created_at,
            paid_at=facts.paid_at,
        )


class InvoiceCursor(Cursor):
    """The newest first: the next page begins before this one."""

    # As JSON has it, a time is text.
    model_config = ConfigDict(strict=False)

    created_at: AwareDatetime
    id: str = Field(min_length=1, max_length=255)
