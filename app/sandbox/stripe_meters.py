"""Meters: what was used, by customer and hour."""

from collections import defaultdict

from app.sandbox.stripe_calls import Call, Routes, found, listing, part
from app.sandbox.stripe_errors import invalid, missing
from app.sandbox.stripe_world import Object, World, new_id

METER = "mtr_holdfast_credits"
EVENT_NAME = "holdfast_credits"

_HOUR, _DAY = 3_600, 86_400
_MINUTE = 60
_GROUPS = {"hour": _HOUR, "day": _DAY}
_OLDEST, _AHEAD = 35 * _DAY, 5 * _MINUTE


class Meters:
    """Adds up meter events. An identifier counts once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.duplicates_are_errors = True
        # What was used, by meter event name, customer and minute; which is as exact as one can ask.
        self.used: dict[str, dict[str, dict[int, int]]] = {}
        self.identifiers: set[str] = set()

    def routes(self) -> Routes:
        return {
            ("POST", "/v1/billing/meters"): self._create,
            ("GET", "/v1/billing/meters"): lambda call: listing(self._world, "meters", call),
            ("GET", "/v1/billing/meters/{id}"): lambda call: found(self._world, "meters", call, "meter"),
            ("GET", "/v1/billing/meters/{id}/event_summaries"): self._summaries,
            ("POST", "/v1/billing/meter_events"): self._report,
        }

    def clear(self) -> None:
        """Nothing was used."""
        self.used = {}
        self.identifiers = set()

    def stock(self) -> None:
        """Make the meter of the sandbox."""
        self._meter("Holdfast credits", EVENT_NAME, METER)

    def _create(self, call: Call) -> Object:
        taken = call.parameters
        name, event = taken.needed("display_name"), taken.needed("event_name")
        taken.child("default_aggregation").choice("formula", "sum")
        mapping, values = taken.child("customer_mapping"), taken.child("value_settings")
        mapping.ignore("event_payload_key", "type")
        values.ignore("event_payload_key")
        taken.finish()
        if any(each["event_name"] == event for each in self._world.collections["meters"].rows):
            raise invalid(f"A meter with the event name {event} already exists.", param="event_name")
        meter = self._meter(name, event)
        self._world.emit("billing.meter.created", meter)
        return meter

    def _meter(self, name: str, event: str, identifier: str | None = None) -> Object:
        now = self._world.now()
        meter = {
            "id": identifier or new_id("mtr_"),
            "object": "billing.meter",
            "created": now,
            "customer_mapping": {"event_payload_key": "stripe_customer_id", "type": "by_id"},
            "default_aggregation": {"formula": "sum"},
            "display_name": name,
            "event_name": event,
            "event_time_window": None,
            "livemode": False,
            "status": "active",
            "status_transitions": {"deactivated_at": None},
            "updated": now,
            "value_settings": {"event_payload_key": "value"},
        }
        return self._world.add("meters", meter)

    def _report(self, call: Call) -> Object:
        """A customer that nobody knows is no error here: Stripe finds out later."""
        taken, now = call.parameters, self._world.now()
        event, payload = taken.needed("event_name"), taken.child("payload")
        customer, value = payload.needed("stripe_customer_id"), payload.whole("value", least=-(10**12))
        identifier, at = taken.text("identifier") or new_id("mevt_"), taken.whole("timestamp")
        taken.finish()
        if value is None:
            raise missing("payload[value]")
        if not any(each["event_name"] == event for each in self._world.collections["meters"].rows):
            raise invalid(f"No active meter found for event name {event}.", param="event_name")
        at = now if at is None else at
        if not now - _OLDEST <= at <= now + _AHEAD:
            said = "The timestamp must be within the past 35 calendar days or up to 5 minutes in the future."
            raise invalid(said, param="timestamp")
        if identifier in self.identifiers:
            if self.duplicates_are_errors:
                raise invalid(f"An event already exists with identifier {identifier}.", param="identifier")
        else:
            self._world.revision += 1
            self.identifiers.add(identifier)
            minutes = self.used.setdefault(event, {}).setdefault(customer, {})
            minutes[at - at % _MINUTE] = minutes.get(at - at % _MINUTE, 0) + value
        return {
            "object": "billing.meter_event",
            "created": now,
            "event_name": event,
            "identifier": identifier,
            "livemode": False,
            "payload": {"stripe_customer_id": customer, "value": str(value)},
            "timestamp": at,
        }

    def _summaries(self, call: Call) -> Object:
        meter, taken = found(self._world, "meters", call, "meter"), call.parameters
        customer, start, end = taken.needed("customer"), taken.whole("start_time"), taken.whole("end_time")
        group = taken.choice("value_grouping_window", "hour", "day")
        if start is None or end is None:
            raise missing("start_time" if start is None else "end_time")
        step = _GROUPS[group] if group else _MINUTE
        if start % step or end % step or end <= start:
            said = f"Timestamps must be aligned with {group or 'minute'} boundaries, and the end after the start."
            raise invalid(said, param="start_time")
        sums: dict[int, int] = defaultdict(int)
        for minute, value in self.used.get(meter["event_name"], {}).get(customer, {}).items():
            if start <= minute < end:
                sums[minute - minute % step if group else start] += value
        length = step if group else end - start
        rows = [_summary(meter["id"], customer, at, at + length, sums[at]) for at in sorted(sums, reverse=True)]
        return part(rows, call)


def _summary(meter: str, customer: str, start: int, end: int, value: int) -> Object:
    return {
        # The same one is asked for with the next page.
        "id": f"mtrsum_{customer}_{start}_{end}",
        "object": "billing.meter_event_summary",
        "aggregated_value": float(value),
        "end_time": end,
        "livemode": False,
        "meter": meter,
        "start_time": start,
    }
