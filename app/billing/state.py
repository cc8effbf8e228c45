"""What the payment provider has of one customer, read in one go."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.providers.payments import Invoice, PayingCustomer, Payment, Subscription


@dataclass(frozen=True, slots=True)
class CustomerState:
    """All of a customer: also what has ended, and all invoices and payments there ever were."""

    customer: PayingCustomer
    subscriptions: Sequence[Subscription]
    invoices: Sequence[Invoice]
    payments: Sequence[Payment]
