"""The proxy of the tests: a server that goes away and comes back."""

import socket
from contextlib import suppress

from tests.services.proxy import Proxy
from tests.waiting import free_port


def asking(proxy: Proxy) -> socket.socket:
    """A client that has said a word."""
    client = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    client.sendall(b"word")
    return client


def test_a_server_that_was_away_is_reached_again() -> None:
    port = free_port()
    with Proxy(port) as proxy:
        with asking(proxy) as client, suppress(ConnectionError):
            assert client.recv(10) == b""
        with socket.create_server(("127.0.0.1", port)) as server, asking(proxy) as client:
            passed, _ = server.accept()
            with passed:
                assert passed.recv(10) == b"word"
                passed.sendall(b"answer")
                assert client.recv(10) == b"answer"
