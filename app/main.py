"""The API process: ``uvicorn app.main:create_app --factory``."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.middleware.cors import CORSMiddleware

from app.accounts.passwords import Passwords
from app.api import BASE, mount
from app.auth.tokens import AccessTokens
from app.auth.usage import KeyUsage
from app.billing.plans import load_plans
from app.collector import tune_collector
from app.forwarded import TrustedProxies
from app.logging import configure_logging
from app.metrics import HttpMetrics, new_registry
from app.middleware import LastResort, RequestMiddleware
from app.openapi import document
from app.ratelimit import RateLimits
from app.resources import open_api
from app.settings import Settings, SettingsError, load_settings

_DESCRIPTION = """\
Durable workflows over providers that fail. Every JSON answer is an envelope; lists go by cursor; a POST that starts
something takes an `Idempotency-Key`, answers 202 with the resource, and the resource can be polled from then on.
"""

_CORS: dict[str, Any] = {
    "allow_methods": ("GET", "POST", "PUT", "PATCH", "DELETE"),
    "allow_headers": ("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-Id"),
    "expose_headers": (
        "Content-Disposition",
        "Idempotent-Replayed",
        "Location",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "WWW-Authenticate",
        "X-Request-Id",
    ),
    "max_age": 600,
}


class Api(FastAPI):
    """FastAPI with our OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = document(self)
        return self.openapi_schema


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; `settings` are read from the environment where none are given.

    Wrong settings end the process with one line that names each variable.
    """
    # Tests hand in settings, and make many applications in one process; a server makes one.
    owns_process = settings is None
    if settings is None:
        settings = _settings_or_exit()
    configure_logging(settings.log_level)
    try:
        access_tokens = AccessTokens.of(settings.auth)
        plans = load_plans(settings.billing.plans_file)
    except SettingsError as error:
        sys.exit(str(error))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_api(settings, app.state.registry, plans.limits) as resources:
            app.state.resources = resources
            app.state.key_usage = KeyUsage(resources.sessions)
            if owns_process:
                tune_collector()
            try:
                yield
            finally:
                await app.state.key_usage.close()
                await app.state.rate_limits.close()

    app = Api(
        title="Holdfast",
        version="1.0.0",
        description=_DESCRIPTION,
        openapi_url=f"{BASE}/openapi.json",
        # Their pages load scripts from other people's servers.
        docs_url=None,
        redoc_url=None,
        # A redirect would lose the body of a POST.
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.registry = new_registry()
    app.state.access_tokens = access_tokens
    app.state.plans = plans
    app.state.passwords = Passwords()
    app.state.rate_limits = RateLimits(settings.rate_limits, settings.redis_url, app.state.registry)
    mount(app)
    routes = {
        context.endpoint: context.path_format
        for context in iter_route_contexts(app.routes)
        if context.endpoint is not None and context.path_format is not None
    }
    # The last one added is the outermost.
    app.add_middleware(LastResort)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **_CORS)
    app.add_middleware(
        RequestMiddleware,
        metrics=HttpMetrics(app.state.registry),
        routes=routes,
        proxies=TrustedProxies(settings.trusted_proxies),
    )
    return app


def _settings_or_exit() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        sys.exit(str(error))
