"""`GET /metrics`: the state of the pipeline and the requests of this process, in Prometheus' text format.

Web and workers are several processes, so all but the HTTP figures is read from the stores, whoever answers. A section
that cannot be read is left out and named by `affluence_scrape_failed`; the others are still told.
"""

import hmac
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db.models import Count, Max, Sum
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from batch.models import ArchiveFile, Run
from batch.view_store import view_store
from events.cuts import published_cut
from events.log import event_log
from events.models import RejectedCount
from events.throttle import is_this_machine
from statsproject import alarms, requests
from statsproject.alarms import Facts
from views_layer import seam

logger = logging.getLogger(__name__)

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

ProcessCollector(registry=requests.registry)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """The figures, for who has METRICS_TOKEN as bearer token, or asks an Affluence without a proxy from its own machine."""
    if not _has_token(request) and not _is_local(request):
        return HttpResponse(
            "Send Authorization: Bearer <METRICS_TOKEN>; see docs/operations.md, Metrics.\n",
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": "Bearer"},
        )
    of_stores = CollectorRegistry()
    of_stores.register(Stores())
    return HttpResponse(
        generate_latest(of_stores) + generate_latest(requests.registry), content_type=CONTENT_TYPE_LATEST
    )


def _is_local(request: HttpRequest) -> bool:
    """True for a request from this machine, by its local name, where nothing speaks of a proxy.

    Behind a proxy on this machine all the world comes from this machine; but it needs HTTPS or TRUSTED_PROXIES, says
    whom it forwards for, or passes on the name that the world knows.
    """
    if settings.HTTPS or settings.TRUSTED_PROXIES or any(name in request.META for name in FORWARDED):
        return False
    name = split_domain_port(request.get_host())[0]
    return name in LOCAL_NAMES and is_this_machine(request.META.get("REMOTE_ADDR", ""))


def _has_token(request: HttpRequest) -> bool:
    kind, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode())


class Stores(Collector):
    """What the stores say at this moment."""

    def collect(self) -> Iterable[Metric]:
        facts = Facts(timezone.now())
        failed = GaugeMetricFamily(
            "affluence_scrape_failed", "1 where a section could not be read.", labels=["section"]
        )
        for name, section in SECTIONS:
            try:
                yield from list(section(facts))
                failed.add_metric([name], 0)
            except Exception:
                logger.exception("The section %s of /metrics could not be read.", name)
                failed.add_metric([name], 1)
        yield failed


def _gauge(name: str, words: str, values: dict[str, float], label: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"affluence_{name}", words, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _one(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"affluence_{name}", words, value=value)


def _parts(facts: Facts) -> Iterable[Metric]:
    parts = {part: float(is_felt) for part, is_felt in facts.parts.items() if part != "redis"}
    yield _one("redis_up", "1 where Redis answers.", facts.parts["redis"])
    yield _gauge("part_up", "1 where a part gives a pulse.", parts, "part")


def _alarms(facts: Facts) -> Iterable[Metric]:
    found = alarms.look(facts)
    standing = {name: float(alarm is not None) for name, alarm in found.items()}
    yield _one("healthy", "1 where no alarm is critical.", alarms.is_healthy(found))
    yield _gauge("alarm", "1 where the alarm stands; see docs/runbook.md.", standing, "name")


def _log(facts: Facts) -> Iterable[Metric]:
    status = facts.status
    yield _gauge("log_head_sequence", "The last chunk of the log.", status["log"], "partition")
    yield _gauge("log_applied_sequence", "The last chunk that is in the answers.", status["applied"], "partition")
    yield _gauge("log_cut_sequence", "The last chunk of the published epoch.", status["cut"], "partition")
    yield _one("lag_events", "Accepted events that are not in the answers.", status["lag_events"])
    yield _one("lag_seconds", "How long the oldest of them waits.", status["lag_seconds"])
    yield CounterMetricFamily("affluence_events_accepted", "Events in the log.", value=accepted.total(facts.now))


def _rejected(facts: Facts) -> Iterable[Metric]:
    family = CounterMetricFamily("affluence_events_rejected", "Rejected events, by code.", labels=["code"])
    for code, count in rejected().items():
        family.add_metric([code], count)
    yield family
    yield _one("rejected_waiting_events", "Rejected events that wait for replay.", facts.status["rejected"])


def _buffers(facts: Facts) -> Iterable[Metric]:
    if not facts.parts["redis"]:
        return
    sizes, used = seam.buffer_sizes()
    yield _gauge("buffer_lists", "Lists (hub and rollup).", {name: size[0] for name, size in sizes.items()}, "buffer")
    yield _gauge("buffer_bytes", "Memory, estimated.", {name: size[1] for name, size in sizes.items()}, "buffer")
    yield _one("redis_memory_bytes", "Memory that Redis uses.", used)


def _batch(facts: Facts) -> Iterable[Metric]:
    yield _one("published_epoch", "The published epoch.", facts.status["published_epoch"])
    if published := published_cut():
        age = (facts.now - published.cut_at).total_seconds()
        yield _one("published_cut_age_seconds", "Time since the last cut that is published.", age)
    yield CounterMetricFamily("affluence_audits", "Audits.", value=facts.status["audits"])
    yield _one("audit_mismatches", "States that differed, and nobody has acknowledged.", facts.status["mismatches"])
    last = Run.objects.filter(published_at__isnull=False).values("kind").annotate(last=Max("pk")).values("last")
    runs = {run.kind: run for run in Run.objects.filter(pk__in=last)}
    seconds = {
        kind: (run.published_at - run.claimed_at).total_seconds() for kind, run in runs.items() if run.published_at
    }
    yield _gauge("last_run_duration_seconds", "From claim to publication.", seconds, "kind")
    yield _gauge(
        "last_run_events", "Events of its epoch.", {kind: run.event_count for kind, run in runs.items()}, "kind"
    )
    yield _gauge("last_run_rows", "Rows written.", {kind: run.row_count for kind, run in runs.items()}, "kind")
    family = CounterMetricFamily("affluence_runs", "Batch runs, by kind and outcome.", labels=["kind", "outcome"])
    counts = Run.objects.order_by().values("kind").annotate(published=Count("published_at"), failed=Count("failed_at"))
    for found in counts:
        family.add_metric([found["kind"], "published"], found["published"])
        family.add_metric([found["kind"], "failed"], found["failed"])
    yield family


def _stores(facts: Facts) -> Iterable[Metric]:
    if size := view_store().size():
        yield _one("view_rows", "Rows of the view store, of all versions.", size.rows)
        yield _one("view_store_bytes", "Bytes of the view store.", size.bytes)
    kept = ArchiveFile.objects.aggregate(files=Count("pk"), bytes=Sum("byte_count"))
    yield _one("archive_files", "Files of the archive.", kept["files"])
    yield _one("archive_bytes", "Bytes of the archive.", kept["bytes"] or 0)
    yield _gauge("database_bytes", "Bytes of a database file.", _file_sizes(), "database")
    yield _one("disk_free_bytes", "Bytes that are free on the disk of DATA_DIR.", facts.free_bytes)


def _file_sizes() -> dict[str, float]:
    names = {alias: Path(str(database["NAME"])) for alias, database in settings.DATABASES.items()}
    return {alias: path.stat().st_size for alias, path in names.items() if path.is_file()}


SECTIONS: tuple[tuple[str, Callable[[Facts], Iterable[Metric]]], ...] = (
    ("parts", _parts),
    ("alarms", _alarms),
    ("log", _log),
    ("rejected", _rejected),
    ("buffers", _buffers),
    ("batch", _batch),
    ("stores", _stores),
)


class Accepted:
    """The number of events accepted since ever: of hours that are over once, of the last two each time anew."""

    def __init__(self) -> None:
        self._counted = (0, 0)

    def total(self, now: datetime) -> int:
        hour = int(now.timestamp()) // 3_600 - 1
        counted_until, total = self._counted
        if hour > counted_until:
            total += _accepted_in(counted_until, hour)
            self._counted = (hour, total)
        return total + _accepted_in(max(hour, counted_until), hour + 2)


def _accepted_in(start: int, end: int) -> int:
    return sum(account.accepted for account in event_log().accounts(start, end).values())


def rejected() -> dict[str, int]:
    """The number of events rejected since ever, by code."""
    found = RejectedCount.objects.order_by().values("code").annotate(total=Sum("count"))
    return {row["code"]: row["total"] for row in found}


accepted = Accepted()
