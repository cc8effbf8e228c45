"""The shape of a provider in answers."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.catalog.service import Listing
from app.providers.ports import Entity

Circuit = Literal["closed", "open", "half_open"]


class ProviderLimitOut(BaseModel):
    """No more than `calls` are made in any `seconds`, with one credential."""

    calls: int
    seconds: int


class ProviderOut(BaseModel):
    """A provider of facts about companies and people."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "hunter",
                    "entities": ["company", "person"],
                    "fields": {"company": ["name", "industry"], "person": ["email", "title"]},
                    "lookup_keys": {
                        "company": [["domain"]],
                        "person": [["email"], ["linkedin_url"], ["domain", "full_name"]],
                    },
                    "bulk": {"company": 1, "person": 1},
                    "limits": [{"calls": 15, "seconds": 1}, {"calls": 500, "seconds": 60}],
                    "credit_cost": 2,
                    "charges_on_miss": False,
                    "verifies_email": False,
                    "requires_credential": True,
                    "available": True,
                    "circuit": "open",
                    "circuit_opens_until": "2026-11-21T09:30:30.000000Z",
                    "success_rate": 0.42,
                    "p95_seconds": 1.8,
                }
            ]
        }
    )

    name: str
    entities: list[Entity]
    fields: dict[Entity, list[str]] = Field(description="What it can fill, by entity.")
    lookup_keys: dict[Entity, list[list[str]]] = Field(
        description="What it can look up by, by entity: each a set of inputs that are enough together."
    )
    bulk: dict[Entity, int] = Field(description="How many records it takes in one call, by entity.")
    limits: list[ProviderLimitOut] = Field(description="How fast it is called, at most. Empty: as fast as it answers.")
    credit_cost: int = Field(description="Credits for a found result; nothing else costs.")
    charges_on_miss: bool = Field(description="The vendor takes its fee for a miss too; whoever owns the key pays it.")
    verifies_email: bool = Field(description="It tells of an address whether it works, as `email_status`.")
    requires_credential: bool
    available: bool = Field(description="It is enabled, and the credential that it needs is there.")
    circuit: Circuit = Field(description="`open`: it is failing and not asked. `half_open`: one call tries it.")
    circuit_opens_until: datetime | None = Field(description="When an open circuit lets a call try again.")
    success_rate: float | None = Field(description="Of the last calls, 0 to 1; null before the first.")
    p95_seconds: float | None = Field(description="Of the last calls; null before the first.")

    @classmethod
    def of(cls, listing: Listing) -> Self:
        offer, health = listing.offer, listing.health
        can = offer.capabilities
        fields = {entity: list(names) for entity, names in can.fields.items() if names}
        return cls.model_validate(
            {
                "name": offer.name,
                "entities": list(fields),
                "fields": fields,
                "lookup_keys": {entity: [sorted(need) for need in can.needs.get(entity, ())] for entity in fields},
                "bulk": {entity: can.bulk.get(entity, 1) for entity in fields},
                "limits": [{"calls": calls, "seconds": seconds} for calls, seconds in offer.limits],
                "credit_cost": offer.credit_cost,
                "charges_on_miss": can.charges_on_miss,
                "verifies_email": can.verifies_email,
                "requires_credential": can.requires_credential,
                "available": offer.available,
                "circuit": health.circuit,
                "circuit_opens_until": health.opens_until,
                "success_rate": health.success_rate,
                "p95_seconds": health.p95_seconds,
            }
        )
