"""The shape of a provider in answers."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.catalog.service import Listing
from app.providers.ports import Entity

Circuit = Literal["closed", "open", "half_open"]


class ProviderOut(BaseModel):
    """A provider of facts about companies and people."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "hunter",
                    "entities": ["company", "person"],
                    "fields": {"company": ["name", "industry"], "person": ["email", "title"]},
                    "credit_cost": 2,
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
    credit_cost: int = Field(description="Credits for a found result; nothing else costs.")
    requires_credential: bool
    available: bool = Field(description="It is enabled, and the credential that it needs is there.")
    circuit: Circuit = Field(description="`open`: it is failing and not asked. `half_open`: one call tries it.")
    circuit_opens_until: datetime | None = Field(description="When an open circuit lets a call try again.")
    success_rate: float | None = Field(description="Of the last calls, 0 to 1; null before the first.")
    p95_seconds: float | None = Field(description="Of the last calls; null before the first.")

    @classmethod
    def of(cls, listing: Listing) -> Self:
        offer, health = listing.offer, listing.health
        fields = {entity: list(names) for entity, names in offer.capabilities.fields.items() if names}
        return cls.model_validate(
            {
                "name": offer.name,
                "entities": list(fields),
                "fields": fields,
                "credit_cost": offer.credit_cost,
                "requires_credential": offer.capabilities.requires_credential,
                "available": offer.available,
                "circuit": health.circuit,
                "circuit_opens_until": health.opens_until,
                "success_rate": health.success_rate,
                "p95_seconds": health.p95_seconds,
            }
        )
