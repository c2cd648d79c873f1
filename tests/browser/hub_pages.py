"""A running collector and a customer's website on another origin, for tests of the tracker in a real browser."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

STUB = """affluence = {q: []};
"view page share download print play click search feature event consent".split(" ")
  .forEach(function (name) { affluence[name] = function () { affluence.q.push([name].concat([].slice.call(arguments))) } });"""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(server: ThreadingHTTPServer | _Server) -> Iterator[str]:
    """Serve from threads; gives the origin."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Gate:
    """Stands before the collector as a proxy does: notes what is posted, and may answer in its stead."""

    application: Callable
    bodies: list[Any] = field(default_factory=list)
    answers: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """What the next posts are answered, instead of by the collector: status line and headers."""
    refuses: Callable[[Any], bool] = lambda body: False
    """Whether a body is answered 400."""

    def __call__(self, environ: dict, start_response: Callable) -> Any:
        if environ["REQUEST_METHOD"] != "POST" or environ["PATH_INFO"] != "/api/events":
            return self.application(environ, start_response)
        content = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = _Once(content)
        body = json.loads(content)
        self.bodies.append(body)
        if self.refuses(body):
            return self._answer(start_response, "400 Bad Request", {})
        if self.answers:
            return self._answer(start_response, *self.answers.pop(0))
        return self.application(environ, start_response)

    def _answer(self, start_response: Callable, status: str, headers: dict[str, str]) -> list[bytes]:
        cors = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
        start_response(status, list((cors | headers).items()))
        return [b""]

    @property
    def posted(self) -> list[dict]:
        """The events of all bodies, in order, also those posted again."""
        return [event for body in self.bodies for event in body["events"]]


class _Once:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, size: int) -> bytes:
        content, self._content = self._content[:size], self._content[size:]
        return content


@contextmanager
def collector(application: Callable) -> Iterator[tuple[str, Gate]]:
    """The collector on a port of its own; gives its origin and the gate before it."""
    gate = Gate(application)
    server = _Server(("127.0.0.1", 0), _Quiet)
    server.set_app(gate)
    with serving(server) as origin:
        yield origin, gate


@contextmanager
def website(script_of: Callable[[str], str]) -> Iterator[str]:
    """A website whose every page has the script that `script_of` gives for its path; gives its origin.

    `/plain…` has no script at all; a path with `csp` allows scripts of the two origins alone, and nothing inline.
    """

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = self._content().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            if "csp" in self.path:
                origin = script_of("origin")
                self.send_header(
                    "Content-Security-Policy", f"default-src 'none'; script-src {origin}; connect-src {origin}"
                )
            self.end_headers()
            self.wfile.write(content)

        def _content(self) -> str:
            script = "" if self.path.startswith("/plain") else script_of(self.path)
            tall = '<p style="height: 3000px">A hub</p>' if "csp" not in self.path else ""
            return f'<!doctype html><html lang="en"><title>A hub</title>{script}<body>{tall}<a href="/next">Next</a>'

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Page)) as origin:
        yield origin
