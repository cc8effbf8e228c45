"""The circuit: answers that come late, the cause that it names, and the hand that holds it open."""

import pytest

from app.providers.breaker import HELD_SECONDS
from app.providers.errors import CircuitOpen, Malformed, Transient
from app.providers.ports import CircuitView
from tests.providers.breakers import SETTINGS, Circuit

SLOW = SETTINGS.model_copy(update={"slow_seconds": 3.0})


@pytest.fixture
def circuit() -> Circuit:
    return Circuit()


@pytest.fixture
def opened(circuit: Circuit) -> Circuit:
    circuit.fail(range(5))
    return circuit


def answer_after(circuit: Circuit, seconds: float, key: str) -> None:
    with circuit.breaker.admit(key):
        circuit.pass_time(seconds)


def test_answers_that_take_too_long_count_in_the_rate_and_not_in_a_row():
    circuit = Circuit(SLOW)
    for key in range(9):
        answer_after(circuit, 3.1, str(key))
    assert circuit.state == "closed"
    answer_after(circuit, 3.1, "9")
    assert circuit.state == "open"
    assert circuit.breaker.cause == {"errors": {"slow": 10}, "sample": None}


def test_answers_within_their_time_never_open_it():
    circuit = Circuit(SLOW)
    for key in range(100):
        answer_after(circuit, 3.0, str(key))
    assert circuit.state == "closed"


def test_without_a_limit_no_answer_is_late(circuit: Circuit):
    for key in range(100):
        answer_after(circuit, 60, str(key))
    assert circuit.state == "closed"


def test_a_late_answer_does_not_break_a_row_of_failures():
    circuit = Circuit(SLOW)
    circuit.fail(range(4))
    answer_after(circuit, 5, "late")
    circuit.fail("x")
    assert circuit.state == "open"
    assert circuit.breaker.cause == {"errors": {"provider_outage": 5, "slow": 1}, "sample": "vendor: is away"}


def test_a_probe_that_is_answered_late_keeps_it_open():
    circuit = Circuit(SLOW)
    circuit.fail(range(5))
    circuit.pass_time(30)
    answer_after(circuit, 5, "probe")
    assert circuit.state == "open"


def test_the_cause_is_what_is_in_the_window_and_begins_anew_with_each_outage(circuit: Circuit):
    circuit.call("odd", Malformed("vendor", "no JSON"))
    circuit.fail(range(5), Transient)
    assert circuit.breaker.cause == {
        "errors": {"malformed_response": 1, "provider_transient": 5},
        "sample": "vendor: is away",
    }
    circuit.pass_time(30)
    circuit.call("probe")
    circuit.fail(range(5))
    assert circuit.breaker.cause["errors"] == {"provider_outage": 5}


def test_held_open_it_admits_no_probe_however_long_it_takes(opened: Circuit):
    opened.breaker.hold()
    opened.pass_time(86_400)
    with pytest.raises(CircuitOpen) as refused:
        opened.breaker.admit("x")
    assert refused.value.retry_after == HELD_SECONDS
    assert opened.breaker.view() == CircuitView("vendor", "open", None)
    opened.breaker.restore("closed", None)
    opened.call("x")
