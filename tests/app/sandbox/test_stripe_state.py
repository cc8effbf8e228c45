"""What the emulated Stripe keeps when the sandbox ends, and goes on with."""

import json
from pathlib import Path

import aiohttp
import pytest
import stripe

from app.sandbox.server import SandboxOptions, serve
from tests.app.sandbox.test_process import start
from tests.app.sandbox.test_stripe_events import Receiver, listening
from tests.stripe_sandbox import MONTH, StripeSandbox, open_stripe, running_stripe

PAYLOAD = {"event_name": "holdfast_credits", "identifier": "batch-1"}


async def report(emulated: StripeSandbox, customer: str) -> None:
    payload = {"stripe_customer_id": customer, "value": "5"}
    await emulated.api.v1.billing.meter_events.create_async({**PAYLOAD, "payload": payload})  # type: ignore[typeddict-item]


async def test_everything_goes_on_where_it_was(tmp_path: Path):
    options = SandboxOptions(state=tmp_path / "stripe.json")
    async with running_stripe(options) as before:
        customer = await before.customer(name="Ada")
        bought = await before.subscribe(customer)
        await before.advance(MONTH, customer)
        await report(before, customer)
        first = await before.api.v1.customers.create_async({"name": "Eve"}, {"idempotency_key": "one"})
        objects = {kind: await before.objects(kind) for kind in ("subscriptions", "invoices", "charges", "events")}
    async with running_stripe(options) as after:
        assert {kind: await after.objects(kind) for kind in objects} == objects
        assert (await after.api.v1.customers.retrieve_async(customer)).name == "Ada"
        again = await after.api.v1.customers.create_async({"name": "Eve"}, {"idempotency_key": "one"})
        assert again.id == first.id
        with pytest.raises(stripe.InvalidRequestError):
            await report(after, customer)
        assert await after.control("GET", "/_stripe/usage") == {"holdfast_credits": {customer: 5}}
        await after.advance(MONTH, customer)
        assert len(await after.objects("invoices", customer)) == 3
        assert (await after.api.v1.subscriptions.retrieve_async(bought.id)).status == "active"
    assert (tmp_path / "stripe.json").stat().st_mode & 0o077 == 0


async def test_events_that_were_under_way_arrive_after_the_restart(tmp_path: Path):
    options = SandboxOptions(state=tmp_path / "stripe.json")
    async with listening(Receiver()) as receiver:
        async with running_stripe(options) as before:
            await before.set(delay_from_ms=600_000, delay_to_ms=600_000)
            await before.webhook(receiver.url)
            await before.customer()
        assert receiver.bodies == []
        async with running_stripe(options) as after:
            await after.settle()
            assert [each["type"] for each in receiver.events] == ["customer.created"]


async def test_a_process_that_is_killed_loses_a_second_at_most(tmp_path: Path):
    state = tmp_path / "stripe.json"
    process = await start("--port", "0", "--dns-port", "0", "--state", str(state))
    try:
        port = json.loads(await process.stdout.readline())["http_port"]
        async with open_stripe(f"http://127.0.0.1:{port}") as emulated:
            customer = await emulated.customer()
            async with aiohttp.ClientSession() as session:
                while not state.exists() or customer.encode() not in state.read_bytes():
                    async with session.get(f"{emulated.sandbox_url}/_stripe") as answer:
                        assert answer.status == 200
    finally:
        process.kill()
        await process.communicate()
    async with running_stripe(SandboxOptions(state=state)) as after:
        assert (await after.api.v1.customers.retrieve_async(customer)).id == customer


@pytest.mark.parametrize("content", ['{"version": 0}', "[]", "{broken", ""])
async def test_a_file_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path, content: str):
    state = tmp_path / "stripe.json"
    state.write_text(content)
    with pytest.raises(ValueError, match=r"stripe\.json"):
        await serve(SandboxOptions(state=state))
    assert state.read_text() == content


async def test_the_process_says_so_in_one_line(tmp_path: Path):
    state = tmp_path / "stripe.json"
    state.write_text("[]")
    process = await start("--port", "0", "--dns-port", "0", "--state", str(state))
    said, errors = await process.communicate()
    assert (process.returncode, said) == (1, b"")
    assert errors.count(b"\n") == 1


async def test_a_webhook_that_is_given_at_the_start_is_there_once(tmp_path: Path):
    options = SandboxOptions(state=tmp_path / "stripe.json", stripe_webhook=("http://127.0.0.1:9/", "whsec_given"))
    for _ in range(2):
        async with running_stripe(options) as emulated:
            assert len((await emulated.api.v1.webhook_endpoints.list_async()).data) == 1
