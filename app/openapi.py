"""The OpenAPI document: what FastAPI derives from the code, made whole."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.envelope import EXAMPLE_META

_METHODS = ("get", "post", "put", "patch", "delete")
_REF = "#/components/schemas/"


def document(app: FastAPI) -> dict[str, Any]:
    """The document of all operations of `app`, with the schemas of bodies that dependencies read, and with an example
    of every answer: that of its data, in the envelope."""
    openapi = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes
    )
    schemas = openapi.setdefault("components", {}).setdefault("schemas", {})
    for operation in _operations(openapi):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            # FastAPI knows no models of its own there, so each schema brings those that it refers to.
            schemas.update(content["schema"].pop("$defs", {}))
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                _add_example(response, schemas)
    return openapi


def _operations(openapi: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in openapi["paths"].values():
        yield from (path[method] for method in _METHODS if method in path)


def _add_example(response: dict[str, Any], schemas: dict[str, Any]) -> None:
    content = response.get("content", {}).get("application/json", {})
    body = _resolve(content.get("schema", {}), schemas)
    data = body.get("properties", {}).get("data", {})
    if "example" in content or "examples" in content:
        return
    if data.get("type") == "array":
        examples = _resolve(data["items"], schemas).get("examples")
        if examples:
            content["example"] = _enveloped([examples[0]], {"next_cursor": None})
    elif examples := _resolve(data, schemas).get("examples"):
        content["example"] = _enveloped(examples[0], {})


def _enveloped(data: Any, more_meta: dict[str, Any]) -> dict[str, Any]:
    return {"success": True, "data": data, "error": None, "meta": {**EXAMPLE_META, **more_meta}}


def _resolve(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    resolved: dict[str, Any] = schemas[reference.removeprefix(_REF)] if reference else schema
    return resolved
