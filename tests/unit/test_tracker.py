"""GET /tracker.js: small, for every page, and without a trace."""

import gzip
import re
from pathlib import Path

import pytest
from django.test import Client

from events.served import served
from events.tracker.script import SCRIPT

SOURCE = SCRIPT.read_text(encoding="utf-8")
DOCS = (Path(__file__).resolve().parents[2] / "docs" / "tracker.md").read_text(encoding="utf-8")
CALLS = {
    *("view", "page", "share", "link", "download", "print", "play", "click", "search", "feature"),
    "event",
    "consent",
}


def test_it_is_less_than_three_kilobytes() -> None:
    assert len(served(SCRIPT).zipped) < 3_000


def test_it_is_answered_to_pages_of_any_origin() -> None:
    answer = Client(headers={"Accept-Encoding": "gzip, br"}).get("/tracker.js")
    headers = {
        name: answer.headers.get(name)
        for name in (
            *("Content-Type", "Content-Encoding", "Cache-Control", "Vary", "Set-Cookie"),
            *("Access-Control-Allow-Origin", "Cross-Origin-Resource-Policy"),
        )
    }
    assert headers == {
        "Content-Type": "text/javascript; charset=utf-8",
        "Content-Encoding": "gzip",
        "Cache-Control": "public, max-age=86400",
        "Vary": "Accept-Encoding",
        "Set-Cookie": None,
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    assert gzip.decompress(answer.content) == served(SCRIPT).plain


@pytest.mark.parametrize("encoding", ["", "br", "gzip;q=0", "gzip; q=0.0, br"])
def test_it_is_plain_for_clients_without_gzip(encoding: str) -> None:
    answer = Client(headers={"Accept-Encoding": encoding}).get("/tracker.js")
    assert (answer.content, answer.headers.get("Content-Encoding")) == (served(SCRIPT).plain, None)


def test_it_is_not_sent_again_to_who_has_it() -> None:
    client = Client(headers={"Accept-Encoding": "gzip"})
    etag = client.get("/tracker.js").headers["ETag"]
    again = client.get("/tracker.js", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


def test_its_types_name_every_call() -> None:
    types = Client().get("/tracker.d.ts").content.decode()
    assert set(re.findall(r"^  ([a-z]+)\(", types, re.MULTILINE)) == CALLS


def test_its_guide_names_every_call_and_parameter() -> None:
    named = [f"affluence.{call}(" for call in CALLS]
    named += ["`afv`", "`afi`", "`utm_source`", "`ref`", "data-hub", "data-api", "data-storage"]
    assert [name for name in named if name not in DOCS] == []


def test_it_uses_nothing_that_a_content_security_policy_forbids() -> None:
    assert re.findall(r"\beval\b|new Function|innerHTML|document\.cookie|\.style\b", SOURCE) == []
