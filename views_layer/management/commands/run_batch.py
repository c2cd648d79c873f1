"""Swap and run now."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from redis import RedisError

from batch.engine import EngineAway
from batch.models import Run
from batch.view_store import StoreAway
from events.log import LogAway, LogUnfit
from views_layer import seam
from views_layer.management.progress import shown
from views_layer.tasks import reconcile


class Command(BaseCommand):
    help = "Swap the buffers and run the batch layer now; returns when the rows are published."

    def add_arguments(self, parser: ArgumentParser) -> None:
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument("--daily", action="store_true", help="recompute what was touched since the last daily run")
        kind.add_argument("--rebuild", action="store_true", help="recompute everything from the raw events")

        kind.add_argument("--due", action="store_true", help="do only what is due by the ledger, as every tick does")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["due"]:
            reconcile()
            return
        kind = Run.REBUILD if options["rebuild"] else Run.DAILY if options["daily"] else Run.HOURLY
        with shown() as progress:
            try:
                run = seam.run_now(kind, progress)
            except StoreAway as away:
                raise CommandError(f"{away} Nothing is lost; run it again once the view store serves.") from away
            except (LogAway, LogUnfit) as away:
                raise CommandError(f"{away} Nothing is lost; run it again.") from away
            except EngineAway as away:
                raise CommandError(f"{away} Nothing is lost; run it again then.") from away
            except (RedisError, TimeoutError) as error:
                raise CommandError(f"{error} Is `make run` running with this DATA_DIR?") from error
        self.stdout.write(
            json.dumps({"epoch": run.epoch, "kind": run.kind, "events": run.event_count, "rows": run.row_count})
        )
