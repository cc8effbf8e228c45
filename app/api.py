"""The HTTP door: mounts every domain's routes, and turns every error into an answer in the envelope."""

import math
from functools import cache
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app.accounts import routes as accounts
from app.admin import routes as admin
from app.api_keys import routes as api_keys
from app.audit_log import routes as audit_log
from app.billing import event_routes, page_routes, sync_routes
from app.billing import routes as billing
from app.catalog import routes as catalog
from app.credentials import routes as credentials
from app.credits import routes as credit_ledger
from app.deadletters import routes as deadletters
from app.deps import details_of
from app.docs import routes as docs
from app.enrichment import erasure_routes, lookup_routes, quote_routes
from app.enrichment import routes as enrichment
from app.envelope import API_VERSION, error_envelope, errors, respond
from app.errors import (
    AppError,
    Detail,
    Forbidden,
    InvalidRequest,
    NotFound,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from app.joining import routes as joining
from app.links import routes as links
from app.outages import routes as outages
from app.probes import routes as probes
from app.redaction import redact_text
from app.runs import routes as runs
from app.team import routes as team
from app.webhooks import delivery_routes as webhook_deliveries
from app.webhooks import routes as webhooks
from app.workspaces import routes as workspaces

BASE = f"/api/{API_VERSION}"

# A request is matched against them in this order: first comes what is polled.
_ROUTERS = (
    enrichment.router,
    quote_routes.router,
    lookup_routes.router,
    erasure_routes.router,
    accounts.router,
    workspaces.router,
    team.router,
    joining.router,
    api_keys.router,
    credentials.router,
    credit_ledger.router,
    event_routes.router,
    catalog.router,
    outages.router,
    deadletters.router,
    webhooks.router,
    webhook_deliveries.router,
    billing.router,
    page_routes.router,
    sync_routes.router,
    audit_log.router,
    admin.router,
    runs.router,
)

# What every operation may answer.
_COMMON_ERRORS = errors(Unauthenticated, Forbidden, NotFound, InvalidRequest, RateLimited, AppError, Unavailable)

_log = structlog.get_logger(__name__)


def mount(app: FastAPI) -> None:
    """Give `app` all routes and the answers to all errors but the unforeseen (app/middleware.py)."""
    app.router.routes.extend(_everything().routes)
    app.exception_handler(AppError)(_app_error)
    app.exception_handler(RequestValidationError)(_validation_error)
    app.exception_handler(HTTPException)(_http_error)


@cache
def _everything() -> APIRouter:
    """All routes. The applications of a process share them: FastAPI makes a thousand validators of them, and nothing
    in them depends on settings, or on what an application holds open."""
    everything = APIRouter()
    for router in _ROUTERS:
        everything.include_router(router, prefix=BASE, responses=_COMMON_ERRORS)
    everything.include_router(probes.router)
    everything.include_router(docs.router)
    everything.include_router(links.router)
    return everything


async def _app_error(_: Request, error: AppError) -> Response:
    headers = {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.warning("request refused", code=error.code, error=str(error), cause=str(error.__cause__))
    return _answer(error.status, error.code, error.message, error.details, headers)


async def _validation_error(_: Request, error: RequestValidationError) -> Response:
    mistakes = error.errors()
    if any(mistake["loc"][0] == "path" for mistake in mistakes):
        # No resource has an id of that form.
        return _answer(NotFound.status, NotFound.code, "There is nothing at this address.")
    return _answer(
        InvalidRequest.status, InvalidRequest.code, "The request is not valid.", tuple(details_of(mistakes, skip=1))
    )


async def _http_error(_: Request, error: HTTPException) -> Response:
    """What Starlette says itself: an unknown path, a method that the path does not have."""
    status = HTTPStatus(error.status_code)
    code = status.phrase.lower().replace(" ", "_").replace("-", "_")
    return _answer(status, code, _HTTP_MESSAGES.get(status, status.phrase), headers=dict(error.headers or {}))


_HTTP_MESSAGES = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take this method; the header Allow says which.",
}


def _answer(
    status: int,
    code: str,
    message: str,
    details: tuple[Detail, ...] = (),
    headers: dict[str, Any] | None = None,
) -> Response:
    # Names of unknown fields are the caller's, and callers paste secrets into odd places.
    safe = tuple(Detail(redact_text(each.field), redact_text(each.message)) for each in details)
    return respond(error_envelope(code, redact_text(message), safe), status, headers)
