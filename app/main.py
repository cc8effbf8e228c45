"""The API process: ``uvicorn app.main:create_app --factory``."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from app.api import BASE, mount
from app.auth.tokens import AccessTokens
from app.logging import configure_logging
from app.metrics import HttpMetrics, new_registry
from app.middleware import RequestMiddleware
from app.openapi import document
from app.resources import open_api
from app.settings import Settings, SettingsError, load_settings

_DESCRIPTION = """\
Durable workflows over providers that fail. Every JSON answer is an envelope; lists go by cursor; a POST that starts
something takes an `Idempotency-Key`, answers 202 with the resource, and the resource can be polled from then on.
"""


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
    if settings is None:
        settings = _settings_or_exit()
    configure_logging(settings.log_level)
    try:
        access_tokens = AccessTokens.of(settings.auth)
    except SettingsError as error:
        sys.exit(str(error))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_api(settings) as resources:
            app.state.resources = resources
            yield

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
    mount(app)
    routes = {
        context.endpoint: context.path_format
        for context in iter_route_contexts(app.routes)
        if context.endpoint is not None and context.path_format is not None
    }
    app.add_middleware(RequestMiddleware, metrics=HttpMetrics(app.state.registry), routes=routes)
    return app


def _settings_or_exit() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        sys.exit(str(error))
