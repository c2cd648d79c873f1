"""For tests with real processes: a port of their own, and waiting with a deadline."""

import socket
import time
from collections.abc import Callable

READY_S, VISIBLE_S, HEALED_S = 120, 60, 90
"""When a machine that is busy has to be done; how long it takes on one that is not is measured in `bench`."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(is_so: Callable[[], bool], seconds: float) -> float:
    """Wait until it is so; returns how long it took. Fails after `seconds`."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds, f"not so within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - began
