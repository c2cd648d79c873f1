"""Pictures of every page in both themes: `python -m tests.browser.screenshots` starts a demo of its own and writes docs/."""

import io
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import Page

from tests.waiting import READY_S, free_port, until

if TYPE_CHECKING:
    from tests.browser.pages import Shown

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FOLDER = DOCS / "screenshots"
THEMES = ("light", "dark")
DESK, PHONE = 1280, 390
LONGEST = 1_500
"""Pixels of a page that are pictured at most, from its top."""
QUALITY = 36
PANEL = {"width": 1440, "height": 1180}
"""The size of docs/panel.png, which stands at the top of the README."""


@contextmanager
def demo(data_dir: Path) -> Iterator[str]:
    """`manage.py serve` with the demo hub, until it is healthy; gives its origin."""
    port = free_port()
    environment = {**os.environ, "DATA_DIR": str(data_dir), "PORT": str(port), "DEMO": "1"}
    origin = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, ROOT / "manage.py", "serve"], env=environment, stdout=sys.stderr)
    try:
        until(lambda: _is_healthy(origin), 2 * READY_S)
        yield origin
    finally:
        process.terminate()
        process.wait()


def _is_healthy(origin: str) -> bool:
    try:
        with urllib.request.urlopen(f"{origin}/healthz", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.HTTPError, OSError):
        return False


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="affluence-pictures-") as data_dir:
        os.environ |= {"DATA_DIR": data_dir, "DJANGO_SETTINGS_MODULE": "statsproject.settings"}
        with demo(Path(data_dir)) as origin:
            import django

            django.setup()
            FOLDER.mkdir(exist_ok=True)
            for old in FOLDER.glob("*.webp"):
                old.unlink()
            _picture_all(origin)
    size = sum(file.stat().st_size for file in FOLDER.iterdir())
    print(f"{len([*FOLDER.iterdir()])} files in {FOLDER.relative_to(ROOT)}, {size / 1_000_000:.1f} MB.")


def _picture_all(origin: str) -> None:
    """Write the pictures, the page that shows them, and the README's own."""
    from django.utils import timezone

    from events.demo.history import demo_hub
    from tests.browser.chromium import chromium
    from tests.browser.pages import CUSTOMER, NOBODY, PAGES, STAFF, furnish, look_at, signed_in

    furnished = furnish(demo_hub(), timezone.now())
    with chromium() as browser:
        for theme in THEMES:
            for who in (NOBODY, CUSTOMER, STAFF):
                options = {"color_scheme": theme, "locale": "en-GB", "reduced_motion": "reduce"}
                page = signed_in(browser.new_context(**options), who, origin).new_page()
                for shown in (shown for shown in PAGES if shown.who == who):
                    for width in (DESK, PHONE) if shown.is_main else (DESK,):
                        page.set_viewport_size({"width": width, "height": 844 if width == PHONE else 800})
                        look_at(page, shown, origin, furnished)
                        _write(_seen(page, shown, width), FOLDER / _name(shown.name, width, theme))
                    if shown.name == "consultation" and theme == THEMES[0]:
                        page.set_viewport_size(PANEL)
                        look_at(page, shown, origin, furnished)
                        page.screenshot(path=DOCS / "panel.png")
    (FOLDER / "README.md").write_text(_table(PAGES), encoding="utf-8")


def _seen(page: Page, shown: "Shown", width: int) -> bytes:
    """A page down to LONGEST, as on a screen of that height; where a menu or dialog is open, one of the usual height."""
    if not shown.is_opened:
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": width, "height": min(height, LONGEST)})
        page.wait_for_timeout(300)  # charts take their new size
    return page.screenshot()


def _name(page: str, width: int, theme: str) -> str:
    return f"{page}{'-phone' if width == PHONE else ''}-{theme}.webp"


def _write(content: bytes, path: Path) -> None:
    Image.open(io.BytesIO(content)).convert("RGB").save(path, quality=QUALITY, method=6)


def _table(pages: "tuple[Shown, ...]") -> str:
    """The page of docs/ that shows them all."""
    lines = [
        "# Every page, in both themes",
        "",
        "Made by `make screenshots` from a demo with its own seed. Long pages are cut; the main ones are pictured on a phone too.",
        "",
        "| page | light | dark |",
        "|---|---|---|",
    ]
    for shown in pages:
        for width in (DESK, PHONE) if shown.is_main else (DESK,):
            title = shown.name.replace("-", " ") + (", phone" if width == PHONE else "")
            pictures = [f"![{title}, {theme}]({_name(shown.name, width, theme)})" for theme in THEMES]
            lines.append(f"| {title} | {' | '.join(pictures)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
