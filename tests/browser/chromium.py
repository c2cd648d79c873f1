"""Chromium, and what every test in it needs."""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

CHROMIUM = "/usr/bin/chromium"
IN_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.usefixtures("redis_url"),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"there is no {CHROMIUM}"),
]
# Playwright's own event loop makes Django take this thread for an asynchronous one.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """A browser, with further options of its command line. Tests share it, and nothing of what is opened in it."""
    browser = _running(options)
    if not browser.is_connected():
        _running.cache_clear()
        browser = _running(options)
    try:
        yield browser
    finally:
        for context in browser.contexts:
            context.close()


@cache
def _running(options: tuple[str, ...]) -> Browser:
    return _playwright().chromium.launch(
        executable_path=CHROMIUM,
        args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", *options],
    )


@cache
def _playwright() -> Playwright:
    """It ends with this process, and the browsers with it."""
    playwright = sync_playwright().start()
    atexit.register(playwright.stop)
    return playwright
