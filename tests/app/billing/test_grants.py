"""The decision table of docs/billing.md: what invoices grant, and what of it is taken back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.billing.facts import by_payment_id
from app.billing.grants import Returned, clawed_back, grants_of, returned
from app.billing.plans import load_plans
from app.providers.payments import Invoice, InvoiceLine, Payment

PLANS = load_plans(None)
START = datetime(2026, 11, 1, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)
MIDDLE = START + (END - START) / 2
MONTH = END - START
STARTER, GROWTH, SCALE = "price_starter_monthly", "price_growth_monthly", "price_scale_monthly"
YEARLY = "price_growth_yearly"


def line(id: str = "il_1", price: str | None = STARTER, amount: int = 4900, **more: Any) -> InvoiceLine:
    values: dict[str, Any] = {
        "subscription_id": "sub_1",
        "quantity": 1,
        "period_start": START,
        "period_end": END,
        "is_proration": False,
    }
    return InvoiceLine(id=id, price_id=price, amount=amount, **values | more)


def change(at: datetime, old: str, new: str, **more: Any) -> tuple[InvoiceLine, InvoiceLine]:
    """The lines of a change within the period: the rest of the old price back, that of the new one billed."""
    values = {"id": f"il_bill_{new}", "period_start": at, "is_proration": True} | more
    return line(price=old, amount=-2450, **values | {"id": f"il_back_{old}"}), line(price=new, amount=9950, **values)


def invoice(*lines: InvoiceLine, id: str = "in_1", **more: Any) -> Invoice:
    at = max((line.period_start for line in lines if line.is_proration), default=START)
    values: dict[str, Any] = {
        "customer_id": "cus_1",
        "subscription_id": "sub_1",
        "status": "paid",
        "number": None,
        "currency": "usd",
        "amount_due": 4900,
        "amount_paid": 4900,
        "attempts": 1,
        "next_attempt_at": None,
        "hosted_url": None,
        "payment_ids": (f"pi_{id}",),
        "created_at": at,
        "paid_at": at,
    }
    return Invoice(id=id, lines=lines, **values | more)


def payment(id: str = "ch_1", payment_id: str = "pi_in_1", **more: Any) -> Payment:
    values: dict[str, Any] = {"amount": 4900, "refunded": 0, "dispute": "none", "created_at": START}
    return Payment(id=id, payment_id=payment_id, customer_id="cus_1", **values | more)


def granted(*invoices: Invoice) -> dict[str, int]:
    """By the line's id."""
    return {grant.line_id: grant.credits for grant in grants_of(invoices, PLANS)}


REGULAR = invoice(line())

# Each is a row of the first table of docs/billing.md: the invoices, and the credits that their lines grant.
GRANTS: dict[str, tuple[Sequence[Invoice], dict[str, int]]] = {
    "a paid period": ([REGULAR], {"il_1": 5_000}),
    "a paid year": ([invoice(line(price=YEARLY))], {"il_1": 300_000}),
    "each unit of the quantity": ([invoice(line(quantity=3))], {"il_1": 15_000}),
    "several lines": ([invoice(line(), line("il_2", GROWTH))], {"il_1": 5_000, "il_2": 25_000}),
    "a draft": ([invoice(line(), status="draft")], {}),
    "an open invoice": ([invoice(line(), status="open")], {}),
    "a void invoice": ([invoice(line(), status="void")], {}),
    "an uncollectible invoice": ([invoice(line(), status="uncollectible")], {}),
    "a trial": ([invoice(line(amount=0), amount_paid=0)], {}),
    "a price of no plan": ([invoice(line(price="price_support"))], {}),
    "a line without a price": ([invoice(line(price=None))], {}),
    "a period that a coupon paid": ([invoice(line(), amount_paid=0)], {"il_1": 5_000}),
    "an upgrade in the middle": (
        [REGULAR, invoice(*change(MIDDLE, STARTER, GROWTH), id="in_2")],
        {"il_1": 5_000, "il_bill_price_growth_monthly": 10_000},
    ),
    "an upgrade that leaves a part of a credit": (
        [REGULAR, invoice(*change(END - timedelta(seconds=1), STARTER, GROWTH), id="in_2")],
        {"il_1": 5_000},
    ),
    "an upgrade that is not paid": (
        [REGULAR, invoice(*change(MIDDLE, STARTER, GROWTH), id="in_2", status="open")],
        {"il_1": 5_000},
    ),
    "an upgrade billed with the next period": (
        [
            REGULAR,
            invoice(*change(MIDDLE, STARTER, GROWTH), line("il_2", GROWTH, period_start=END), id="in_2"),
        ],
        {"il_1": 5_000, "il_bill_price_growth_monthly": 10_000, "il_2": 25_000},
    ),
    "two upgrades in a period": (
        [
            REGULAR,
            invoice(*change(MIDDLE, STARTER, GROWTH), id="in_2"),
            invoice(*change(MIDDLE + MONTH / 4, GROWTH, SCALE), id="in_3"),
        ],
        {"il_1": 5_000, "il_bill_price_growth_monthly": 10_000, "il_bill_price_scale_monthly": 23_750},
    ),
    "an upgrade in a period that ends with a longer one": (
        [
            invoice(line("il_year", "price_starter_yearly", period_start=END - timedelta(days=365))),
            invoice(line("il_month"), id="in_2"),
            invoice(*change(MIDDLE, STARTER, GROWTH), id="in_3"),
        ],
        {"il_year": 60_000, "il_month": 5_000, "il_bill_price_growth_monthly": 10_000},
    ),
    "up, down and up again": (
        [
            REGULAR,
            invoice(*change(MIDDLE, STARTER, GROWTH), id="in_2"),
            invoice(*change(MIDDLE + MONTH / 8, GROWTH, STARTER), id="in_3"),
            invoice(*change(MIDDLE + MONTH / 4, STARTER, GROWTH), id="in_4"),
        ],
        {"il_1": 5_000, "il_bill_price_growth_monthly": 10_000},
    ),
    "up, down and further up": (
        [
            REGULAR,
            invoice(*change(MIDDLE, STARTER, GROWTH), id="in_2"),
            invoice(*change(MIDDLE + MONTH / 8, GROWTH, STARTER), id="in_3"),
            invoice(*change(MIDDLE + MONTH / 4, STARTER, SCALE), id="in_4"),
        ],
        {"il_1": 5_000, "il_bill_price_growth_monthly": 10_000, "il_bill_price_scale_monthly": 23_750},
    ),
    "down and up again": (
        [
            invoice(line(price=GROWTH)),
            invoice(*change(MIDDLE, GROWTH, STARTER), id="in_2"),
            invoice(*change(MIDDLE + MONTH / 4, STARTER, GROWTH), id="in_3"),
        ],
        {"il_1": 25_000},
    ),
    "an upgrade that is paid after it was made again": (
        [
            REGULAR,
            invoice(*change(MIDDLE, STARTER, GROWTH, id="il_late"), id="in_2", paid_at=END),
            invoice(*change(MIDDLE + MONTH / 8, GROWTH, STARTER), id="in_3"),
            invoice(*change(MIDDLE + MONTH / 4, STARTER, GROWTH), id="in_4"),
        ],
        {"il_1": 5_000, "il_bill_price_growth_monthly": 5_000, "il_late": 5_000},
    ),
    "two upgrades at once": (
        [REGULAR, invoice(*change(MIDDLE, STARTER, GROWTH), *change(MIDDLE, GROWTH, SCALE), id="in_2")],
        {"il_1": 5_000, "il_bill_price_growth_monthly": 57_500},
    ),
    "more of the same": (
        [
            REGULAR,
            invoice(
                line("il_back", amount=-2450, period_start=MIDDLE, is_proration=True),
                line("il_bill", amount=7350, quantity=3, period_start=MIDDLE, is_proration=True),
                id="in_2",
            ),
        ],
        {"il_1": 5_000, "il_bill": 5_000},
    ),
    "a downgrade": (
        [invoice(line(price=GROWTH)), invoice(*change(MIDDLE, GROWTH, STARTER), id="in_2")],
        {"il_1": 25_000},
    ),
    "another interval": (
        [
            REGULAR,
            invoice(
                line("il_back", amount=-2450, period_start=MIDDLE, is_proration=True),
                line("il_year", YEARLY, period_start=MIDDLE, period_end=MIDDLE + timedelta(days=365)),
                id="in_2",
            ),
        ],
        {"il_1": 5_000, "il_year": 300_000},
    ),
    "a change between intervals": ([REGULAR, invoice(*change(MIDDLE, STARTER, YEARLY), id="in_2")], {"il_1": 5_000}),
    "a change from a price of no plan": (
        [REGULAR, invoice(*change(MIDDLE, "price_support", GROWTH), id="in_2")],
        {"il_1": 5_000},
    ),
    "a part of a period without another": (
        [REGULAR, invoice(line("il_2", GROWTH, period_start=MIDDLE, is_proration=True), id="in_2")],
        {"il_1": 5_000},
    ),
    "a change in a period that was never billed": ([invoice(*change(MIDDLE, STARTER, GROWTH))], {}),
    "a change of another subscription": (
        [REGULAR, invoice(*change(MIDDLE, STARTER, GROWTH, subscription_id="sub_2"), id="in_2")],
        {"il_1": 5_000},
    ),
    "a change in a trial": (
        [
            invoice(line(amount=0)),
            invoice(
                line("il_back", amount=0, period_start=MIDDLE, is_proration=True),
                line("il_bill", GROWTH, amount=0, period_start=MIDDLE, is_proration=True),
                id="in_2",
            ),
        ],
        {},
    ),
}

Dispute = Literal["none", "open", "won", "lost"]

# Each is a row of the second table: granted, paid, refunded, dispute, and how many credits are taken back in all.
CLAWBACKS: dict[str, tuple[int, int, int, Dispute, int]] = {
    "nothing went back": (5_000, 4_900, 0, "none", 0),
    "a full refund": (5_000, 4_900, 4_900, "none", 5_000),
    "a half": (5_000, 4_900, 2_450, "none", 2_500),
    "a part is rounded down": (5_000, 4_900, 1, "none", 1),
    "less than a credit's worth": (10, 4_900, 1, "none", 0),
    "more than was paid": (5_000, 4_900, 5_000, "none", 5_000),
    "an open dispute": (5_000, 4_900, 0, "open", 5_000),
    "a lost dispute": (5_000, 4_900, 0, "lost", 5_000),
    "a won dispute": (5_000, 4_900, 0, "won", 0),
    "a won dispute of what was refunded in part": (5_000, 4_900, 2_450, "won", 2_500),
    "a dispute of what was refunded": (5_000, 4_900, 4_900, "lost", 5_000),
    "nothing was paid": (5_000, 0, 0, "none", 0),
    "nothing was granted": (0, 4_900, 4_900, "lost", 0),
}


@pytest.mark.parametrize("case", GRANTS)
def test_an_invoice_grants(case: str):
    invoices, expected = GRANTS[case]
    assert granted(*invoices) == expected


@pytest.mark.parametrize("case", CLAWBACKS)
def test_an_invoice_gives_back(case: str):
    amount, paid, refunded, dispute, expected = CLAWBACKS[case]
    assert clawed_back(amount, paid, Returned(refunded, dispute)) == expected


def test_credits_expire_so_many_periods_after_their_own():
    [starter] = grants_of([REGULAR], PLANS)
    [scale] = grants_of([invoice(line(price=SCALE))], PLANS)
    _, upgrade = grants_of([REGULAR, invoice(*change(MIDDLE, STARTER, GROWTH), id="in_2")], PLANS)
    assert starter.expires_at == END + MONTH
    assert scale.expires_at == END + 2 * MONTH
    assert (upgrade.kind, upgrade.expires_at) == ("upgrade", END + MONTH)


def test_credits_of_a_plan_without_a_rollover_never_expire():
    starter = PLANS.get("starter")
    assert starter is not None
    plans = type(PLANS)([PLANS.free, replace(starter, rollover_periods=None)])
    assert [grant.expires_at for grant in grants_of([REGULAR], plans)] == [None]


def test_a_grant_has_the_key_of_its_line():
    assert [grant.key for grant in grants_of([REGULAR], PLANS)] == ["invoice:in_1:line:il_1"]


@pytest.mark.parametrize(
    ("disputes", "expected"),
    [
        (("none", "none"), "none"),
        (("won", "none"), "won"),
        (("open", "won"), "open"),
        (("open", "lost"), "lost"),
    ],
)
def test_of_several_payments_of_an_invoice_the_worst_dispute_counts(disputes: tuple[Dispute, Dispute], expected: str):
    both = replace(REGULAR, payment_ids=("pi_1", "pi_2"))
    first, second = disputes
    made = [
        payment("ch_1", "pi_1", dispute=first, refunded=100),
        payment("ch_2", "pi_2", dispute=second, refunded=20),
        payment("ch_3", "pi_of_another", dispute="lost", refunded=4900),
    ]
    assert returned(both, by_payment_id(made)) == Returned(120, expected)  # type: ignore[arg-type]


def test_an_invoice_without_a_payment_gives_nothing_back():
    assert returned(replace(REGULAR, payment_ids=()), by_payment_id([payment(refunded=4900)])) == Returned(0, "none")


@dataclass(frozen=True)
class Life:
    invoices: list[Invoice]
    payments: list[Payment]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """A customer who changes plans, pays or does not, and gets money back."""
    prices = st.sampled_from([STARTER, GROWTH, SCALE, YEARLY, "price_support"])
    statuses = st.sampled_from(["draft", "open", "paid", "paid", "paid", "uncollectible", "void"])
    made = [invoice(line(price=draw(prices), quantity=draw(st.integers(1, 3))), status=draw(statuses))]
    for number in range(2, 2 + draw(st.integers(0, 4))):
        at = START + MONTH * draw(st.floats(0, 1))
        lines = change(at, draw(prices), draw(prices))
        made.append(invoice(*lines, id=f"in_{number}", status=draw(statuses)))
    amounts = st.integers(0, 4900)
    disputes = st.sampled_from(["none", "open", "won", "lost"])
    paid = [
        payment(f"ch_{each.id}", each.payment_ids[0], refunded=draw(amounts), dispute=draw(disputes)) for each in made
    ]
    return Life(made, paid)


def outcome(life: Life) -> dict[str, tuple[int, int]]:
    """Granted and taken back, by invoice."""
    payments = by_payment_id(life.payments)
    found = {}
    for each in life.invoices:
        total = sum(grant.credits for grant in grants_of(life.invoices, PLANS) if grant.invoice_id == each.id)
        found[each.id] = (total, clawed_back(total, each.amount_paid, returned(each, payments)))
    return found


@given(lives(), st.randoms(use_true_random=False))
def test_the_order_of_what_stripe_lists_does_not_matter(life: Life, random: Any):
    def shuffled(items: Sequence[Any]) -> list[Any]:
        return random.sample(items, len(items))

    other = Life([replace(each, lines=tuple(shuffled(each.lines))) for each in life.invoices], life.payments)
    other = Life(shuffled(other.invoices), shuffled(other.payments))
    assert outcome(other) == outcome(life)
    assert grants_of(other.invoices, PLANS) == grants_of(life.invoices, PLANS)


@given(lives())
def test_no_more_is_taken_back_than_was_granted_and_nothing_is_granted_twice(life: Life):
    keys = [grant.key for grant in grants_of(life.invoices, PLANS)]
    assert len(keys) == len(set(keys))
    assert all(grant.credits > 0 for grant in grants_of(life.invoices, PLANS))
    assert all(0 <= back <= total for total, back in outcome(life).values())


@given(lives())
def test_only_what_is_paid_grants(life: Life):
    unpaid = {each.id for each in life.invoices if each.status != "paid"}
    assert not unpaid & {grant.invoice_id for grant in grants_of(life.invoices, PLANS)}


def more_refunded(payment: Payment) -> Payment:
    return replace(payment, refunded=payment.amount)


def disputed(payment: Payment) -> Payment:
    return replace(payment, dispute="lost")


@pytest.mark.parametrize("worse", [more_refunded, disputed])
@given(life=lives())
def test_whoever_gets_more_money_back_keeps_no_more_credits(worse: Callable[[Payment], Payment], life: Life):
    before = outcome(life)
    after = outcome(Life(life.invoices, [worse(each) for each in life.payments]))
    assert all(after[each][1] >= before[each][1] for each in before)


def rows_of(heading: str) -> list[str]:
    """The first cells of the table below a heading of docs/billing.md."""
    text = Path("docs/billing.md").read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [row.split("|")[1].strip() for row in section.splitlines() if row.startswith("| ")][1:]


def test_each_row_of_the_documented_tables_is_a_case_here():
    assert sorted(rows_of("Which credits an invoice grants")) == sorted(GRANTS)
    assert sorted(rows_of("Which credits are taken back")) == sorted(CLAWBACKS)
