"""Ports: what is free, and whose it is before anybody listens."""

from app.local.ports import PortClaims, free_port


def test_two_stacks_that_start_at_once_choose_different_ports() -> None:
    wanted = free_port()
    first, second = PortClaims(), PortClaims()
    assert first.choose([wanted]) == wanted
    assert second.choose([wanted]) != wanted
    first.close()
    third = PortClaims()
    assert third.choose([wanted]) == wanted
    second.close()
    third.close()


def test_one_stack_chooses_each_port_once() -> None:
    wanted = free_port()
    claims = PortClaims()
    assert claims.choose([wanted]) == wanted
    assert claims.choose([wanted]) != wanted
    claims.close()
