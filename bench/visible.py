"""From an accepted event to its number in `/stats`, on an idle system with all its processes."""

import http.client
import json
import os
import time

from django.conf import settings

from bench import house
from bench.figures import Figures, Options, at_most, quantile, say

PATIENCE_S = 30.0


class Browser:
    """A keep-alive connection to the web process, and the keys of one hub."""

    def __init__(self, keys: dict[str, str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", settings.PORT, timeout=PATIENCE_S)
        self._keys = keys
        self._sent = 0

    def send(self) -> None:
        """Send one event, and wait for its 202."""
        self._sent += 1
        event = {"hub": "acme", "action": "view", "media": f"media-{self._sent % 20}", "visitor": f"v{self._sent % 7}"}
        status, answer = self._exchange("POST", "/api/events", json.dumps(event), "ingest")
        if status != 202 or answer["accepted"] != 1:
            raise AssertionError(f"The event was answered {status}: {answer}.")

    def shows_all(self) -> bool:
        """Whether `/stats` counts every event that was sent."""
        status, answer = self._exchange("GET", "/api/hubs/acme/stats?metrics=events,visitors&period=24h", None, "read")
        return status == 200 and answer["results"][0]["events"] == self._sent

    def _exchange(self, method: str, path: str, body: str | None, scope: str) -> tuple[int, dict]:
        self._connection.request(method, path, body, {"Authorization": f"Bearer {self._keys[scope]}"})
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())


def measure(options: Options) -> Figures:
    """Seconds from the 202 of an event to the first answer that counts it, beside one question's own time."""
    with house.serving(dict(os.environ)):
        house.until(house.is_serving, 60)
        browser = Browser(house.new_hub())
        browser.send()
        house.until(browser.shows_all, PATIENCE_S)
        waited, bare = [], []
        for number in range(options.scaled(100, 5)):
            time.sleep(0.05 + number % 10 / 50)  # so that beat's ticks and the events do not keep step
            browser.send()
            waited.append(house.until(browser.shows_all, PATIENCE_S, pause=0.005))
            began = time.perf_counter()
            browser.shows_all()
            bare.append(time.perf_counter() - began)
    say(
        f"visible after {quantile(waited, 0.5):.3f} s, p95 {quantile(waited, 0.95):.3f} s; load {os.getloadavg()[0]:.1f}"
    )
    return {
        f"visible_p{int(part * 100)}": at_most(
            1 if part == 0.95 else None, quantile(waited, part), "s", quantile(bare, part), "the same question alone"
        )
        for part in (0.5, 0.95)
    }
