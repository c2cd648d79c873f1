"""Create a hub and its keys, which are shown only here."""

import json

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from events.models import ApiKey, Hub


class Command(BaseCommand):
    help = "Create a hub; prints its slug and its keys (ingest and read) as JSON. Keys cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="a to z, 0 to 9, - and _")
        parser.add_argument("--timezone", default="UTC", help="IANA time zone; for example Europe/Paris")
        parser.add_argument("--title", default="", help="name of the hub for people")

    def handle(self, *, slug: str, timezone: str, title: str, **options) -> None:
        hub = Hub(slug=slug, timezone=timezone, title=title)
        try:
            hub.full_clean()
        except ValidationError as error:
            raise CommandError(_sentence(error, slug, timezone)) from error
        with transaction.atomic():
            hub.save()
            keys = {scope: ApiKey.issue(hub, scope, "made by create_hub") for scope in (ApiKey.INGEST, ApiKey.READ)}
        self.stdout.write(json.dumps({"hub": hub.slug, "keys": keys}))


def _sentence(error: ValidationError, slug: str, timezone: str) -> str:
    values = {"slug": slug, "timezone": timezone}
    return " ".join(
        f"{name} {values.get(name, '')!r}: {' '.join(messages)}" for name, messages in error.message_dict.items()
    )
