"""Take events from a queue of RabbitMQ."""

import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from events.queued import QueueIntake, Unusable


class Command(BaseCommand):
    help = "Take events from the queue AMQP_QUEUE of the broker AMQP_URL, until it is told to stop."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.AMQP_URL:
            raise CommandError("AMQP_URL names no broker; for example AMQP_URL=amqp://user:password@rabbitmq:5672//.")
        self._is_over = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            QueueIntake(settings.AMQP_URL, settings.AMQP_QUEUE).run(lambda: not self._is_over)
        except Unusable as error:
            raise CommandError(str(error)) from error

    def _stop(self, *_: object) -> None:
        self._is_over = True
