"""Bad requests to collect events, from a seed, with good ones beside them in the same and in other batches.

    python -m tests.security.fuzz --count 100000 [--seed 1]

prints, as JSON, how often each status was answered, each answer of 500 and more with the request that got it, and
whether the log holds exactly the good events. It makes a DATA_DIR of its own and removes it.
"""

import argparse
import gzip
import json
import logging
import os
import random
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import django
import msgspec
from django.core.management import call_command

from events.sent import REPLAYED_VISITOR, TrustedSent, decoded_value
from tests.security.wire import bearer, post

WORDS = [*(field.name for field in msgspec.structs.fields(TrustedSent)), REPLAYED_VISITOR]
TOKENS = (
    *("null", "true", "false", "NaN", "-Infinity", "Infinity", "-0", "-0.0", "1e999", "-1e999", "1e-999", "0x10", "01"),
    *("9" * 39, "9" * 41, "9" * 5000, "-" + "9" * 5000, "1e5000", "9223372036854775807", "9223372036854775808", "1.5"),
    *("2147483647", "2147483648", "3600000", "3600001", "3600000.0", "1E2", "+1", ".5", "1.", "--1", "''", "undefined"),
    *('""', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\uffff"', '"\\u202e"', '"\\x41"', '"unended', '"\t"'),
    *('"1970-01-01T00:00:00Z"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-23:59"', '"2026-W01-1T00:00Z"'),
    *('"2024-02-30T00:00:00Z"', '"2024-01-01T24:00:00Z"', '"2024-01-01T00:00:60Z"', '"2024-01-01T00:00:00+99:99"'),
    *("[]", "{}", "[[]]", '{"":{}}', '{"a":{"b":1}}', '{"a":[1]}', '{"a":null}', '{"a":1,"a":"2"}', '{"\\u0000":1}'),
    *('"' + "x" * size + '"' for size in (64, 65, 128, 129, 2000, 2001)),
    *('"' + text + '"' for text in ("<script>", "é" * 129, "\U0001f600" * 128, "\u200b", "a\u0300", "%00", "../..")),
)


GOOD = "good"


def good_event(name: str) -> dict[str, Any]:
    """The good event of an id, but for its hub and visitor."""
    number = int(name.rpartition("-")[2])
    told = {"action": "read", "media": f"m{number % 7}", "page": 1 + number % 9, "duration_ms": number % 1000}
    return {"id": name, "title": "é <b> \u202e"} | told


@dataclass
class Fuzz:
    """Bad requests of one seed. `good` holds the ids of the good events that were put beside bad ones."""

    seed: int
    keys: dict[str, str]
    good: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def requests(self, count: int) -> Iterator[tuple[bytes, dict[str, Any], list[str]]]:
        """Body, WSGI environment, and the ids of the good events in the body, which must all be accepted."""
        for _ in range(count):
            yield self.random.choice(MAKERS if self.random.random() < 0.98 else COSTLY)(self)

    def good_event(self) -> str:
        event = good_event(f"{GOOD}-{self.seed}-{len(self.good)}")
        self.good.append(event["id"])
        return json.dumps({"hub": "acme", "visitor": f"v{len(self.good) % 50}"} | event)

    def value(self, depth: int = 0) -> str:
        """The text of a value, JSON or nearly."""
        chance = self.random.random()
        if depth < 4 and chance < 0.1:
            return "[" + ",".join(self.value(depth + 1) for _ in range(self.random.randrange(4))) + "]"
        if depth < 4 and chance < 0.25:
            return (
                "{" + ",".join(f"{self.key()}:{self.value(depth + 1)}" for _ in range(self.random.randrange(25))) + "}"
            )
        if chance < 0.4:
            return json.dumps(self.text(), ensure_ascii=self.random.random() < 0.5)
        if chance < 0.5:
            return str(
                self.random.choice((self.random.randrange(-(10**30), 10**30), self.random.uniform(-1e308, 1e308)))
            )
        return self.random.choice(TOKENS)

    def key(self) -> str:
        chance = self.random.random()
        if chance < 0.8:
            return json.dumps(self.random.choice(WORDS))
        return self.random.choice(TOKENS) if chance < 0.85 else json.dumps(self.text())

    def text(self) -> str:
        ranges = ((0, 0x80), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x110000), (0x200B, 0x2070))
        low, high = self.random.choice(ranges)
        return "".join(
            chr(self.random.randrange(low, high)) for _ in range(self.random.choice((0, 1, 5, 64, 129, 300)))
        )

    def bad_event(self) -> str:
        """An event in which some fields are of a wrong type, out of range, doubled or no JSON."""
        fields = {name: self.value() for name in self.random.sample(WORDS, self.random.randrange(1, 8))}
        if self.random.random() < 0.8:
            fields = {"hub": '"acme"', "action": '"view"'} | fields
        pairs = [f'"{name}":{value}' for name, value in fields.items()]
        pairs += [f"{self.key()}:{self.value()}" for _ in range(self.random.randrange(3))]
        self.random.shuffle(pairs)
        return "{" + ",".join(pairs) + "}"

    def json_event(self) -> str:
        """A bad event, or another value, that is JSON."""
        while True:
            text = self.random.choice((self.bad_event, self.value))()
            try:
                decoded_value(self.raw(text))
            except (ValueError, RecursionError):
                continue
            return text

    def environ(self, **fields: Any) -> dict[str, Any]:
        key = self.random.choice(("", "ingest", "ingest", "ingest"))
        return (bearer(self.keys[key]) if key else {"HTTP_USER_AGENT": "Firefox/140.0"}) | fields

    def raw(self, text: str) -> bytes:
        return text.encode("utf-8", "surrogatepass")


Made = tuple[bytes, dict[str, Any], list[str]]


def single(fuzz: Fuzz) -> Made:
    return fuzz.raw(fuzz.bad_event()), fuzz.environ(), []


def not_json(fuzz: Fuzz) -> Made:
    """A body with bytes flipped, cut or put in."""
    body = bytearray(fuzz.raw(fuzz.bad_event()))
    for _ in range(fuzz.random.randrange(1, 6)):
        place = fuzz.random.randrange(len(body) + 1)
        body[place : place + fuzz.random.choice((0, 0, 1, 9))] = fuzz.random.randbytes(fuzz.random.choice((0, 1, 1, 4)))
    return bytes(body), fuzz.environ(), []


def noise(fuzz: Fuzz) -> Made:
    return fuzz.random.randbytes(fuzz.random.choice((0, 1, 2, 100, 5000))), fuzz.environ(), []


def odd_root(fuzz: Fuzz) -> Made:
    wrapped = fuzz.random.choice(("{}", "[{}]", '{{"events":{}}}', '{{"events":[],"events":{}}}', "\ufeff{}", "{}{}"))
    return fuzz.raw(wrapped.replace("{}", fuzz.value()).replace("{{", "{").replace("}}", "}")), fuzz.environ(), []


def deep(fuzz: Fuzz) -> Made:
    depth = fuzz.random.choice((50, 900, 1100, 5000, 100_000))
    opening, closing = fuzz.random.choice((("[", "]"), ('{"a":', "}"), ('{"properties":', "}"), ('{"events":[', "]}")))
    field = fuzz.random.choice(("properties", "title", "zzz", "events", "hub"))
    return fuzz.raw(f'{{"hub":"acme","{field}":{opening * depth}1{closing * depth}}}'[:1_000_000]), fuzz.environ(), []


def many(fuzz: Fuzz) -> Made:
    events = ",".join(["{}"] * fuzz.random.choice((1000, 1001, 300_000)))
    return fuzz.raw(f'{{"events":[{events}]}}'), fuzz.environ(), []


def huge(fuzz: Fuzz) -> Made:
    size = fuzz.random.choice((1024 * 1024, 1024 * 1024 + 1, 3_000_000))
    kind = fuzz.random.choice(
        ('{{"{}":1}}', '{{"hub":"acme","action":"view","title":"{}"}}', '{{"properties":{{"{}":1}}}}')
    )
    text = kind.format("x" * size) if fuzz.random.random() < 0.5 else kind.format("")
    return fuzz.raw(text[:1_100_000]), fuzz.environ(), []


def zipped(fuzz: Fuzz) -> Made:
    """gzip: bombs, cut or damaged members, two members, and what says gzip and is none."""
    plain = fuzz.random.choice((b"\0" * 5_000_000, fuzz.raw(fuzz.bad_event()), b" " * 2_000_000 + b"{}", b""))
    body = gzip.compress(plain, fuzz.random.choice((0, 1, 9)) if len(plain) < 1_000_000 else 9)
    body = fuzz.random.choice(
        (body, body[:-4], body[:10], body + b"x", body * 2, plain[:1000], zlib.compress(plain, 9))
    )
    encoding = fuzz.random.choice(("gzip", "GZIP", "deflate", "br", "gzip, gzip", "\xff", ""))
    return body, fuzz.environ(HTTP_CONTENT_ENCODING=encoding), []


def lengths(fuzz: Fuzz) -> Made:
    body = fuzz.raw(fuzz.bad_event())
    length = fuzz.random.choice(
        ("", "0", "-1", "x", "1e3", " 5", "5 ", "²", "9" * 20, "9" * 5000, str(len(body) + 9), "3")
    )
    chunked = fuzz.random.choice(({}, {"wsgi.input_terminated": True}, {"HTTP_TRANSFER_ENCODING": "chunked"}))
    return body, fuzz.environ(CONTENT_LENGTH=length, **chunked), []


def headers(fuzz: Fuzz) -> Made:
    odd = fuzz.random.choice(
        ("", "\xff\xfe", "a" * 70_000, "\x00", "\r\n", ",,,", ";q=0", "é", "<script>", "127.0.0.1", "::1")
    )
    names = ("HTTP_AUTHORIZATION", "HTTP_USER_AGENT", "HTTP_ACCEPT_LANGUAGE", "HTTP_X_FORWARDED_FOR", "REMOTE_ADDR")
    name = fuzz.random.choice((*names, "CONTENT_TYPE", "HTTP_ORIGIN"))
    value = fuzz.random.choice((odd, f"Bearer {odd}", f"Basic {odd}", "Bearer", f"bearer  {fuzz.keys['ingest']}"))
    return fuzz.raw(fuzz.bad_event()), {name: value}, []


def methods(fuzz: Fuzz) -> Made:
    method = fuzz.random.choice(("GET", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "post", "", "\xff"))
    path = fuzz.random.choice(("/api/events", "/api/events/"))
    return fuzz.raw(fuzz.bad_event()), fuzz.environ(REQUEST_METHOD=method, PATH_INFO=path), []


def keys(fuzz: Fuzz) -> Made:
    return fuzz.raw(fuzz.bad_event()), bearer(fuzz.keys["read"]), []


def mixed(fuzz: Fuzz) -> Made:
    """Bad elements that are JSON, and good events between them."""
    first = len(fuzz.good)
    events = [fuzz.good_event() for _ in range(fuzz.random.randrange(1, 4))]
    for _ in range(fuzz.random.randrange(1, 6)):
        events.insert(fuzz.random.randrange(len(events) + 1), fuzz.json_event())
    return fuzz.raw('{"events":[' + ",".join(events) + "]}"), fuzz.environ(), fuzz.good[first:]


def alone(fuzz: Fuzz) -> Made:
    first = len(fuzz.good)
    return fuzz.raw(fuzz.good_event()), fuzz.environ(), fuzz.good[first:]


MAKERS: tuple[Callable[[Fuzz], Made], ...] = (
    *(single, single, single, not_json, not_json, noise, odd_root, lengths, headers, methods, keys, zipped),
    *(mixed, mixed, mixed, alone),
)
COSTLY: tuple[Callable[[Fuzz], Made], ...] = (deep, many, huge)


@dataclass
class Found:
    """What became of the requests. `faults` are answers of 500 and more, and good events that were not accepted."""

    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    accepted: int = 0

    def take(self, made: Made, answer: tuple[int, Any, dict[str, str]]) -> None:
        body, environ, good = made
        status, told, _ = answer
        self.statuses[status] += 1
        if status >= 500 or (good and (status != 202 or told["accepted"] + told["duplicates"] < len(good))):
            shown = {name: str(value)[:200] for name, value in environ.items() if name != "wsgi.input"}
            self.faults.append(f"{status} {str(told)[:300]} for {body[:500]!r} with {shown}")
        elif status == 202:
            self.accepted += told["accepted"]
            self.codes.update(rejected["code"] for rejected in told["rejected"])
        elif status >= 400:
            self.codes[told["error"]["code"]] += 1


def run(collector: Callable, fuzz: Fuzz, count: int, threads: int = 16) -> Found:
    """Send `count` requests, as many at once as there are threads."""
    found = Found()
    requests = fuzz.requests(count)
    with ThreadPoolExecutor(threads) as pool:
        while made := list(islice(requests, 20 * threads)):
            answers = pool.map(lambda one: post(collector, one[0], **one[1]), made)
            for one, answer in zip(made, answers, strict=True):
                found.take(one, answer)
    return found


def kept(log: Any, fuzz: Fuzz) -> dict[str, Any]:
    """What the log holds: its events, and whether each good one is there once and exact."""
    events = [event for chunk in log.read({}) for event in chunk.events]
    good = {event.id: event for event in events if event.id.startswith(f"{GOOD}-{fuzz.seed}-")}
    wrong = [
        name
        for name in fuzz.good
        if name not in good or any(getattr(good[name], key) != value for key, value in good_event(name).items())
    ]
    ids = Counter((event.hub, event.id) for event in events)
    return {"events": len(events), "good": len(good), "wrong": wrong[:5], "doubled": [i for i in ids if ids[i] > 1][:5]}


def refuse(environ: dict, start_response: Callable) -> list[bytes]:
    raise AssertionError(f"{environ['PATH_INFO']} is not for Django.")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="affluence-fuzz-") as data_dir:
        os.environ |= {"DATA_DIR": data_dir, "DJANGO_SETTINGS_MODULE": "statsproject.settings", "DEMO": "0"}
        django.setup()
        return _fuzz(options.count, options.seed)


def _fuzz(count: int, seed: int) -> int:
    from events.collector import Collector
    from events.log import event_log
    from events.models import ApiKey, Hub

    logging.disable(logging.CRITICAL)
    for alias in ("default", "log"):
        call_command("migrate", database=alias, interactive=False, verbosity=0)
    hub = Hub.objects.create(slug="acme")
    fuzz = Fuzz(seed, {scope: ApiKey.issue(hub, scope) for scope in (ApiKey.INGEST, ApiKey.READ)})
    began = time.monotonic()
    found = run(Collector(refuse), fuzz, count)
    log = kept(event_log(), fuzz)
    print(
        json.dumps(
            {
                "requests": count,
                "seconds": round(time.monotonic() - began, 1),
                "statuses": dict(sorted(found.statuses.items())),
                "codes": dict(found.codes.most_common()),
                "accepted": found.accepted,
                "good": len(fuzz.good),
                "log": log,
                "faults": found.faults[:20],
                "fault_count": len(found.faults),
            },
            indent=1,
        )
    )
    is_exact = log["events"] == found.accepted and log["good"] == len(fuzz.good) and not log["wrong"] + log["doubled"]
    return 0 if is_exact and not found.faults else 1


if __name__ == "__main__":
    sys.exit(main())
