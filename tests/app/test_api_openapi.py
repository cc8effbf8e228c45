"""The OpenAPI document is the full reference. Who may call what: test_permissions.py."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import SecretStr

from app.main import create_app
from app.settings import Settings
from tests.openapi import PROBES, api_document

METHODS = {"get", "post", "put", "patch", "delete"}

# Files that we ship, and the document itself.
PAGES = ("/api/v1/openapi.json", "/docs", "/links")

# The dependencies that say who is let in: app/auth/dependencies.py.
CALLERS = ("caller.", "any_caller.", "person.", "superadmin.", "anybody.", "_Reader")


def new_app() -> Any:
    return create_app(Settings(database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none")))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return api_document()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield path, method, item[method]


def test_every_route_is_an_operation_of_the_document(document: dict[str, Any]):
    described = {(path, method) for path, method, _ in operations(document)}
    for context in iter_route_contexts(new_app().routes):
        if context.path_format is not None and context.path_format.startswith(PAGES):
            continue
        assert isinstance(context.original_route, APIRoute)
        for method in context.methods or ():
            assert (context.path_format, method.lower()) in described


def test_no_route_lets_fastapi_read_a_body_before_the_caller_is_known():
    for context in iter_route_contexts(new_app().routes):
        if not isinstance(context.original_route, APIRoute):
            continue
        assert context.original_route.body_field is None, context.path_format
        calls = [each.call for each in context.original_route.dependant.dependencies if each.call]
        names = [getattr(call, "__qualname__", type(call).__qualname__) for call in calls]
        readers = [index for index, name in enumerate(names) if name.startswith("json_body.")]
        callers = [index for index, name in enumerate(names) if name.startswith(CALLERS)]
        assert not readers or (callers and callers[0] < readers[0]), context.path_format


def test_every_operation_has_a_summary_and_an_id_that_a_person_would_choose(document: dict[str, Any]):
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for path, method, operation in operations(document):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation["operationId"]), (method, path)
        assert not operation["operationId"].endswith(f"_{method}")
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]


def test_every_operation_has_a_typed_success_with_an_example(document: dict[str, Any]):
    for path, method, operation in operations(document):
        successes = {status: each for status, each in operation["responses"].items() if status.startswith("2")}
        assert successes, (method, path)
        for status, response in successes.items():
            if status == "204":
                continue
            assert response.get("content"), (method, path)
            for kind, content in response["content"].items():
                assert "example" in content or "examples" in content, (method, path, kind)
                if kind == "application/json":
                    properties = resolve(document, content["schema"])["properties"]
                    assert properties.keys() == {"success", "data", "error", "meta"}


def test_every_operation_lists_the_errors_that_it_can_answer(document: dict[str, Any]):
    for path, method, operation in operations(document):
        if operation["operationId"] in PROBES:
            continue
        assert operation["responses"].keys() >= {"401", "403", "404", "422", "500", "503"}, (method, path)
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                continue
            content = response["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/ErrorEnvelope"}
            for code, example in content["examples"].items():
                assert example["value"]["error"]["code"] == code


def test_every_path_parameter_is_described(document: dict[str, Any]):
    for path, method, operation in operations(document):
        described = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
        assert described == set(re.findall(r"{(\w+)}", path)), (method, path)


def test_every_reference_leads_somewhere(document: dict[str, Any]):
    assert "$defs" not in str(document)
    for reference in references(document):
        resolve(document, {"$ref": reference})


def test_the_document_names_no_machine(document: dict[str, Any]):
    assert str(Path.cwd()) not in str(document)


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    node = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        node = node[part]
    return node


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)
