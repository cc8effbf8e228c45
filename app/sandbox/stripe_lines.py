"""Lines of invoices, and the periods that they are for."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta

from app.sandbox.stripe_world import Object, new_id

_MONTHS = {"month": 1, "year": 12}
_DAYS = {"day": 1, "week": 7}


def period_after(anchor: int, moment: int, recurring: Object) -> int:
    """The end of the period that `moment` is in: whole intervals after the anchor. A subscription that began on the
    31st ends its months on their last day."""
    interval, number = recurring["interval"], recurring["interval_count"]
    begin = datetime.fromtimestamp(anchor, UTC)
    if interval in _DAYS:
        step = timedelta(days=_DAYS[interval] * number)
        passed = (datetime.fromtimestamp(moment, UTC) - begin) // step
        return int((begin + step * (passed + 1)).timestamp())
    months = _MONTHS[interval] * number
    now = datetime.fromtimestamp(moment, UTC)
    # One interval early: the day of the month decides whether it is over.
    passed = max(0, ((now.year - begin.year) * 12 + now.month - begin.month) // months - 1)
    while (end := _months_later(begin, months * (passed + 1))) <= moment:
        passed += 1
    return end


def _months_later(begin: datetime, months: int) -> int:
    year, month = divmod(begin.month - 1 + months, 12)
    year, month = begin.year + year, month + 1
    day = min(begin.day, monthrange(year, month)[1])
    return int(begin.replace(year=year, month=month, day=day).timestamp())


def line(
    subscription: Object,
    price: Object,
    quantity: int,
    amount: int,
    period: tuple[int, int],
    *,
    proration: str | None = None,
    description: str | None = None,
) -> Object:
    """A line for a price. `proration` is the kind of parent that says so, None where it is none."""
    details: Object = {
        "proration": proration is not None,
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"],
    }
    parent = proration or "subscription_item_details"
    if parent == "subscription_item_details":
        details |= {"invoice_item": None, "subscription_item": subscription["items"]["data"][0]["id"]}
    else:
        details["invoice_item"] = new_id("ii_")
    return {
        "id": new_id("il_"),
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": description or f"{quantity} × {price['id']}",
        "discount_amounts": [],
        "discountable": proration is None,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": None,
            "type": parent,
            parent: details,
        },
        "period": {"start": period[0], "end": period[1]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": quantity,
        "subtotal": amount,
        "taxes": [],
    }
