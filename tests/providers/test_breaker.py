"""The circuit: when it opens, how it recovers, and where plain pybreaker goes wrong with coroutines."""

import asyncio

import pytest

from app.providers.breaker import PROBE_SECONDS
from app.providers.errors import (
    CircuitOpen,
    CredentialRejected,
    InvalidQuery,
    Malformed,
    Outage,
    PaymentRequired,
    ProviderError,
    RateLimited,
    Transient,
)
from app.providers.ports import CircuitView
from tests.providers.breakers import SETTINGS, Circuit


@pytest.fixture
def circuit() -> Circuit:
    return Circuit()


@pytest.fixture
def opened(circuit: Circuit) -> Circuit:
    circuit.fail(range(5))
    assert circuit.state == "open"
    return circuit


def test_five_failures_in_a_row_of_five_keys_open_it(circuit: Circuit):
    circuit.fail(range(4))
    assert circuit.state == "closed"
    circuit.fail("x")
    assert circuit.state == "open"
    with pytest.raises(CircuitOpen) as refused:
        circuit.breaker.admit("another")
    assert refused.value.retry_after == 30


def test_an_answer_between_failures_starts_the_count_again(circuit: Circuit):
    circuit.fail(range(4))
    circuit.call("fine")
    circuit.fail(range(4))
    assert circuit.state == "closed"


def test_one_poison_key_never_opens_it(circuit: Circuit):
    circuit.fail(["poison"] * 1000)
    assert circuit.state == "closed"


def test_four_dead_keys_never_open_it(circuit: Circuit):
    circuit.fail([1, 2, 3, 4] * 100)
    assert circuit.state == "closed"


def test_the_fifth_key_is_the_evidence_that_was_lacking(circuit: Circuit):
    circuit.fail([1, 2, 3, 4] * 10)
    circuit.fail([5])
    assert circuit.state == "open"


def test_half_of_the_calls_failing_opens_it_without_five_in_a_row(circuit: Circuit):
    for key in range(20):
        circuit.fail([key])
        if circuit.state == "open":
            break
        circuit.call("fine")
    assert circuit.state == "open"


def test_a_rate_is_not_read_from_less_than_half_a_window():
    circuit = Circuit(SETTINGS.model_copy(update={"fail_max": 100}))
    circuit.fail(range(9))
    assert circuit.state == "closed"
    circuit.fail([9])
    assert circuit.state == "open"


def test_a_fifth_of_the_calls_failing_does_not_open_it(circuit: Circuit):
    for key in range(200):
        circuit.fail([key])
        for _ in range(4):
            circuit.call("fine")
    assert circuit.state == "closed"


def test_failures_that_left_the_window_are_forgotten(circuit: Circuit):
    for key in range(8):
        circuit.fail([key])
        circuit.call("fine")
        circuit.call("fine")
    for _ in range(20):
        circuit.call("fine")
    for key in range(4):
        circuit.fail([key])
    assert circuit.state == "closed"


def test_malformed_answers_count_in_the_rate_and_not_in_a_row(circuit: Circuit):
    circuit.fail(range(9), Malformed)
    assert circuit.state == "closed"
    circuit.fail([9], Malformed)
    assert circuit.state == "open"


def test_malformed_answers_of_one_record_never_open_it(circuit: Circuit):
    circuit.fail(["poison"] * 1000, Malformed)
    assert circuit.state == "closed"


def test_a_malformed_answer_does_not_break_a_row_of_failures(circuit: Circuit):
    circuit.fail(range(4))
    circuit.fail("m", Malformed)
    circuit.fail("x")
    assert circuit.state == "open"


@pytest.mark.parametrize("kind", [CredentialRejected, PaymentRequired])
def test_a_refused_key_is_no_verdict(circuit: Circuit, kind: type[ProviderError]):
    circuit.fail(range(4))
    circuit.fail([f"key {n}" for n in range(100)], kind)
    assert circuit.state == "closed"
    circuit.fail("x")
    assert circuit.state == "open"


@pytest.mark.parametrize("kind", [CredentialRejected, PaymentRequired])
def test_a_probe_with_a_refused_key_decides_nothing_and_the_next_call_probes(
    opened: Circuit, kind: type[ProviderError]
):
    opened.pass_time(30)
    opened.fail("x", kind)
    assert opened.state == "half_open"
    opened.call("y", None)
    assert opened.state == "closed"


@pytest.mark.parametrize("kind", [RateLimited, InvalidQuery])
def test_a_refusal_with_a_reason_shows_that_the_vendor_lives(circuit: Circuit, kind: type[ProviderError]):
    circuit.fail(range(100), kind)
    assert circuit.state == "closed"
    circuit.fail(range(4))
    circuit.fail("x", kind)
    circuit.fail(range(4))
    assert circuit.state == "closed"


def test_an_error_of_our_own_is_no_verdict(circuit: Circuit):
    circuit.fail(range(4))
    for key in range(100):
        circuit.call(str(key), KeyError("a bug"))
    assert circuit.state == "closed"
    circuit.fail("x")
    assert circuit.state == "open"


def test_after_the_reset_time_the_next_call_is_a_probe_and_its_answer_closes_it(opened: Circuit):
    opened.pass_time(29.9)
    with pytest.raises(CircuitOpen) as refused:
        opened.breaker.check()
    assert refused.value.retry_after == pytest.approx(0.1)
    opened.pass_time(0.1)
    assert opened.state == "half_open"
    opened.call("probe")
    assert opened.state == "closed"


@pytest.mark.parametrize("kind", [Outage, Transient, Malformed])
def test_a_failed_probe_opens_it_for_another_reset_time(opened: Circuit, kind: type[ProviderError]):
    opened.pass_time(30)
    opened.fail(["probe"], kind)
    assert opened.state == "open"
    with pytest.raises(CircuitOpen) as refused:
        opened.breaker.admit("x")
    assert refused.value.retry_after == 30


def test_a_probe_that_is_rate_limited_closes_it(opened: Circuit):
    opened.pass_time(30)
    opened.fail(["probe"], RateLimited)
    assert opened.state == "closed"


def test_it_begins_anew_after_it_closed(opened: Circuit):
    opened.pass_time(30)
    opened.call("probe")
    opened.fail(range(4))
    assert opened.state == "closed"


def test_each_transition_is_told_once_with_the_time_until_it_half_opens(opened: Circuit):
    opened.pass_time(30)
    opened.call("probe")
    assert opened.transitions == [
        CircuitView("vendor", "open", 1_700_000_030.0),
        CircuitView("vendor", "half_open", None),
        CircuitView("vendor", "closed", None),
    ]


class TestWherePybreakerGoesWrongWithCoroutines:
    """The numbered facts of its trial with asyncio, each as what must not happen here."""

    async def test_1_a_failing_coroutine_trips_it(self, circuit: Circuit):
        async def fails(key: int) -> None:
            with circuit.breaker.admit(str(key)):
                await asyncio.sleep(0)
                raise Outage("vendor", "is away")

        ended = await asyncio.gather(*(fails(key) for key in range(10)), return_exceptions=True)
        assert circuit.state == "open"
        assert {type(each) for each in ended} == {Outage}  # and no error of pybreaker's gets out

    async def test_2_calls_overlap(self, circuit: Circuit):
        with circuit.breaker.admit("a"), circuit.breaker.admit("b"):
            circuit.call("c")

    async def test_3_half_open_admits_one_of_a_hundred(self, opened: Circuit):
        opened.pass_time(30)
        answered = asyncio.Event()

        async def call(key: int) -> str:
            with opened.breaker.admit(str(key)):
                await answered.wait()
            return "probed"

        calls = [asyncio.create_task(call(key)) for key in range(100)]
        await asyncio.sleep(0)
        answered.set()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        refused = [each for each in ended if isinstance(each, CircuitOpen)]
        assert ended.count("probed") == 1
        assert len(refused) == 99
        assert {each.retry_after for each in refused} == {PROBE_SECONDS}
        assert opened.state == "closed"

    async def test_4_cancelled_calls_are_no_verdict(self, circuit: Circuit):
        circuit.fail(range(4))
        for key in range(100):
            circuit.call(str(key), asyncio.CancelledError())
        assert circuit.state == "closed"
        circuit.fail("x")  # nor were they successes
        assert circuit.state == "open"

    async def test_5_a_cancelled_probe_frees_its_place_and_closes_nothing(self, opened: Circuit):
        opened.pass_time(30)
        opened.call("probe", asyncio.CancelledError())
        assert opened.state == "half_open"
        opened.call("next probe")
        assert opened.state == "closed"

    async def test_6_late_failures_of_an_older_epoch_change_nothing(self, circuit: Circuit):
        late = [circuit.breaker.admit(str(key)) for key in range(10)]
        circuit.fail(range(5))
        circuit.pass_time(20)
        for admission in late:
            circuit.breaker.settle(admission, Outage("vendor", "is away"))
        circuit.pass_time(10)
        assert circuit.state == "half_open"  # opened_at did not move
        circuit.call("probe")
        assert circuit.state == "closed"
        assert len(circuit.transitions) == 3

    async def test_6_late_answers_of_an_older_epoch_close_nothing(self, circuit: Circuit):
        late = circuit.breaker.admit("late")
        circuit.fail(range(5))
        circuit.pass_time(30)
        probe = circuit.breaker.admit("probe")
        circuit.breaker.settle(late, None)
        assert circuit.state == "half_open"
        circuit.breaker.settle(probe, Outage("vendor", "is away"))
        assert circuit.state == "open"

    async def test_7_the_providers_own_error_comes_through_with_its_traceback_unchanged(self, circuit: Circuit):
        circuit.fail(range(4))
        error = Outage("vendor", "is away")
        with pytest.raises(Outage) as raised, circuit.breaker.admit("x"):
            raise error
        assert raised.value is error
        assert error.__context__ is None
        assert all("pybreaker" not in str(entry.path) for entry in raised.traceback)


def test_a_restored_open_circuit_stays_open_for_what_is_left(circuit: Circuit):
    circuit.breaker.restore("open", circuit.wall.now + 12)
    with pytest.raises(CircuitOpen) as refused:
        circuit.breaker.check()
    assert refused.value.retry_after == pytest.approx(12)
    assert circuit.breaker.view() == CircuitView("vendor", "open", circuit.wall.now + 12)
    assert circuit.transitions == []
    circuit.pass_time(12)
    circuit.call("probe")
    assert circuit.state == "closed"


def test_a_restored_circuit_trusts_no_clock_beyond_its_reset_time(circuit: Circuit):
    circuit.breaker.restore("open", circuit.wall.now + 86_400)
    circuit.pass_time(30)
    assert circuit.state == "half_open"


@pytest.mark.parametrize(("state", "opens_until"), [("open", 1_600_000_000.0), ("half_open", None), ("open", None)])
def test_a_restored_circuit_whose_time_is_over_admits_one_probe(
    circuit: Circuit, state: str, opens_until: float | None
):
    circuit.breaker.restore(state, opens_until)  # type: ignore[arg-type]
    with circuit.breaker.admit("probe"), pytest.raises(CircuitOpen):
        circuit.breaker.admit("second")
    assert circuit.state == "closed"


def test_a_circuit_restored_as_closed_forgets_a_probe_under_way(opened: Circuit):
    opened.pass_time(30)
    probe = opened.breaker.admit("probe")
    opened.breaker.restore("closed", None)
    opened.call("x")
    opened.breaker.settle(probe, Outage("vendor", "is away"))
    assert opened.state == "closed"
