"""A TCP proxy before a server: it can lose an answer that matters."""

import socket
import threading
from contextlib import suppress
from typing import Self

SIZE = 65_536


class Proxy:
    """Passes everything on, on a port of its own; a context."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._word: bytes | None = None

    def lose_answer_to(self, word: bytes) -> None:
        """End the connection of whoever says the word next, once the server has answered, instead of passing that on."""
        self._word = word

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # it is over
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()  # as a server that is away refuses it
                continue
            _Passage(self, client, server).start()

    def _hears(self, said: bytes) -> bool:
        """Whether this is what was waited for; only once."""
        is_heard = self._word is not None and self._word in said
        if is_heard:
            self._word = None
        return is_heard


class _Passage:
    """One connection."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._is_lost = False

    def start(self) -> None:
        for name, target in (("to", self._ask), ("from", self._answer)):
            threading.Thread(target=target, name=f"proxy {name} the server", daemon=True).start()

    def _ask(self) -> None:
        with suppress(OSError):
            while said := _received(self._client):
                self._is_lost = self._is_lost or self._proxy._hears(said)
                self._server.sendall(said)
        self._end()

    def _answer(self) -> None:
        with suppress(OSError):
            while (said := _received(self._server)) and not self._is_lost:
                self._client.sendall(said)
        self._end()

    def _end(self) -> None:
        for side in (self._client, self._server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it
            side.close()


def _received(side: socket.socket) -> bytes:
    """What a side says; nothing where it is gone."""
    try:
        return side.recv(SIZE)
    except OSError:
        return b""
