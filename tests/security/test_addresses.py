"""No address of a reader is kept anywhere: the real processes run, and every byte that they wrote is searched."""

import http.cookiejar
import ipaddress
import json
import re
import signal
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow.parquet
import pytest

from events.log import LogCorrupt
from events.logs.orm import unpack
from tests.end_to_end.test_line import Line
from tests.waiting import READY_S, VISIBLE_S, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("serve")]

FORWARDED, FORWARDED_6 = "203.0.113.77", "2001:db8:77:1:aaaa:bbbb:cccc:dddd"
FORWARDED_BAD = "203.0.113.78"
GIVEN, GIVEN_6, GIVEN_BAD = "198.51.100.88", "2001:db8:88:1:aaaa:bbbb:cccc:dddd", "198.51.100.89"
LOGIN = "203.0.113.79"
LIST, LONG = "198.51.100.97", "198.51.100.98"
ADDRESSES = (FORWARDED, FORWARDED_6, FORWARDED_BAD, GIVEN, GIVEN_6, GIVEN_BAD, LOGIN)
MISPLACED = (LIST, LONG)
FORGED = "192.0.2.66"
CHANCE = 4


def forms(address: str) -> dict[str, bytes]:
    """How an address may be written: text, packed bytes, a number, hexadecimal."""
    parsed = ipaddress.ip_address(address)
    packed = parsed.packed
    return {
        "text": address.encode(),
        "exploded": parsed.exploded.encode(),
        "utf-16": address.encode("utf-16-le"),
        "packed": packed,
        "packed backwards": packed[::-1],
        "number": str(int(parsed)).encode(),
        "hexadecimal": packed.hex().encode(),
    }


class Sender:
    """A browser behind a proxy, and a customer's server."""

    def __init__(self, line: Line) -> None:
        self.line = line
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def open(self, path: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://127.0.0.1:{self.line.port}{path}", data, named)
        try:
            with self.opener.open(request, timeout=15) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def collect(self, address: str, *events: dict) -> None:
        body = json.dumps({"events": list(events)}).encode()
        chain = f"{FORGED}, {address}"
        assert self.open("/api/events", body, X_Forwarded_For=chain, User_Agent="Mozilla/5.0 Firefox/140.0")[0] == 202

    def fail_to_log_in(self, page: str, address: str) -> int:
        chain = {"X_Forwarded_For": f"{FORGED}, {address}"}
        found = re.search(rb'csrfmiddlewaretoken" value="(\w+)"', self.open(page, **chain)[1])
        assert found is not None
        form = {"username": "anna", "password": "wrong", "csrfmiddlewaretoken": found[1].decode(), "next": "/"}
        return self.open(page, urllib.parse.urlencode(form).encode(), **chain)[0]


def event(**fields) -> dict:
    return {"hub": "acme", "action": "view", "media": "cat-1"} | fields


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a run leaves behind: events with and without a key, accepted and rejected, batch, and failed logins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUSTED_PROXIES", "1")
        patch.setenv("LOG_LEVEL", "DEBUG")
        line = Line(tmp_path_factory.mktemp("addresses") / "data")
    try:
        until(line.is_healthy, READY_S)
        line.keys = line.manage("create_hub", "acme")["keys"]
        _send(line)
        until(lambda: (line.totals() or {}).get("events") == 7, VISIBLE_S)
        line.manage("run_batch", "--daily")
        _send(line)
        until(lambda: (line.totals() or {}).get("events") == 14, VISIBLE_S)
        line.stop(signal.SIGTERM)
        yield line.data_dir
    finally:
        line.stop(signal.SIGKILL)
        for process in line.processes():
            process.kill()


def _send(line: Line) -> None:
    sender = Sender(line)
    for address in (FORWARDED, FORWARDED_6):
        sender.collect(address, event(), event(visitor="ann"), event(page=0, action="read"))
    sender.collect(FORWARDED_BAD, event(hub="none"), event(page=0), {"action": "view"}, "no event", event(ip=FORWARDED))
    line.post(
        event(ip=GIVEN, user_agent="Mozilla/5.0 Firefox/140.0"),
        event(ip=GIVEN_6, visitor="bob"),
        event(ip=GIVEN_BAD, page=0),
        event(ip=GIVEN_BAD, hub="none"),
        event(ip=GIVEN_BAD, occurred_at="soon"),
        event(ip=[LIST]),
        event(ip=LONG + "0" * 128),
    )
    sender.open("/api/hubs/acme/stats?metrics=events", X_Forwarded_For=FORWARDED)
    statuses = [sender.fail_to_log_in(page, LOGIN) for page in ("/login", "/admin/login/") for _ in range(3)]
    assert {*statuses} <= {200, 429}


def stored(data_dir: Path) -> Iterator[tuple[str, bytes]]:
    """Everything that was written: each file as it is, and what is packed in chunks and columns, as text."""
    for path in sorted([*data_dir.rglob("*"), data_dir.parent / "serve.log"]):
        if path.is_file() and "static" not in path.relative_to(data_dir.parent).parts:
            yield str(path), path.read_bytes()
            if path.suffix == ".parquet":
                yield f"{path} decoded", repr(pyarrow.parquet.read_table(path).to_pylist()).encode()
            if path.suffix == ".sqlite3":
                yield from _rows(path)


def _rows(path: Path) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield f"{path} {table}", b"\0".join(_written(value) for value in row)


def _written(value: object) -> bytes:
    """A value as it is, and a chunk's events beside its bytes."""
    if not isinstance(value, bytes):
        return str(value).encode()
    try:
        return value + repr(unpack(value)).encode()
    except LogCorrupt:
        return value


def is_decoded(where: str) -> bool:
    """True for rows and columns; megabytes of compressed bytes hold any four bytes by chance."""
    return not Path(where).exists()


def found(data_dir: Path, *addresses: str) -> list[tuple[str, str, str]]:
    searched = {(address, form): written for address in addresses for form, written in forms(address).items()}
    return [
        (where, address, form)
        for where, content in stored(data_dir)
        for (address, form), written in searched.items()
        if written in content and (len(written) > CHANCE or is_decoded(where))
    ]


def test_no_address_is_kept(data_dir: Path) -> None:
    assert found(data_dir, *ADDRESSES, FORGED) == []


def test_no_address_of_a_wrong_type_is_kept(data_dir: Path) -> None:
    assert found(data_dir, *MISPLACED) == []


def test_the_search_sees_what_is_stored(data_dir: Path) -> None:
    """In the log's chunks, in the archive, in the inbox and in the failed logins, else the tests before are blind."""
    everything = list(stored(data_dir))
    kinds = {"events_chunk": b"cat-1", "events_rejectedevent": b"soon", "parquet decoded": b"cat-1"}
    kinds |= {"axes_accessattempt": b"anna", "appendonly": b"", "serve.log": b""}
    assert {
        kind: any(kind in where and text in content for where, content in everything) for kind, text in kinds.items()
    } == dict.fromkeys(kinds, True)
