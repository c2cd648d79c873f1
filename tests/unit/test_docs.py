"""The documentation: every link leads somewhere, and the API's names are all there."""

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from aggregations.metrics import METRICS
from aggregations.rollups import DIMENSIONS
from events.sent import TrustedSent
from views_layer.period import PERIODS
from views_layer.question import NAMED, TIME_DIMENSIONS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^(`{3,}).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SAID_IN_CODE = re.compile(r'(?:Reject|QueryError|Refused)\(\s*(?:\d+, )?"([a-z_]+)"')


@dataclass(frozen=True)
class Link:
    page: Path
    target: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.target}"


def links() -> list[Link]:
    found = [Link(page, target) for page in PAGES for target in LINK.findall(FENCED.sub("", page.read_text()))]
    return [link for link in found if not re.match(r"[a-z]+:", link.target)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("link", links(), ids=str)
def test_it_links_to_what_is_there(link):
    path, _, anchor = link.target.partition("#")
    target = (link.page.parent / path).resolve() if path else link.page
    assert target.exists()
    if anchor:
        assert anchor in anchors(target)


def codes() -> set[str]:
    """The codes that the collector, the normaliser and the query say, as written in their code."""
    sources = [*(ROOT / "events").glob("*.py"), *(ROOT / "views_layer").rglob("*.py")]
    return {code for source in sources for code in SAID_IN_CODE.findall(source.read_text(encoding="utf-8"))}


def test_it_finds_codes_in_the_code():
    assert {"unknown_hub", "too_old", "too_many_events", "unknown_parameter"} <= codes()


def test_it_names_everything_of_the_api():
    fields = {field.name for field in msgspec.structs.fields(TrustedSent)}
    names = {*METRICS, *DIMENSIONS, *TIME_DIMENSIONS, *NAMED, *PERIODS, *fields, *codes(), "busy", "server_error"}
    assert {name for name in names if f"`{name}`" not in API} == set()
