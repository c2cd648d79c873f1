"""The texts of the pages, gathered from templates and code: `python -m tests.messages` brings locale/ up to date."""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation.template import templatize

ROOT = Path(__file__).parent.parent
KEYWORDS = DEFAULT_KEYWORDS | {"lazy": None, "gettext_lazy": None}

CALLS = re.compile(r"""n?gettext\((?:[^()'"]|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")*\)""")
"""The calls of gettext in the code that Django makes of a template; the rest of it is padding."""


def texts() -> Catalog:
    """Every text that a page shows, each with the files that it stands in."""
    from aggregations.metrics import DEFINITIONS
    from batch.models import Restatement
    from views_layer.ask import WITHOUT_BUFFERS, WITHOUT_ROWS

    catalog = Catalog(project="Affluence", charset="utf-8")
    for path, source in sources():
        for _line, function, messages, _comments in extract_python(source, KEYWORDS.keys(), [], {"encoding": "utf-8"}):
            if message := _message(function, messages):
                catalog.add(message, locations=[(path, 0)], flags=["python-format"] if "%(" in str(message) else [])
    for text in (
        *(text for pair in DEFINITIONS.values() for text in pair),
        *(Restatement.LATE, Restatement.CORRECTED, Restatement.ERASED),
        WITHOUT_BUFFERS,
        WITHOUT_ROWS,
    ):
        catalog.add(text)
    return catalog


def sources() -> Iterator[tuple[str, io.BytesIO]]:
    """The code of pages and mails, and their templates as such code."""
    for path in sorted((ROOT / "views_layer").rglob("*.py")):
        yield str(path.relative_to(ROOT)), io.BytesIO(path.read_bytes())
    for path in sorted([*(ROOT / "templates").rglob("*.html"), *(ROOT / "templates").rglob("*.txt")]):
        if "admin" not in path.parts:
            code = "\n".join(CALLS.findall(templatize(path.read_text())))
            yield str(path.relative_to(ROOT)), io.BytesIO(code.encode())


def _message(function: str | None, messages: object) -> str | tuple[str, str] | None:
    if isinstance(messages, str):
        return messages
    if isinstance(messages, tuple) and function in {"ngettext", "ungettext"}:
        return messages[0], messages[1]
    return messages[0] if isinstance(messages, tuple) else None


def path_of(language: str) -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES" / "django.po"


def read(language: str) -> Catalog:
    with path_of(language).open("rb") as file:
        return read_po(file, locale=language)


def compiled(catalog: Catalog) -> bytes:
    """What gettext reads at run time."""
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def main() -> None:
    for language, _name in settings.LANGUAGES:
        if language == settings.LANGUAGE_CODE:
            continue
        path = path_of(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        catalog = read(language) if path.exists() else Catalog(locale=language, project="Affluence", charset="utf-8")
        catalog.update(texts(), no_fuzzy_matching=True)
        catalog.obsolete.clear()
        catalog.header_comment, catalog.fuzzy = (
            "# The texts of the pages in another language; see tests/messages.py.",
            False,
        )
        # No date and no name that would change without a text.
        catalog.creation_date = catalog.revision_date = datetime(2026, 11, 24, tzinfo=UTC)
        catalog.last_translator = catalog.language_team = catalog.msgid_bugs_address = "Affluence"
        with path.open("wb") as file:
            write_po(file, catalog, sort_output=True, no_location=True, omit_header=False, width=10_000)
        path.with_suffix(".mo").write_bytes(compiled(catalog))
        missing = [message.id for message in catalog if message.id and not message.string]
        print(f"{language}: {len(catalog)} texts, {len(missing)} without a translation.")


if __name__ == "__main__":
    import django

    django.setup()
    main()
