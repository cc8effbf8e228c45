"""The shape of a quote."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from app.enrichment.quotes import ProviderQuote, Quote, Range


class RangeOut(BaseModel):
    """Three cases, from the least to the most."""

    best: int = Field(description="Whoever is asked fills all that it can, so that as few as possible are asked.")
    expected: int = Field(description="By how often each provider was measured to fill each field.")
    worst: int = Field(description="Everybody is asked, and finds something.")

    @classmethod
    def of(cls, range: Range) -> Self:
        return cls(best=round(range.best), expected=round(range.expected), worst=round(range.worst))


class ProviderQuoteOut(BaseModel):
    """What one provider would cost."""

    name: str
    order: int = Field(description="Its place among those that are asked, from 1.")
    calls: RangeOut
    credits: RangeOut = Field(description="Without the limits `max_credits` and `max_credits_per_record`.")
    credit_cost: int = Field(description="Credits for an answer that finds something; nothing else costs.")
    charges_on_miss: bool = Field(
        description="The provider takes its own fee for a miss too: from you, where `own_credential`. No credits."
    )
    own_credential: bool = Field(description="It is asked with the workspace's own credential.")
    reusable: int = Field(description="Calls that are not made, because an answer is young enough to be reused.")
    verifies_email: bool = Field(description="It is asked of the e-mail addresses that the others find.")

    @classmethod
    def of(cls, quote: ProviderQuote, order: int) -> Self:
        return cls(
            name=quote.offer.name,
            order=order,
            calls=RangeOut.of(quote.calls),
            credits=RangeOut.of(quote.credits),
            credit_cost=quote.offer.credit_cost,
            charges_on_miss=quote.offer.capabilities.charges_on_miss,
            own_credential=quote.offer.own_credential,
            reusable=quote.reusable,
            verifies_email=quote.verifies,
        )


class QuoteOut(BaseModel):
    """What a job would cost."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "records": 1000,
                    "invalid": 3,
                    "distinct": 980,
                    "fields": ["industry", "employee_count"],
                    "reusable": 240,
                    "credits": {"best": 1140, "expected": 1682, "worst": 4900},
                    "providers": [
                        {
                            "name": "hunter",
                            "order": 1,
                            "calls": {"best": 740, "expected": 740, "worst": 980},
                            "credits": {"best": 1140, "expected": 1140, "worst": 1960},
                            "credit_cost": 2,
                            "charges_on_miss": False,
                            "own_credential": False,
                            "reusable": 240,
                            "verifies_email": False,
                        },
                        {
                            "name": "apollo",
                            "order": 2,
                            "calls": {"best": 0, "expected": 301, "worst": 980},
                            "credits": {"best": 0, "expected": 542, "worst": 2940},
                            "credit_cost": 3,
                            "charges_on_miss": False,
                            "own_credential": False,
                            "reusable": 0,
                            "verifies_email": False,
                        },
                    ],
                }
            ]
        }
    )

    records: int
    invalid: int = Field(description="Records that cannot be looked up; they cost nothing.")
    distinct: int = Field(description="Records that are looked up: of those about the same subject one is.")
    fields: list[str] = Field(description="The fields to fill.")
    reusable: int = Field(description="Calls that are not made, because an answer is young enough to be reused.")
    credits: RangeOut = Field(description="Of the whole job. `worst` is what it would hold.")
    providers: list[ProviderQuoteOut] = Field(description="In the order in which they are asked.")

    @classmethod
    def of(cls, quote: Quote) -> Self:
        return cls(
            records=quote.records,
            invalid=quote.invalid,
            distinct=quote.distinct,
            fields=list(quote.fields),
            reusable=sum(provider.reusable for provider in quote.providers),
            credits=RangeOut.of(quote.credits),
            providers=[ProviderQuoteOut.of(each, order) for order, each in enumerate(quote.providers, start=1)],
        )
