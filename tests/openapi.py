"""The OpenAPI document, for tests that walk every operation of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import SecretStr

from app.main import create_app
from app.settings import Settings

METHODS = ("get", "post", "put", "patch", "delete")

# What may be called by anybody. The probes name no tenant; the others are how people get in.
PROBES = {"get_health", "get_readiness", "get_metrics"}
OPEN = {
    "register_account",
    "log_in",
    "refresh_tokens",
    "request_magic_link",
    "consume_magic_link",
    "request_password_reset",
    "reset_password",
}
# By whoever signs what they send with a secret of ours.
SIGNED = {"receive_stripe_event"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `permission` is None for what is open to all, or to whoever signs."""

    id: str
    method: str
    path: str
    permission: str | None
    parameters: frozenset[str]
    statuses: frozenset[str]
    body: Any

    @property
    def in_workspace(self) -> bool:
        return self.path.startswith("/api/v1/workspaces/{workspace_id}")

    def url(self, values: Mapping[str, object]) -> str:
        """The path with these ids. Raises KeyError with the name of a parameter that has none."""
        return self.path.format_map(values)


@cache
def api_document() -> dict[str, Any]:
    """The document of our API, made once: to be read only."""
    return create_app(Settings(database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none"))).openapi()


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Every operation of the document; `body` is the example of its request, None where it takes none."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            found = item[method]
            yield Operation(
                found["operationId"],
                method.upper(),
                path,
                _permission(found),
                frozenset(re.findall(r"{(\w+)}", path)),
                frozenset(found["responses"]),
                _body(document, found),
            )


def resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference refers to; itself where it is none."""
    if "$ref" not in schema:
        return schema
    node: Any = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        node = node[part]
    return resolve(document, node)


def _permission(operation: Mapping[str, Any]) -> str | None:
    if not operation.get("security"):
        return None
    [requirement] = operation["security"]
    [permission] = requirement["Bearer"]
    return str(permission)


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    examples = resolve(document, content["schema"]).get("examples")
    assert examples, f"{operation['operationId']} shows no example of its body"
    return examples[0]
