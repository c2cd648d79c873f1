"""A request to a WSGI application, without a server."""

import io
import json
from collections.abc import Callable
from typing import Any


def post(application: Callable, body: bytes, **environ: Any) -> tuple[int, Any, dict[str, str]]:
    """Status, JSON (or bytes) and headers of the answer to POST /api/events; `environ` changes anything of it."""
    seen: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        seen.update(status=int(status[:3]), headers=dict(headers))

    standard = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/events",
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.input": io.BytesIO(body),
    }
    content = b"".join(application(standard | environ, start_response))
    is_json = seen["headers"].get("Content-Type") == "application/json"
    return seen["status"], json.loads(content) if is_json else content, seen["headers"]


def bearer(key: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {key}"}
