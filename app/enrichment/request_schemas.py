"""The shapes of requests for jobs, quotes and lookups."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from typing_extensions import TypedDict

from app.enrichment.options import JobOptions

_MAX_WAIT_SECONDS = 30 * 86_400.0
_MAX_CREDITS = 10**15

# In place of the names of providers.
_AUTO = "auto"


def _auto_or_names(providers: Any) -> Any:
    # No provider has this name. As a union each mistake in a list would be told twice, in places that nobody knows.
    return [_AUTO] if providers == _AUTO else providers


_Providers = Annotated[
    list[str],
    Field(min_length=1),
    BeforeValidator(_auto_or_names),
    WithJsonSchema(
        {"anyOf": [{"type": "array", "items": {"type": "string"}, "minItems": 1}, {"const": _AUTO, "type": "string"}]}
    ),
]


class RecordIn(TypedDict, total=False):
    """One record. Members of other names are kept and come back in the export.

    A company is looked up by domain, LinkedIn page or name; a person by e-mail address, LinkedIn page, or name and
    company.
    """

    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]

    key: Annotated[str | None, Field(description="Your name for the record, unique in the job; else its number.")]
    domain: Annotated[str | None, Field(description="A host or a URL.")]
    name: str | None
    linkedin_url: str | None
    email: str | None
    full_name: str | None
    first_name: str | None
    last_name: str | None
    company_name: str | None


def _as_it_came(record: Any, check: ValidatorFunctionWrapHandler) -> Any:
    # Validation would put the members of RecordIn first; the export keeps the caller's order.
    check(record)
    return record


_Record = Annotated[RecordIn, WrapValidator(_as_it_came)]


class OptionsIn(BaseModel):
    """What a job is asked to do."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    entity: Literal["company", "person"]
    fields: list[str] | None = Field(
        default=None, min_length=1, description="The fields to fill; else all that the providers fill."
    )
    providers: _Providers | None = Field(
        default=None,
        description="Whom to ask, in order; else all that are available and fill a wanted field, cheapest first. "
        "`auto`: those in the order of least cost for each field that they are expected to fill, by their hit rates.",
    )
    on_outage: Literal["wait", "skip"] = Field(
        default="wait", description="What to do while a provider is away: wait for it, or go on without it."
    )
    max_wait_seconds: float = Field(
        default=86_400, ge=0, le=_MAX_WAIT_SECONDS, description="For each provider, in all."
    )
    max_credits: int | None = Field(
        default=None, ge=0, le=_MAX_CREDITS, description="What the job may cost at the most."
    )
    min_confidence: float = Field(default=0.5, ge=0, le=1, description="Values that are less certain are not taken.")
    reuse_within_seconds: float = Field(
        default=0, ge=0, le=10 * 366 * 86_400, description="How old an answer may be that was bought before."
    )
    max_credits_per_record: int | None = Field(
        default=None, ge=0, le=_MAX_CREDITS, description="What one record may cost at the most."
    )
    verify_email: bool = Field(
        default=False, description="An e-mail address that a provider finds counts when a verifier has passed it."
    )
    strict: bool = Field(default=False, description="Refuse the whole request where a record cannot be looked up.")

    def options(self) -> JobOptions:
        auto = self.providers == [_AUTO]
        return JobOptions(
            entity=self.entity,
            fields=self.fields,
            providers=None if auto else self.providers,
            auto=auto,
            on_outage=self.on_outage,
            max_wait_seconds=self.max_wait_seconds,
            max_credits=self.max_credits,
            min_confidence=self.min_confidence,
            reuse_within_seconds=self.reuse_within_seconds,
            max_credits_per_record=self.max_credits_per_record,
            verify_email=self.verify_email,
            strict=self.strict,
        )


class UploadOptionsIn(OptionsIn):
    """What a job of an uploaded CSV file is asked to do."""

    columns: dict[str, str] = Field(
        default={}, description='Column → input field, where its name does not say it: `{"Firma": "name"}`.'
    )


class JobIn(OptionsIn):
    """A job and its records."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "entity": "company",
                    "records": [{"key": "row-1", "domain": "example.com", "name": "Example"}],
                    "fields": ["industry", "employee_count", "linkedin_url"],
                    "providers": ["website", "hunter", "apollo"],
                    "on_outage": "wait",
                    "max_wait_seconds": 86400,
                    "max_credits": 5000,
                    "min_confidence": 0.5,
                }
            ]
        }
    )

    records: list[_Record] = Field(min_length=1)

    def rows(self) -> Sequence[Mapping[str, JsonValue]]:
        """The records as they came: a TypedDict is a plain dict, with the members of other names too."""
        return cast("Sequence[Mapping[str, JsonValue]]", self.records)


class LookupIn(OptionsIn):
    """One record, what to do with it, and how long to wait for that."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "entity": "company",
                    "record": {"domain": "example.com"},
                    "fields": ["industry", "employee_count"],
                    "providers": "auto",
                    "wait_seconds": 10,
                }
            ]
        }
    )

    record: _Record
    wait_seconds: float = Field(
        default=10, ge=0, le=30, description="How long to wait for the result; then the answer is 202 with the job."
    )

    def rows(self) -> Sequence[Mapping[str, JsonValue]]:
        """The record as it came, as the one of a job."""
        return [cast("Mapping[str, JsonValue]", self.record)]
