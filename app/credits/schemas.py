"""The shapes of the credit ledger in answers."""

from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.credits.repository import Balance, Entry
from app.pagination import Cursor

Kind = Literal["grant", "hold", "charge", "release", "refund", "expiry", "clawback"]

_JOB = "019d6f0e-4f3a-7c21-9a51-0d8c5c2f7a10"


class CreditsOut(BaseModel):
    """The credits of a workspace."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"balance": 1000, "held": 120, "available": 880}]})

    balance: int = Field(description="What was granted and not yet spent.")
    held: int = Field(description="Set aside for work that is going on.")
    available: int = Field(description="`balance` − `held`: what new work may cost.")

    @classmethod
    def of(cls, balance: Balance) -> Self:
        return cls(balance=balance.balance, held=balance.held, available=balance.available)


class ReferenceOut(BaseModel):
    """What an entry is about."""

    type: str
    id: str


class EntryOut(BaseModel):
    """One entry of the append-only ledger: the balance is the sum of `amount`, `held` that of `held_amount`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "019d6f0e-5b10-7a02-8c11-3f1c5a9d2e44",
                    "kind": "charge",
                    "amount": -2,
                    "held_amount": -2,
                    "balance_after": 998,
                    "held_after": 118,
                    "reason": "hunter found example.com",
                    "reference": {"type": "enrichment_job", "id": _JOB},
                    "created_at": "2026-11-21T09:30:00.000000Z",
                }
            ]
        }
    )

    id: UUID
    kind: Kind
    amount: int = Field(description="Change of the balance.")
    held_amount: int = Field(description="Change of what is held.")
    balance_after: int
    held_after: int
    reason: str
    reference: ReferenceOut
    created_at: datetime

    @classmethod
    def of(cls, entry: Entry) -> Self:
        return cls.model_validate(
            {
                "id": entry.id,
                "kind": entry.kind,
                "amount": entry.amount,
                "held_amount": entry.held_amount,
                "balance_after": entry.balance_after,
                "held_after": entry.held_after,
                "reason": entry.reason,
                "reference": {"type": entry.reference_type, "id": entry.reference_id},
                "created_at": entry.created_at,
            }
        )


class EntryCursor(Cursor):
    """Newest first: the next page begins before this entry."""

    before_seq: int = Field(ge=1, lt=2**63)
