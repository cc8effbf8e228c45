"""The books of billing, kept twice: what docs/billing.md makes of the emulator's objects, and what our database says.

The first is written from the document and from Stripe's JSON alone, and shares no line with app/billing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.db import Sessions
from tests.builders import violations
from tests.stripe_sandbox import DAY, StripeSandbox

# The plan of a price, and its credits.
SOLD = {
    "price_starter_monthly": ("starter", 5_000),
    "price_starter_yearly": ("starter", 60_000),
    "price_growth_monthly": ("growth", 25_000),
    "price_growth_yearly": ("growth", 300_000),
    "price_scale_monthly": ("scale", 120_000),
}
RANKS = ("free", "starter", "growth", "scale")
ROLLOVER = {"starter": 1, "growth": 1, "scale": 2}
GRACE = 7 * DAY
KINDS = ("customers", "subscriptions", "invoices", "charges", "disputes", "events")

Object = dict[str, Any]


@dataclass
class Books:
    """Of one workspace, times in Unix seconds. `granted`: credits and expiry by invoice and line; `taken`: credits that
    were taken back, by invoice; `told`: how often it was told that an invoice was paid."""

    subscriptions: dict[str, Object] = field(default_factory=dict)
    invoices: dict[str, Object] = field(default_factory=dict)
    plan: str = "free"
    is_deleted: bool = False
    granted: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    balance: int = 0

    def marks(self) -> Iterable[str]:
        """What such a life has been through."""
        yield f"plan {self.plan}"
        yield from (f"subscription {each['status']}" for each in self.subscriptions.values())
        yield from (f"invoice {each['status']}" for each in self.invoices.values())
        yield from (f"dispute {each['dispute']}" for each in self.invoices.values() if each["dispute"] != "none")
        yield from ("refund" for each in self.invoices.values() if each["amount_refunded"])
        yield from ("taken back" for _ in self.taken)
        yield from ("granted" for _ in self.granted)
        if self.is_deleted:
            yield "deleted"

    def differences(self, theirs: "Books") -> list[str]:
        """In words; none where both say the same."""
        return list(_differences(self, theirs))


def _differences(ours: Books, theirs: Books) -> Iterable[str]:
    for name in (each.name for each in fields(Books)):
        mine, other = getattr(ours, name), getattr(theirs, name)
        if mine == other:
            continue
        if not isinstance(mine, dict):
            yield f"{name}: {mine}, and should be {other}"
            continue
        for key in sorted(mine.keys() | other.keys()):
            if mine.get(key) != other.get(key):
                yield f"{name} {key}: {mine.get(key)}, and should be {other.get(key)}"


class Stripe:
    """What the emulator has at one moment."""

    def __init__(self, objects: Mapping[str, Sequence[Object]]) -> None:
        self._of: dict[str, dict[str, list[Object]]] = {kind: defaultdict(list) for kind in KINDS}
        for kind in ("subscriptions", "invoices", "charges"):
            for each in objects[kind]:
                self._of[kind][each["customer"]].append(each)
        self.customers = {each["id"]: each for each in objects["customers"]}
        # One that is disputed is so once, whatever the bank says.
        self._disputes = {each["charge"]: each["status"] for each in objects["disputes"]}
        self._began: dict[tuple[str, int], set[int]] = defaultdict(set)
        for event in objects["events"]:
            self._note_period(event["data"]["object"])

    @classmethod
    async def read(cls, sandbox: StripeSandbox) -> "Stripe":
        objects = {kind: await sandbox.objects(kind) for kind in KINDS}
        for invoice in objects["invoices"]:
            if invoice["lines"]["has_more"]:
                lines = await sandbox.api.v1.invoices.line_items.list_async(invoice["id"], {"limit": 100})
                invoice["lines"]["data"] = [each.to_dict() for each in lines.data]
        return cls(objects)

    def _note_period(self, subscription: Object) -> None:
        """Of each state that a subscription was ever in: when its period began and ended."""
        if subscription["object"] == "subscription":
            [item] = subscription["items"]["data"]
            self._began[subscription["id"], item["current_period_end"]].add(item["current_period_start"])

    def books(self, customer: str, *, now: float) -> Books:
        """What a workspace should have that is this customer."""
        books = Books(is_deleted=customer not in self.customers)
        for subscription in self._of["subscriptions"][customer]:
            books.subscriptions[subscription["id"]] = _subscription(subscription)
        invoices = self._of["invoices"][customer]
        upgrades = self._upgrades(invoices)
        for invoice in invoices:
            self._add_invoice(books, invoice, self._of["charges"][customer], upgrades)
        books.plan = _plan(books, now)
        books.balance = sum(count for count, _ in books.granted.values()) - sum(books.taken.values())
        return books

    def _add_invoice(
        self,
        books: Books,
        invoice: Object,
        charges: Sequence[Object],
        upgrades: Mapping[tuple[str, str], tuple[int, int]],
    ) -> None:
        payments = {each["payment"]["payment_intent"] for each in invoice["payments"]["data"]}
        paid = [each for each in charges if each["payment_intent"] in payments and each["status"] == "succeeded"]
        refunded = sum(each["amount_refunded"] for each in paid)
        disputes = [_dispute(self._disputes[each["id"]]) for each in paid if each["id"] in self._disputes]
        [dispute] = disputes or ["none"]
        identifier = invoice["id"]
        books.invoices[identifier] = {
            "subscription_id": invoice["parent"]["subscription_details"]["subscription"],
            "status": invoice["status"],
            "number": invoice["number"],
            "currency": invoice["currency"],
            "amount_due": invoice["amount_due"],
            "amount_paid": invoice["amount_paid"],
            "amount_refunded": refunded,
            "dispute": dispute,
            "attempts": invoice["attempt_count"],
            "next_attempt_at": invoice["next_payment_attempt"],
            "created_at": invoice["created"],
            "paid_at": invoice["status_transitions"]["paid_at"],
        }
        if invoice["status"] != "paid":
            return
        books.told[identifier] = 1
        granted = _periods(invoice) | {line: grant for (of, line), grant in upgrades.items() if of == identifier}
        books.granted.update({(identifier, line): grant for line, grant in granted.items()})
        whole, paid_in_all = sum(count for count, _ in granted.values()), invoice["amount_paid"]
        taken = whole * refunded // paid_in_all if paid_in_all else 0
        if dispute in ("open", "lost"):
            taken = whole
        if taken:
            books.taken[identifier] = taken

    def _upgrades(self, invoices: Sequence[Object]) -> dict[tuple[str, str], tuple[int, int]]:
        """Of all invoices of a customer. What was granted of a period are areas of credits by time, all of which last
        to its end: a change adds what of its own lies in none that was there in an earlier second."""
        billed_at: dict[tuple[str, int, int], list[tuple[int, _Area]]] = defaultdict(list)
        paid_at: dict[tuple[str, int, int], list[tuple[int, _Area]]] = defaultdict(list)
        changes: list[tuple[int, Object, Sequence[Object]]] = []
        for invoice in invoices:
            parts: dict[tuple[str, int, int], list[Object]] = defaultdict(list)
            for line in invoice["lines"]["data"]:
                details, period = line["parent"][line["parent"]["type"]], line["period"]
                key = details["subscription"], period["start"], period["end"]
                if details["proration"]:
                    parts[key].append(line)
                elif line["amount"] > 0:
                    area = _Area(0, _credits([line]), period["start"])
                    billed_at[key].append((invoice["created"], area))
            if invoice["status"] == "paid":
                paid = invoice["status_transitions"]["paid_at"]
                changes += [(paid, invoice, lines) for lines in parts.values()]
        granted = {}
        for paid, invoice, lines in sorted(changes, key=lambda change: change[0]):
            billed = sorted((each for each in lines if each["amount"] > 0), key=lambda each: str(each["id"]))
            given_back = [each for each in lines if each["amount"] < 0]
            # Nothing comes with a downgrade.
            if not billed or not given_back or _credits(billed) <= _credits(given_back):
                continue
            subscription = billed[0]["parent"][billed[0]["parent"]["type"]]["subscription"]
            changed, end = billed[0]["period"]["start"], billed[0]["period"]["end"]
            began = max(each for each in self._began[subscription, end] if each <= changed)
            key = subscription, began, end
            there = [area for at, area in billed_at[key] if at < invoice["created"]]
            there += [area for at, area in paid_at[key] if at < paid]
            left = [_Area(_credits(given_back), _credits(billed), changed, end)]
            for area in there:
                left = [rest for each in left for rest in each.without(area)]
            paid_at[key].append((paid, _Area(_credits(given_back), _credits(billed), changed)))
            if more := sum(each.size for each in left) // (end - began):
                plan = SOLD[billed[0]["pricing"]["price_details"]["price"]][0]
                granted[invoice["id"], billed[0]["id"]] = more, end + ROLLOVER[plan] * (end - began)
        return granted


@dataclass(frozen=True)
class _Area:
    low: int
    high: int
    begin: int
    end: int = 2**40

    @property
    def size(self) -> int:
        return (self.high - self.low) * (self.end - self.begin)

    def without(self, other: "_Area") -> Iterable["_Area"]:
        """What of it lies below, above and before the other, which lasts longer."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        pieces = [
            _Area(self.low, min(self.high, other.low), self.begin, self.end),
            _Area(max(self.low, other.high), self.high, self.begin, self.end),
            _Area(low, high, self.begin, min(self.end, other.begin)),
        ]
        return [each for each in pieces if each.low < each.high and each.begin < each.end]


def _periods(invoice: Object) -> dict[str, tuple[int, int]]:
    granted = {}
    for line in invoice["lines"]["data"]:
        details, period = line["parent"][line["parent"]["type"]], line["period"]
        if not details["proration"] and line["amount"] > 0:
            plan = SOLD[line["pricing"]["price_details"]["price"]][0]
            expires = period["end"] + ROLLOVER[plan] * (period["end"] - period["start"])
            granted[line["id"]] = _credits([line]), expires
    return granted


def _credits(lines: Iterable[Object]) -> int:
    """Of whole periods of their prices."""
    return sum(SOLD[each["pricing"]["price_details"]["price"]][1] * each["quantity"] for each in lines)


def _subscription(subscription: Object) -> Object:
    [item] = subscription["items"]["data"]
    return {
        "status": subscription["status"],
        "price_id": item["price"]["id"],
        "quantity": item["quantity"],
        "period_start": item["current_period_start"],
        "period_end": item["current_period_end"],
        "cancel_at_period_end": subscription["cancel_at_period_end"],
        "cancel_at": subscription["cancel_at"],
        "canceled_at": subscription["canceled_at"],
        "ended_at": subscription["ended_at"],
        "created_at": subscription["created"],
    }


def _dispute(status: str) -> str:
    return "open" if status in ("needs_response", "under_review") else status


def _plan(books: Books, now: float) -> str:
    counting = ["free"]
    for identifier, subscription in books.subscriptions.items():
        owed = [
            each["created_at"]
            for each in books.invoices.values()
            if each["subscription_id"] == identifier and each["status"] == "open" and each["attempts"]
        ]
        is_in_grace = now < min(owed, default=subscription["period_start"]) + GRACE
        if subscription["status"] in ("trialing", "active") or (subscription["status"] == "past_due" and is_in_grace):
            counting.append(SOLD[subscription["price_id"]][0])
    return max(counting, key=RANKS.index)


async def our_books(sessions: Sessions, workspace_id: UUID) -> tuple[Books, list[str]]:
    """What our database has, and what of it contradicts itself or was done twice."""
    async with sessions.for_workspace(workspace_id) as session:

        async def rows(query: str) -> list[Object]:
            found = (await session.execute(text(query))).mappings()
            return [{name: _plain(value) for name, value in row.items()} for row in found]

        [workspace] = await rows("SELECT plan FROM workspaces")
        [customer] = await rows("SELECT is_deleted FROM billing_customers")
        subscriptions = await rows("""
            SELECT id, status, price_id, quantity, period_start, period_end, cancel_at_period_end, cancel_at,
                   canceled_at, ended_at, created_at
            FROM billing_subscriptions
        """)
        invoices = await rows("""
            SELECT id, subscription_id, status, number, currency, amount_due, amount_paid, amount_refunded, dispute,
                   attempts, next_attempt_at, created_at, paid_at
            FROM billing_invoices
        """)
        kept = await rows("SELECT id, credits_granted, credits_clawed_back FROM billing_invoices")
        grants = await rows("SELECT invoice_id, line_id, credits, expires_at FROM billing_grants")
        entries = await rows("SELECT kind, amount, business_key, reference_id FROM credit_entries ORDER BY seq")
        accounts = await rows("SELECT balance, held FROM credit_accounts")
        told = await rows("SELECT data ->> 'invoice_id' AS id FROM events WHERE type = 'billing.invoice.paid'")
        pending = await rows("SELECT id FROM billing_events WHERE state <> 'applied'")
        running = await rows("SELECT id FROM billing_syncs WHERE finished_at IS NULL")
    books = Books(
        subscriptions={each.pop("id"): each for each in subscriptions},
        invoices={each.pop("id"): each for each in invoices},
        plan=workspace["plan"] or "free",
        is_deleted=customer["is_deleted"],
        told=dict(Counter(each["id"] for each in told)),
        balance=accounts[0]["balance"] if accounts else 0,
    )
    expiry = {(each["invoice_id"], each["line_id"]): each["expires_at"] for each in grants}
    taken: Counter[str] = Counter()
    for entry in entries:
        kind, invoice, *rest = entry["business_key"].split(":")
        assert kind == "invoice", entry
        if entry["kind"] == "grant":
            [_, line] = rest
            books.granted[invoice, line] = entry["amount"], expiry.pop((invoice, line), 0)
        else:
            assert entry["kind"] in ("clawback", "refund"), entry
            taken[invoice] -= entry["amount"]
    books.taken = {invoice: count for invoice, count in taken.items() if count}
    wrong = await violations(sessions, workspace_id)
    doubled = [key for key, times in Counter(each["business_key"] for each in entries).items() if times > 1]
    wrong += [f"{key} stands in the ledger more than once" for key in doubled]
    wrong += [f"{invoice} {line} granted, and is not in the ledger" for invoice, line in expiry]
    wrong += [f"{each['id']} is not applied" for each in pending]
    wrong += [f"the comparison {each['id']} has not ended" for each in running]
    for each in kept:
        granted = sum(count for (invoice, _), (count, _) in books.granted.items() if invoice == each["id"])
        if (each["credits_granted"], each["credits_clawed_back"]) != (granted, taken[each["id"]]):
            wrong.append(f"{each['id']} says of its credits what the ledger does not")
    return books, wrong


def _plain(value: Any) -> Any:
    return int(value.timestamp()) if isinstance(value, datetime) else value
