"""A token bucket for each name."""

import pytest

from events.throttle import Throttle, is_this_machine, network_of


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_the_rate():
    clock = Clock()
    throttle = Throttle(2, burst=3, clock=clock)
    waits = []
    for after in (0, 0, 0, 0, 0.25, 0.25, 0, 10, 0, 0, 0):
        clock.now += after
        waits.append(throttle.wait("ann"))
    assert waits == [0, 0, 0, 0.5, 0.25, 0, 0.5, 0, 0, 0, 0.5]


def test_each_name_has_its_own():
    throttle = Throttle(1, burst=1, clock=Clock())
    assert [throttle.wait(name) for name in ("a", "b", "a")] == [0, 0, 1]


def test_a_rate_of_nothing_is_no_limit():
    assert {Throttle(0, burst=0).wait("ann") for _ in range(100)} == {0}


def test_it_remembers_the_last_names():
    throttle = Throttle(1, burst=1, capacity=2, clock=Clock())
    assert [throttle.wait(name) for name in ("a", "b", "a", "c", "a", "b")] == [0, 0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("unix:" + "x" * 100, "unix:" + "x" * 59),
    ],
)
def test_who_counts_as_one(address, network):
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("address", "is_local"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("192.0.2.1", False), ("unix:", False)],
)
def test_what_comes_from_this_machine(address, is_local):
    assert is_this_machine(address) is is_local
