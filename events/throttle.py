"""How often somebody may come: a token bucket for each, in the memory of this process."""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache

CAPACITY = 10_000
IPV6_NETWORK = 64
"""The bits of an IPv6 address that one subscriber has; the others he chooses himself."""


class Throttle:
    """Lets each name come `rate` times a second, and `burst` times at once; a rate of 0 is no limit.

    At most `capacity` names are remembered, the last ones: one that was forgotten may begin with a burst again.
    """

    def __init__(
        self, rate: float, burst: float, capacity: int = CAPACITY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._span = burst * self._interval
        self._capacity = capacity
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, name: str) -> float:
        """0.0 where `name` may come now, which is counted; else the seconds until it may, and nothing is counted."""
        if not self._interval:
            return 0.0
        with self._lock:
            now = self._clock()
            # When the bucket will be full again; it is empty where that is a whole span ahead.
            full_at = max(self._full_at.pop(name, now), now)
            wait = full_at + self._interval - self._span - now
            self._full_at[name] = full_at if wait > 0 else full_at + self._interval
            if len(self._full_at) > self._capacity:
                self._full_at.popitem(last=False)
        return max(wait, 0.0)


@lru_cache(maxsize=CAPACITY)
def network_of(address: str) -> str:
    """Who counts as one: an IPv4 address, also one written as IPv6, the /64 of an IPv6 address; what is none, as it is."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, IPV6_NETWORK), strict=False))
    return str(_unmapped(found))


def is_this_machine(address: str) -> bool:
    """True for a loopback address: a proxy that TRUSTED_PROXIES does not count, which stands for everybody."""
    try:
        return _unmapped(ipaddress.ip_address(address.partition("%")[0])).is_loopback
    except ValueError:
        return False


def _unmapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address
