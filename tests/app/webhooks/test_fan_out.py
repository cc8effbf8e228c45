"""An event is for the endpoints that want its type when it is told, once, and for no longer than it is kept."""

from contextlib import suppress
from uuid import UUID

from app.webhooks.endpoints import disable_endpoint, enable_endpoint
from app.webhooks.service import is_wanted, publish, publish_test, sweep
from tests.app.webhooks.receiver import receiving
from tests.app.webhooks.scene import Scene
from tests.builders import make_workspace

URL = "https://example.com"


async def told(scene: Scene) -> list[UUID]:
    return [each["endpoint_id"] for each in await scene.deliveries()]


async def test_a_delivery_is_stored_with_the_event_or_not_at_all(scene: Scene):
    endpoint_id, _ = await scene.endpoint(URL)
    with suppress(ZeroDivisionError):
        async with scene.stack.sessions.for_workspace(scene.workspace_id) as session:
            await publish(session, scene.workspace_id, "credits.low", {})
            raise ZeroDivisionError
    assert await told(scene) == []
    await scene.tell(1)
    assert await told(scene) == [endpoint_id]


async def test_a_fact_that_is_told_again_is_delivered_once(scene: Scene):
    await scene.endpoint(URL)
    for _ in range(3):
        async with scene.stack.sessions.for_workspace(scene.workspace_id) as session:
            await publish(session, scene.workspace_id, "credits.low", {}, key="crossing 1")
    assert len(await told(scene)) == 1


async def test_what_the_platform_tells_a_workspace_goes_to_its_endpoints_alone(scene: Scene):
    endpoint_id, _ = await scene.endpoint(URL)
    other = await make_workspace(scene.stack.owner)
    async with scene.stack.resources.platform_sessions.unscoped() as session:
        for workspace_id in (scene.workspace_id, other):
            await publish(session, workspace_id, "credits.low", {})
    async with scene.stack.owner.unscoped() as session:
        rows = (await session.exec_driver_sql("SELECT workspace_id, endpoint_id FROM webhook_deliveries")).all()
    assert [tuple(row) for row in rows] == [(scene.workspace_id, endpoint_id)]


async def test_an_endpoint_that_is_disabled_is_told_nothing_until_it_is_enabled(scene: Scene):
    endpoint_id, _ = await scene.endpoint(URL)

    async def wanted() -> bool:
        async with scene.stack.sessions.for_workspace(scene.workspace_id) as session:
            return await is_wanted(session, scene.workspace_id, "credits.low")

    assert await wanted()
    for switch, others in ((disable_endpoint, False), (enable_endpoint, True)):
        async with scene.stack.sessions.for_workspace(scene.workspace_id) as session:
            assert await switch(session, scene.workspace_id, endpoint_id)
            assert not await switch(session, scene.workspace_id, endpoint_id)
        assert await wanted() == others
        await scene.tell(1)
        async with scene.stack.sessions.for_workspace(scene.workspace_id) as session:
            await publish_test(session, scene.workspace_id, endpoint_id)
    assert await told(scene) == [endpoint_id] * 2


async def test_nobody_wants_a_type_that_no_endpoint_names(scene: Scene):
    await scene.endpoint(URL, "webhook.test")
    async with scene.stack.sessions.for_workspace(scene.workspace_id) as session:
        assert not await is_wanted(session, scene.workspace_id, "enrichment.records.completed")


async def test_a_test_event_goes_to_its_endpoint_alone_whatever_that_wants(scene: Scene):
    await scene.endpoint(URL, "webhook.test")
    chosen, _ = await scene.endpoint(URL)
    async with scene.stack.sessions.for_workspace(scene.workspace_id) as session:
        event_id = await publish_test(session, scene.workspace_id, chosen)
    (delivery,) = await scene.deliveries()
    assert (delivery["endpoint_id"], delivery["event_id"]) == (chosen, event_id)
    assert delivery["id"].version == 7


async def test_deliveries_and_their_attempts_go_with_the_event_after_thirty_days(scene: Scene):
    async with receiving() as receiver, scene.stack.worker():
        await scene.endpoint(receiver.url)
        await scene.tell(1, 2)
        await scene.until_ended()
        await scene.execute(
            "UPDATE events SET created_at = now() - interval '30 days 1 minute' WHERE data @> '{\"number\": 1}'"
        )
        assert await sweep(scene.stack.resources.platform_sessions) == 1
    (delivery,) = await scene.deliveries()
    assert delivery["data"] == {"number": 2}
    assert [each["delivery_id"] for each in await scene.attempts()] == [delivery["id"]]


async def test_what_waits_for_an_endpoint_that_somebody_disables_has_failed(scene: Scene):
    endpoint_id, _ = await scene.endpoint("http://127.0.0.1:9/")
    await scene.tell(1, 2)
    async with scene.stack.sessions.for_workspace(scene.workspace_id) as session:
        await disable_endpoint(session, scene.workspace_id, endpoint_id)
    async with scene.stack.worker():
        deliveries = await scene.until_ended()
    assert {(each["state"], each["error"]) for each in deliveries} == {("failed", "endpoint_disabled")}
    assert await scene.attempts() == []
