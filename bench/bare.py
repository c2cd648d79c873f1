"""A WSGI function that reads a request and answers as the collector does, and nothing else: the limit of any collector."""

from collections.abc import Callable, Iterable

ANSWER = b'{"accepted":1,"duplicates":0,"rejected":[]}'
HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(ANSWER)))]


def application(environ: dict, start_response: Callable) -> Iterable[bytes]:
    environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("202 Accepted", HEADERS)
    return [ANSWER]
