import asyncio
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
    RemoveSearchAttributesRequest,
)
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

from app.errors import Unavailable
from app.local import temporal as embedded
from app.local.ports import LOOPBACK, free_port
from app.settings import TemporalSettings
from app.temporal import SEARCH_ATTRIBUTES, bootstrap, connect, reaching_temporal

KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
KEYWORD_LIST = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST


async def test_bootstrap_sets_retention_and_search_attributes_any_number_of_times(temporal_server: str):
    client = await connect(TemporalSettings(address=temporal_server), lazy=False)
    for _ in range(2):
        await bootstrap(client)
    namespace = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
    known = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace="default"))
    assert namespace.config.workflow_execution_retention_ttl.ToTimedelta() == timedelta(days=30)
    assert {"WorkspaceId", "Process", "Provider", "Outcome"} <= set(known.custom_attributes)


def test_the_embedded_server_starts_with_the_search_attributes_that_the_client_uses():
    kinds = {"Keyword": KEYWORD, "KeywordList": KEYWORD_LIST}
    assert {name: kinds[kind] for name, kind in embedded.SEARCH_ATTRIBUTES.items()} == SEARCH_ATTRIBUTES


async def test_bootstrap_gives_a_search_attribute_of_an_older_version_its_type(temporal_server: str):
    client = await connect(TemporalSettings(address=temporal_server), lazy=False)
    await bootstrap(client)
    operator = client.operator_service
    await operator.remove_search_attributes(
        RemoveSearchAttributesRequest(namespace="default", search_attributes=["Provider"])
    )
    await operator.add_search_attributes(
        AddSearchAttributesRequest(namespace="default", search_attributes={"Provider": KEYWORD})
    )
    await bootstrap(client)
    known = await operator.list_search_attributes(ListSearchAttributesRequest(namespace="default"))
    assert known.custom_attributes["Provider"] == KEYWORD_LIST


async def test_a_worker_that_cannot_reach_temporal_is_told_that_it_is_unavailable():
    with pytest.raises(Unavailable):
        await connect(TemporalSettings(address=f"{LOOPBACK}:{free_port()}"), lazy=False)


async def test_a_request_that_cannot_reach_temporal_is_refused_within_seconds():
    client = await connect(TemporalSettings(address=f"{LOOPBACK}:{free_port()}"), lazy=True)
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable), reaching_temporal():
            await client.start_workflow("Any", id="any", task_queue="any")
