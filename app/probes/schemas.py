"""The shapes of probes in answers."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.envelope import ErrorBody, Meta
from app.probes.service import CheckState, HealthReport, HealthState


class ChecksOut(BaseModel):
    """What the process depends on. `disabled`: this installation has none."""

    database: CheckState
    temporal: CheckState
    cache: CheckState


class HealthOut(BaseModel):
    """Whether the process can do its work."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"status": "ok", "checks": {"database": "ok", "temporal": "ok", "cache": "disabled"}}]
        }
    )

    status: HealthState = Field(description="`degraded`: it serves, and what needs the missing part waits.")
    checks: ChecksOut

    @classmethod
    def of(cls, report: HealthReport) -> Self:
        checks = ChecksOut(database=report.database, temporal=report.temporal, cache=report.cache)
        return cls(status=report.status, checks=checks)


class HealthEnvelope(BaseModel):
    """The envelope, with the checks also where it is an error."""

    success: bool
    data: HealthOut
    error: ErrorBody | None
    meta: Meta


class ReadinessOut(BaseModel):
    """The process is ready for requests."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ready"}]})

    status: Literal["ready"] = "ready"
