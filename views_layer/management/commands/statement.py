"""Issue the statement of a month: what each intermediary of a hub is paid."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from events.log import LogAway
from events.models import Hub
from insights.retribution import MODELS
from views_layer.models import Statement
from views_layer.statements import NoStatement, issue, read_month, summary, verify_statement


class Command(BaseCommand):
    help = (
        "Issue the statement of a local month that is over, as CSV and PDF; once issued it is frozen, and issued again it"
        " is the same. Without a rate in the month it is a draft of the credits alone. Prints number, total, digest,"
        " corrections of earlier months and the files as JSON."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("hub", help="slug of the hub")
        parser.add_argument("--month", required=True, help="such as 2026-10")
        parser.add_argument("--model", choices=[*MODELS], help="default: the hub's, as set in the admin, else last")
        parser.add_argument("--to", type=Path, help="directory of the files; default: statements in DATA_DIR")
        parser.add_argument(
            "--verify", action="store_true", help="compute the issued statement again from the log as it was then"
        )

    def handle(self, *args: Any, hub: str, month: str, verify: bool, **options: Any) -> None:
        found = Hub.objects.filter(slug=hub).first()
        if found is None:
            slugs = Hub.objects.values_list("slug", flat=True)[:20]
            raise CommandError(f"There is no hub {hub!r}; the hubs are {', '.join(slugs) or 'none yet'}.")
        now = timezone.now()
        try:
            day = read_month(month)
            if verify and not Statement.objects.filter(hub=found, month=day).exists():
                raise NoStatement(f"No statement of {hub} for {month} has been issued: leave --verify out.")
            statement = issue(found, day, options["model"], now)
            if verify:
                verify_statement(statement, now)
        except NoStatement as error:
            raise CommandError(str(error)) from error
        except LogAway as away:
            raise CommandError(f"{away} Nothing was issued; run it again.") from away
        files = _written(statement, options["to"] or settings.DATA_DIR / "statements")
        self.stdout.write(json.dumps(summary(statement) | files | ({"verified": True} if verify else {})))


def _written(statement: Statement, directory: Path) -> dict[str, str]:
    """Write the files of a statement; returns where they are."""
    contents = {"csv": statement.csv.encode(), "pdf": bytes(statement.pdf)}
    files = {kind: directory / f"{statement.name}.{kind}" for kind in contents}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for kind, content in contents.items():
            files[kind].write_bytes(content)
    except OSError as error:
        raise CommandError(
            f"{str(directory)!r} cannot be written to: {error}. Nothing is lost; name another directory by --to."
        ) from error
    return {kind: str(path) for kind, path in files.items()}
