"""`manage.py serve`: everything on this machine, until Ctrl-C."""

import os
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from events.demo.people import logins
from statsproject import pulse
from statsproject.processes import Part, manage, redis_part, serving_parts
from statsproject.supervisor import Lock, Refusal, Supervisor, end_orphans, refuse_taken_port

WAIT_FOR_REDIS_SECONDS = 30.0


class Command(BaseCommand):
    help = "Run Redis, web, workers, beat and, with DEMO=1, demo traffic; what dies starts again. Ctrl-C stops all."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--stop-with-parent", action="store_true", help="Stop when the parent process ends.")

    def handle(self, *args: Any, **options: Any) -> None:
        self.parent = os.getppid() if options["stop_with_parent"] else None
        lock = Lock(settings.DATA_DIR / "run" / "lock")
        try:
            lock.take(settings.PORT)
            orphans = end_orphans(str(settings.DATA_DIR))
            refuse_taken_port(settings.HOST, settings.PORT)
        except Refusal as refusal:
            raise CommandError(str(refusal)) from None
        is_json = settings.LOG_FORMAT == "json"
        self.supervisor = Supervisor(str(settings.DATA_DIR), settings.BASE_DIR, pulse.stop, is_json)
        if orphans:
            self.supervisor.say(f"Ended {orphans} processes that an earlier run had left behind.")
        try:
            self._serve()
        finally:
            lock.write(settings.PORT, stopping=True)
            self.supervisor.say("Stopping.")
            self.supervisor.stop()

    def _may_go_on(self) -> bool:
        if self.parent is not None and os.getppid() != self.parent:
            self.supervisor.is_stopping = True
        return not self.supervisor.is_stopping

    def _serve(self) -> None:
        if part := redis_part():
            self.supervisor.add(part)
            self._wait_for_redis()
        if not self._may_go_on():
            return
        code = self.supervisor.run(Part("prepare", manage("prepare")))
        if not self._may_go_on():
            return
        if code:
            raise CommandError(f"The preparation ended with code {code}; its messages stand above.")
        for part in serving_parts():
            self.supervisor.add(part)
        is_told = False
        while self._may_go_on():
            self.supervisor.tick()
            if not is_told and all(pulse.felt().values()):
                is_told = True
                self._tell()

    def _wait_for_redis(self) -> None:
        began = time.monotonic()
        while self._may_go_on() and not pulse.felt()["redis"]:
            self.supervisor.tick(0.05)
            if time.monotonic() - began > WAIT_FOR_REDIS_SECONDS:
                raise CommandError(f"Redis does not answer at {settings.REDIS_SOCKET}; its messages stand above.")

    def _tell(self) -> None:
        host = "localhost" if settings.HOST in {"0.0.0.0", "::"} else settings.HOST  # noqa: S104
        address = f"http://{host}:{settings.PORT}"
        self.supervisor.say(f"Affluence is ready: {address}/")
        if settings.DEMO:
            self.supervisor.say(f"demo reader, to be counted yourself: {address}/demo/")
            for who, name, password in logins():
                self.supervisor.say(f"{who}: {name} / {password}")
