"""The first page of the panel, as a browser without a cache gets it: its bytes, and the time that the server takes."""

import http.client
import os
import re
import time

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from bench import house
from bench.figures import Figures, Options, at_most, quantile, say
from events.models import Hub, Membership

PAGE = "/hubs/demo/consultation"
LOGIN, PLAIN_PAGE = "/login", "/hubs/demo/notes"
ASSETS = re.compile(r'<(?:link[^>]+rel="(?:stylesheet|icon)"[^>]+href|script[^>]+src)="([^"]+)"')
ROUNDS = 100
PATIENCE_S = 180.0
KB = 1_000


class Browser:
    """A keep-alive connection with a session; what it gets comes compressed, as browsers ask for it."""

    def __init__(self, session: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", settings.PORT, timeout=PATIENCE_S)
        self._headers = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}

    def get(self, path: str, encoding: str = "gzip") -> bytes:
        """The body as it is transferred."""
        self._connection.request("GET", path, headers=self._headers | {"Accept-Encoding": encoding})
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise AssertionError(f"{path} was answered {answer.status}.")
        return body

    def milliseconds(self, path: str) -> float:
        began = time.perf_counter()
        self.get(path)
        return 1000 * (time.perf_counter() - began)


def measure(options: Options) -> Figures:
    """The bytes of the page with all that it names, and the time of its HTML alone, while the demo's traffic goes on."""
    with house.serving(os.environ | {"DEMO": "1"}):
        house.until(lambda: house.answers(LOGIN, settings.PORT), PATIENCE_S)
        house.until(house.is_serving, PATIENCE_S)
        browser = Browser(_session())
        html = browser.get(PAGE, "identity").decode()
        paths = [PAGE, *dict.fromkeys(ASSETS.findall(html))]
        sizes = {path: len(browser.get(path)) for path in paths}
        whole = sum(len(browser.get(path, "identity")) for path in paths)
        say("; ".join(f"{size / KB:.1f} kB {path}" for path, size in sizes.items()))
        rounds = options.scaled(ROUNDS, 3)
        times = {path: [browser.milliseconds(path) for _ in range(rounds)] for path in (PLAIN_PAGE, PAGE)}
    plain = quantile(times[PLAIN_PAGE], 0.95)
    say(f"p50 {quantile(times[PAGE], 0.5):.0f} ms; load average {os.getloadavg()[0]:.1f}")
    return {
        "first_page_bytes": at_most(120, sum(sizes.values()) / KB, "kB", whole / KB, "the same without compression"),
        "first_page_p95": at_most(150, quantile(times[PAGE], 0.95), "ms", plain, "p95 of a page without numbers"),
    }


def _session() -> str:
    """The session of a customer of the demo hub."""
    user = User.objects.create_user("first-page")
    Membership.objects.create(user=user, hub=Hub.objects.get(slug="demo"))
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value
