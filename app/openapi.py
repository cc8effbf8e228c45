"""The OpenAPI document: what FastAPI derives from the code, made whole."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.envelope import EXAMPLE_META

_METHODS = ("get", "post", "put", "patch", "delete")
_REF = "#/components/schemas/"
_NULL = {"type": "null"}


def document(app: FastAPI) -> dict[str, Any]:
    """The document of all operations of `app`, with the schemas of bodies that dependencies read, and with an example
    of every answer: that of its data, in the envelope."""
    openapi = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes
    )
    schemas = openapi.setdefault("components", {}).setdefault("schemas", {})
    for schema in schemas.values():
        if "examples" in schema:
            schema["examples"] = [_whole(example, schema, schemas) for example in schema["examples"]]
    for operation in _operations(openapi):
        # FastAPI does not know the models of bodies, so each of their schemas brings those that it refers to.
        _move_definitions(operation.get("requestBody"), schemas)
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/json", {})
            if status.startswith("2"):
                _add_example(content, schemas)
            for example in content.get("examples", {}).values():
                example["value"] = _whole(example["value"], content["schema"], schemas)
    return openapi


def _operations(openapi: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in openapi["paths"].values():
        yield from (path[method] for method in _METHODS if method in path)


def _move_definitions(node: Any, schemas: dict[str, Any]) -> None:
    if isinstance(node, dict):
        schemas.update(node.pop("$defs", {}))
        for each in node.values():
            _move_definitions(each, schemas)


def _add_example(content: dict[str, Any], schemas: dict[str, Any]) -> None:
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


def _whole(example: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """The example with its nulls: FastAPI drops every null of the document."""
    schema = _resolve(schema, schemas)
    if isinstance(example, list):
        return [_whole(each, schema.get("items", {}), schemas) for each in example]
    if not isinstance(example, dict):
        return example
    if "properties" not in schema:
        alternatives = [each for each in schema.get("anyOf", ()) if each != _NULL]
        each_value = schema.get("additionalProperties")
        if len(alternatives) == 1:
            return _whole(example, alternatives[0], schemas)
        if isinstance(each_value, dict):
            return {name: _whole(value, each_value, schemas) for name, value in example.items()}
        return example
    return {
        name: _whole(example[name], part, schemas) if name in example else None
        for name, part in schema["properties"].items()
        if name in example or part.get("type") == "null" or _NULL in part.get("anyOf", ())
    }


def _resolve(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    resolved: dict[str, Any] = schemas[reference.removeprefix(_REF)] if reference else schema
    return resolved
