"""The probes over HTTP, outside /api/v1 and open to whoever reaches the port: they name no tenant."""

from typing import Any

from fastapi import APIRouter, Request, Response

from app.deps import Resources, SessionsDep
from app.envelope import Envelope, ErrorBody, envelope, errors, meta, respond
from app.errors import Unavailable
from app.metrics import CONTENT_TYPE, exposition
from app.probes import service
from app.probes.schemas import HealthEnvelope, HealthOut, ReadinessOut

router = APIRouter(tags=["Probes"])

_DOWN: dict[int | str, dict[str, Any]] = {503: {"model": HealthEnvelope, "description": "It can serve nothing."}}
_TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"example": "holdfast_up 1.0\n"}}}}


@router.get(
    "/health",
    operation_id="get_health",
    summary="Check the health of the process",
    response_model=HealthEnvelope,
    responses=_DOWN,
)
async def get_health(opened: Resources) -> Response:
    """200 while it can serve, also when Temporal or the cache is away (`degraded`); else 503."""
    health = HealthOut.of(await service.health(opened.sessions, opened.temporal, opened.cache))
    down = health.status == "down"
    error = ErrorBody(code=Unavailable.code, message="The database is not available.", details=[]) if down else None
    body = HealthEnvelope(success=not down, data=health, error=error, meta=meta())
    return respond(body, Unavailable.status if down else 200)


@router.get(
    "/readiness",
    operation_id="get_readiness",
    summary="Check that the process is ready for requests",
    responses=errors(Unavailable),
)
async def get_readiness(sessions: SessionsDep) -> Envelope[ReadinessOut]:
    """200 once the database can be reached and is migrated; else 503."""
    await service.check_readiness(sessions)
    return envelope(ReadinessOut())


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Read the metrics of the process",
    response_class=Response,
    responses=_TEXT,
)
async def get_metrics(request: Request) -> Response:
    """Prometheus text, outside the envelope."""
    return Response(exposition(request.app.state.registry), media_type=CONTENT_TYPE)
