"""For tests with real processes: a port of their own, and waiting with a deadline."""

import socket
import time
from collections.abc import Callable


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
