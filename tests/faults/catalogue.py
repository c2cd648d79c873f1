"""The faults: one literal list. Each is done to a running stack under load, and is over when its `do` returns."""

import random
from collections.abc import Iterator, Sequence, Set
from functools import partial

from tests.faults import servers
from tests.faults.messages import broker, drop_queues
from tests.faults.processes import (
    frozen_in_ledger,
    kill,
    kill_at,
    kill_everything,
    kill_in_command,
    kill_in_run,
    kill_supervisor,
    late_consumer,
    no_beat,
    two_beats,
    two_of,
    two_runs,
    wrong_clock,
    zombie_consumer,
    zombie_meets_run,
    zombie_run,
)
from tests.faults.profile import (
    ANY_SERVER,
    ELASTICSEARCH,
    EMBEDDED_BROKER,
    EMBEDDED_REDIS,
    LOG_FILE,
    MONGODB,
    POSTGRESQL,
    RABBITMQ,
    REDIS_SERVER,
    SERVERS,
    TABLES_FILE,
    VIEWS_FILE,
)
from tests.faults.scene import (
    ALONE,
    BATCH,
    BEAT,
    BROKER,
    INTAKE,
    REDIS,
    SPEED,
    WEB,
    Do,
    Fault,
    freeze,
    hour,
    midnight,
    nothing,
    wipe,
)
from tests.faults.stores import (
    archive_lost,
    disk_full,
    locked,
    redis_emptied,
    redis_file_damaged,
    redis_file_lost,
    redis_gone,
    redis_hangs,
    redis_out_of_memory,
    redis_restored,
    redis_restored_any,
    views_and_archive_lost,
    views_emptied,
    views_emptied_in_run,
    views_file_lost,
)

FILES = (LOG_FILE, TABLES_FILE, VIEWS_FILE)
IN_QUEUE = ("append.ids", "append.chunk", "append.follow", "queue.append", "queue.write")


def _at(
    point: str,
    part: str,
    trigger: Do = nothing,
    skip: int = 0,
    whens: Sequence[str] = ("before", "after"),
    needs: str = "",
) -> list[Fault]:
    """kill -9 before and after a point; of a point that a run comes to often, at any of the first `skip` + 1 times."""
    return [
        Fault(
            f"kill -9 {when} {point}" + (" in intake" if part == INTAKE else ""),
            part,
            partial(kill_at, point=point, when=when, part=part, trigger=trigger, skip=skip),
            needs,
        )
        for when in whens
    ]


def _full(point: str, part: str, of: str, trigger: Do = nothing, needs: str = "") -> Fault:
    do = partial(disk_full, point=point, part=part, of=of, trigger=trigger)
    return Fault(f"disk full before {point}", ALONE, do, needs)


def _zombie(point: str, when: str = "before") -> Fault:
    return Fault(
        f"zombie run: frozen past its lease {when} {point}", ALONE, partial(zombie_run, point=point, when=when)
    )


def _command(point: str, when: str, *arguments: str, skip: int = 0) -> Fault:
    do = partial(kill_in_command, point=point, when=when, arguments=arguments, skip=skip)
    return Fault(f"kill -9 {' '.join(['run_batch', *arguments])} {when} {point}", BATCH, do)


def _clock(part: str, hours: int, needs: str = "") -> Fault:
    name = f"clock of {part} {abs(hours)} hours {'ahead' if hours > 0 else 'behind'}"
    return Fault(name, ALONE, partial(wrong_clock, part=part, seconds=hours * 3600), needs)


def _of_server(name: str) -> list[Fault]:
    """What may happen to any server. `--long 30` keeps one away for five minutes."""
    return [
        Fault(f"kill -9 {name}", name, partial(servers.killed, name=name), name),
        Fault(f"kill -9 {name} in a run", name, partial(servers.killed_in_run, name=name), name),
        Fault(f"{name} hangs for a while", name, partial(servers.hangs, name=name), name),
        Fault(f"{name} away for a while", ALONE, partial(servers.away, name=name), name),
    ]


CATALOGUE: tuple[Fault, ...] = (
    *(Fault(f"kill -9 {part}", part, partial(kill, part=part)) for part in (WEB, SPEED, BATCH, BEAT)),
    Fault("kill -9 redis", REDIS, partial(kill, part=REDIS), EMBEDDED_REDIS),
    Fault("kill -9 intake", INTAKE, partial(kill, part=INTAKE), RABBITMQ),
    Fault("kill -9 supervisor", ALONE, kill_supervisor),
    Fault("kill -9 everything at once", ALONE, kill_everything),
    *(Fault(f"kill -9 {part} in a run", part, partial(kill_in_run, part=part)) for part in (SPEED, BATCH)),
    Fault("kill -9 redis in a run", REDIS, partial(kill_in_run, part=REDIS), EMBEDDED_REDIS),
    *_at("append.ids", WEB),
    *_at("append.numbering", WEB),
    *_at("append.chunk", WEB),
    *_at("append.follow", WEB, needs=MONGODB),
    *_at("append.commit", WEB),
    *_at("append.announce", WEB),
    *_at("nudge", WEB),
    *(fault for point in IN_QUEUE for fault in _at(point, INTAKE, needs=RABBITMQ)),
    *_at("apply.fold", SPEED, whens=["before"]),
    *_at("apply.learn", SPEED),
    *_at("apply.script", SPEED, skip=5),
    *_at("apply.compact", SPEED, skip=10),
    *_at("recover.install", SPEED, wipe),
    *_at("swap.script", BATCH, hour),
    *_at("swap.record", BATCH, hour),
    *_at("claim", BATCH, hour),
    *_at("archive.range", BATCH, hour),
    *_at("archive.file", BATCH, hour, skip=2),
    *_at("archive.record", BATCH, hour, skip=2),
    *_at("archive.join", BATCH, midnight),
    *_at("fold", BATCH, hour),
    *_at("audit", BATCH, hour),
    *_at("rows", BATCH, hour, skip=40),
    *_at("recompute", BATCH, midnight, skip=2),
    *_at("seal", BATCH, hour),
    *_at("publish", BATCH, hour),
    *_at("publish.mark", BATCH, hour),
    *_at("retire", BATCH, hour),
    *_at("clean.rows", BATCH, hour),
    *_at("clean.files", BATCH, midnight),
    _command("rows", "after", "--rebuild", skip=60),
    _command("publish", "before", "--daily"),
    _command("swap.script", "after"),
    *(Fault(f"freeze {part}", part, partial(freeze, part=part, seconds=6)) for part in (WEB, SPEED, BATCH, BEAT)),
    Fault("freeze intake", INTAKE, partial(freeze, part=INTAKE, seconds=6), RABBITMQ),
    *(_zombie(point) for point in ("archive.file", "fold", "rows", "audit", "seal", "publish")),
    _zombie("publish", "after"),
    Fault("zombie run: wakes in the run that took over", ALONE, zombie_meets_run),
    Fault("run frozen in a transaction of the ledger", ALONE, frozen_in_ledger),
    Fault("zombie consumer: wakes after a second one applied", ALONE, zombie_consumer),
    Fault("zombie consumer: wakes after a swap", ALONE, late_consumer),
    *(Fault(f"two of {part}", part, partial(two_of, part=part)) for part in (SPEED, BATCH)),
    Fault("two of intake", INTAKE, partial(two_of, part=INTAKE), RABBITMQ),
    Fault("two beats", BEAT, two_beats),
    Fault("no beat over three full hours", BEAT, no_beat),
    Fault("two batch runs at once", ALONE, two_runs),
    Fault("broker messages lost", BROKER, partial(broker, says="lose")),
    Fault("broker messages doubled", BROKER, partial(broker, says="double")),
    Fault("broker queues deleted", BROKER, drop_queues, EMBEDDED_BROKER),
    _full("append.chunk", WEB, "sqlite", needs=LOG_FILE),
    _full("archive.file", BATCH, "file", hour),
    _full("rows", BATCH, "sqlite", hour, VIEWS_FILE),
    _full("publish", BATCH, "sqlite", hour, TABLES_FILE),
    *(Fault(f"{file} locked for a while", ALONE, partial(locked, file=file), file) for file in FILES),
    Fault("redis emptied", REDIS, redis_emptied),
    Fault("redis emptied, its file lost", ALONE, redis_file_lost, EMBEDDED_REDIS),
    Fault("redis restored from a dump before the last epoch", ALONE, redis_restored, EMBEDDED_REDIS),
    Fault("redis restored from any earlier dump", ALONE, redis_restored_any, EMBEDDED_REDIS),
    Fault("redis restored from a damaged file", ALONE, redis_file_damaged, EMBEDDED_REDIS),
    Fault("redis gone for a while", ALONE, redis_gone, EMBEDDED_REDIS),
    Fault("redis hangs for a while", ALONE, redis_hangs, EMBEDDED_REDIS),
    Fault("redis out of memory", ALONE, redis_out_of_memory),
    Fault("view store emptied", ALONE, views_emptied, VIEWS_FILE),
    Fault("view store emptied in a run", ALONE, views_emptied_in_run, VIEWS_FILE),
    Fault("view store's file lost", ALONE, views_file_lost, VIEWS_FILE),
    Fault("archive deleted", ALONE, archive_lost),
    Fault("view store and archive deleted", ALONE, views_and_archive_lost, VIEWS_FILE),
    *(_clock(part, hours) for part in (WEB, SPEED, BATCH, BEAT) for hours in (2, -2)),
    *(_clock(INTAKE, hours, RABBITMQ) for hours in (2, -2)),
    *(fault for place in SERVERS for fault in _of_server(place.name)),
    Fault("all servers away for a while", ALONE, servers.all_away, ANY_SERVER),
    Fault("kill -9 everything and all servers at once", ALONE, servers.all_killed, ANY_SERVER),
    Fault("elasticsearch's indexes deleted", ALONE, servers.delete_indexes, ELASTICSEARCH),
    Fault("elasticsearch's rows deleted", ALONE, partial(servers.delete_indexes, words="-rows-"), ELASTICSEARCH),
    Fault("elasticsearch's meta deleted", ALONE, partial(servers.delete_indexes, words="-meta"), ELASTICSEARCH),
    Fault("elasticsearch's indexes deleted in a run", ALONE, servers.indexes_deleted_in_run, ELASTICSEARCH),
    Fault("elasticsearch's indexes and archive deleted", ALONE, servers.indexes_and_archive_lost, ELASTICSEARCH),
    Fault("elasticsearch comes back empty", ALONE, servers.elasticsearch_lost, ELASTICSEARCH),
    Fault("redis-server comes back empty", REDIS, servers.redis_lost, REDIS_SERVER),
    Fault("redis-server restored from before the last epoch", ALONE, servers.redis_restored, REDIS_SERVER),
    Fault("postgresql ends all sessions", POSTGRESQL, servers.sessions_ended, POSTGRESQL),
    Fault("rabbitmq out of memory", RABBITMQ, servers.out_of_memory, RABBITMQ),
    Fault("rabbitmq's queues of workers purged", RABBITMQ, servers.queues_purged, RABBITMQ),
    Fault("rabbitmq's queues of workers deleted", RABBITMQ, servers.queues_deleted, RABBITMQ),
)


def chosen(only: Sequence[str], parts: Set[str]) -> list[Fault]:
    """The faults that can be done to these parts and whose name contains one of these words; all where none is given."""
    possible = [fault for fault in CATALOGUE if not fault.needs or fault.needs in parts]
    return [fault for fault in possible if not only or any(words in fault.name for words in only)]


def schedule(count: int, seed: int, some: Sequence[Fault]) -> Iterator[list[Fault]]:
    """Groups of one to three of some faults, `count` in all: first each of them in some order, then any."""
    chance = random.Random(seed)
    left: list[Fault] = []
    while count > 0:
        left = left or chance.sample(some, len(some))
        group = [left.pop()]
        size = min(count, chance.choice((1, 1, 1, 2, 3)))
        while left and len(group) < size and _may_meet(group, left[-1]):
            group.append(left.pop())
        count -= len(group)
        yield group


def _may_meet(group: Sequence[Fault], fault: Fault) -> bool:
    subjects = [fault.subject, *(other.subject for other in group)]
    return all(subjects) and len(set(subjects)) == len(subjects)
