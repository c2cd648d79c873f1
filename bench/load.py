"""A load generator: keep-alive connections in one thread, with requests that were built before."""

import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec


@dataclass(slots=True)
class Loaded:
    """What a run of requests gave: seconds from the first request to the last answer, and the latencies of each."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    bodies: list[bytes] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    unanswered: list[bytes] = field(default_factory=list)
    own_seconds: float = 0.0

    def sum_of(self, name: str) -> int:
        """The sum of a number over the JSON answers."""
        return sum(msgspec.json.decode(body).get(name, 0) for body in self.bodies)


def request_of(body: bytes) -> bytes:
    """A POST of the collector's path, as bytes on the wire."""
    return (
        b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
        b" AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\nAccept-Language: fr-CH,fr\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )


class _Connection:
    """One request at a time."""

    __slots__ = ("began", "buffer", "request", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = self.request = b""
        self.began = 0.0

    def send(self, request: bytes) -> None:
        self.began, self.request = time.perf_counter(), request
        self.socket.sendall(request)

    def answer(self) -> tuple[int, bytes] | None:
        """Status and body, once all of it is there."""
        received = self.socket.recv(65_536)
        if not received:
            raise ConnectionError("The server closed a connection.")
        self.buffer += received
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        at = head.lower().index(b"content-length:") + 15
        if len(body) < int(head[at : head.find(b"\r\n", at) if b"\r\n" in head[at:] else None]):
            return None
        self.buffer = b""
        return int(head[9:12]), body


def post(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> Loaded:
    """Send requests for some seconds, or until there are no more, with as many under way as there are connections.

    A connection that the server closes is not opened again; its request is among those without an answer.
    """
    loaded = Loaded()
    with selectors.DefaultSelector() as selector:
        everyone = [_Connection(port) for _ in range(connections)]
        cpu_began, began = time.thread_time(), time.perf_counter()
        under_way = 0
        for connection, request in zip(everyone, requests, strict=False):
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(request)
            under_way += 1
        while under_way:
            for key, _ in selector.select():
                connection = key.data
                try:
                    found = connection.answer()
                except ConnectionError:
                    selector.unregister(connection.socket)
                    loaded.unanswered.append(connection.request)
                    under_way -= 1
                    continue
                if found is None:
                    continue
                now = time.perf_counter()
                loaded.latencies.append(now - connection.began)
                loaded.statuses[found[0]] += 1
                loaded.bodies.append(found[1])
                following = next(requests, None) if now - began < seconds else None
                if following is None:
                    under_way -= 1
                else:
                    connection.send(following)
        loaded.seconds, loaded.own_seconds = time.perf_counter() - began, time.thread_time() - cpu_began
        for connection in everyone:
            connection.socket.close()
    return loaded


def insist(port: int, requests: Iterable[bytes]) -> int:
    """Send each request until it is answered 202; returns how many there were."""
    count = 0
    for request in requests:
        status = 0
        while status != 202:
            status = _answered(port, request)
        count += 1
    return count


def _answered(port: int, request: bytes) -> int:
    """The status of an answer; 0 where there is none."""
    try:
        connection = _Connection(port)
        with connection.socket:
            connection.send(request)
            while (found := connection.answer()) is None:
                continue
            return found[0]
    except OSError:
        return 0
