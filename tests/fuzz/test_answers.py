"""Every adapter against answers that its vendor's documents do not show: what comes out is an Answer or a
ProviderError, in time, whatever was said.

`documents/` has an answer of each endpoint in the documented shape, with invented values. `make test` tries 300 answers
made of them, the same ones every time; `make fuzz` 10,000 others for each adapter.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import SecretStr

from app.provider_settings import ProvidersSettings
from app.providers.gate import Adapter
from app.providers.ports import Entity, Found, Query
from app.providers.registry import ADAPTERS
from tests.fuzz.answers import HTML_TYPE, JSON_TYPE, Json, Said, Vendor, ask, mutated

STATUSES = (200,) * 12 + (201, 202, 222, 301, 400, 401, 402, 403, 404, 409, 410, 422, 429, 451, 500, 502, 503)
CONTENT_TYPES = (HTML_TYPE, "text/plain", "application/json; charset=utf-16", "application/problem+json", "")


@dataclass(frozen=True)
class Document:
    """What a vendor says to one call for these subjects: the body by how the path of each request ends. `page` is what
    stands before and after a body where it is part of a web page; `handle` the one that an answer is asked for by."""

    provider: str
    entity: Entity
    subjects: Sequence[Mapping[str, str]]
    answers: Mapping[str, Json]
    page: tuple[str, str] | None = None
    handle: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def queries(self) -> Sequence[Query]:
        """The queries of the call."""
        return [Query(self.entity, " ".join(each.values()), each, handle=self.handle) for each in self.subjects]

    def said(self, body: bytes, status: int = 200, content_type: str | None = None) -> Said:
        """An answer with this body, or with a page that it is part of."""
        if self.page is None:
            return Said(body, status, JSON_TYPE if content_type is None else content_type)
        before, after = (part.encode() for part in self.page)
        return Said(before + body + after, status, HTML_TYPE if content_type is None else content_type)

    def documented(self) -> Mapping[str, Said]:
        """What the vendor's documents promise."""
        return {path: self.said(json.dumps(body).encode()) for path, body in self.answers.items()}

    def broken(self) -> SearchStrategy[Mapping[str, Said]]:
        """The same, but for one answer that is none of the documented ones."""
        documented = self.documented()
        return st.one_of(
            st.builds(
                lambda path, said: {**documented, path: said},
                st.just(path),
                st.builds(
                    self.said, mutated(body), st.sampled_from(STATUSES), st.none() | st.sampled_from(CONTENT_TYPES)
                ),
            )
            for path, body in self.answers.items()
        )


def documents() -> Mapping[str, Document]:
    files = sorted((Path(__file__).parent / "documents").glob("*.json"))
    return {file.stem: Document(**json.loads(file.read_text())) for file in files}


DOCUMENTS = documents()
OF_EACH = Counter(document.provider for document in DOCUMENTS.values())


def examples(provider: str) -> int:
    """How many answers are tried of one document of a provider."""
    if "FUZZ_EXAMPLES" in os.environ:
        return 10 * int(os.environ["FUZZ_EXAMPLES"]) // OF_EACH.get(provider, 1)
    return 300 // (len(DOCUMENTS) + 1)


def tried(provider: str) -> settings:
    return settings(
        max_examples=examples(provider),
        derandomize="FUZZ_EXAMPLES" not in os.environ,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def new_adapter(document: Document, server: Vendor) -> Adapter:
    section = type(getattr(ProvidersSettings(), document.provider))
    return ADAPTERS[document.provider](section(base_url=server.url, api_key=SecretStr("k-123"), **document.settings))


def test_there_is_a_document_of_every_adapter():
    assert OF_EACH.keys() | {"dns"} == ADAPTERS.keys()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_documented_answer_is_found(loop: asyncio.Runner, server: Vendor, name: str):
    document = DOCUMENTS[name]

    async def call() -> None:
        adapter = new_adapter(document, server)
        server.said = document.documented()
        said = await ask(adapter, document.queries)
        await adapter.close()
        assert {type(each) for each in said} == {Found}

    loop.run(call())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_whatever_a_vendor_says_is_an_answer_or_an_error(loop: asyncio.Runner, server: Vendor, name: str):
    document = DOCUMENTS[name]
    # One that makes several requests may keep what an earlier one said.
    keeps = len(document.answers) > 1
    adapters = [] if keeps else [new_adapter(document, server)]

    async def call() -> None:
        adapter = adapters[0] if adapters else new_adapter(document, server)
        try:
            await ask(adapter, document.queries)
        finally:
            if keeps:
                await adapter.close()

    @tried(document.provider)
    @given(said=document.broken())
    def holds(said: Mapping[str, Said]) -> None:
        server.said = said
        loop.run(call())

    try:
        holds()
    finally:
        for adapter in adapters:
            loop.run(adapter.close())
