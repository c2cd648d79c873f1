"""Faults of real servers: each dies, hangs, is away, or loses what it held, while the load goes on."""

import shutil
import signal
from collections.abc import Callable, Iterable
from contextlib import closing

from kombu import Connection

from tests.faults.processes import kill_everything
from tests.faults.profile import ELASTICSEARCH, POSTGRESQL, RABBITMQ, REDIS_SERVER
from tests.faults.scene import Scene, frozen_at, hour
from tests.faults.stack import wait
from tests.services.server import Server

QUEUES = ("speed", "batch", "alarms")


def _killed(servers: Iterable[Server]) -> None:
    """kill -9, and a new start, as systemd would."""
    for server in servers:
        server.kill()
    for server in servers:
        server.start()


def killed(scene: Scene, name: str) -> None:
    wait(scene.random.uniform(0, 1))
    _killed([scene.stack.profile.servers[name]])


def killed_in_run(scene: Scene, name: str) -> None:
    """kill -9 at a random moment of a batch run."""
    scene.stack.pass_hour()
    wait(scene.random.uniform(0.2, 2.5))
    _killed([scene.stack.profile.servers[name]])


def hangs(scene: Scene, name: str) -> None:
    """It takes connections and answers nothing (SIGSTOP), over a full hour."""
    server = scene.stack.profile.servers[name]
    server.send(signal.SIGSTOP)
    try:
        scene.stack.pass_hour()
        wait(8 * scene.long)
    finally:
        server.send(signal.SIGCONT)


def away(scene: Scene, name: str) -> None:
    """It is stopped in order, and started again after a while, over a full hour."""
    server = scene.stack.profile.servers[name]
    server.stop()
    try:
        scene.stack.pass_hour()
        wait(10 * scene.long)
    finally:
        server.start()


def all_away(scene: Scene) -> None:
    """No server is there, over a full hour."""
    servers = list(scene.stack.profile.servers.values())
    for server in servers:
        server.stop()
    scene.stack.pass_hour()
    wait(10 * scene.long)
    for server in servers:
        server.start()


def all_killed(scene: Scene) -> None:
    """kill -9 of all servers and all processes, as when the power fails."""
    _killed(list(scene.stack.profile.servers.values()))
    kill_everything(scene)


# Elasticsearch.


def delete_indexes(scene: Scene, words: str = "") -> None:
    """Delete the indexes whose name contains this."""
    with closing(scene.stack.elasticsearch()) as client:
        for name in client.indices.get(index="affluence-*"):
            if words in name:
                client.indices.delete(index=name)


def indexes_deleted_in_run(scene: Scene) -> None:
    with frozen_at(scene, "seal", "before", "worker-batch", hour):
        delete_indexes(scene)


def indexes_and_archive_lost(scene: Scene) -> None:
    scene.stack.manage("run_batch")
    delete_indexes(scene)
    scene.stack.delete_archive()


def elasticsearch_lost(scene: Scene) -> None:
    """It comes back with an empty disk."""
    _emptied(scene, ELASTICSEARCH, "lose_everything")


# Redis.


def redis_lost(scene: Scene) -> None:
    """It comes back without its append-only file."""
    _emptied(scene, REDIS_SERVER, "empty")


def redis_restored(scene: Scene) -> None:
    """It comes back with an append-only file from before a published epoch."""
    server = scene.stack.profile.servers[REDIS_SERVER]
    kept = scene.stack.base / "redis-before"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(server.append_only_files, kept)
    scene.stack.manage("run_batch")
    wait(1)
    server.kill()
    server.empty()
    shutil.copytree(kept, server.append_only_files)
    server.start()


def _emptied(scene: Scene, name: str, how: str) -> None:
    server = scene.stack.profile.servers[name]
    server.kill()
    getattr(server, how)()
    server.start()


# PostgreSQL.


def sessions_ended(scene: Scene) -> None:
    """Every session is ended by the server, again and again, over a full hour."""
    import psycopg

    scene.stack.pass_hour()
    for _ in range(10):
        with psycopg.connect(scene.stack.profile.servers[POSTGRESQL].url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
            )
        wait(0.5)


# RabbitMQ.


def _to_each_queue(scene: Scene, do: Callable[..., object]) -> None:
    with Connection(scene.stack.profile.servers[RABBITMQ].url, connect_timeout=5) as connection:
        for queue in QUEUES:
            do(connection.default_channel, queue)


def queues_purged(scene: Scene) -> None:
    """The messages that wait for the workers are gone, again and again, over a full hour."""
    scene.stack.pass_hour()
    for _ in range(30):
        _to_each_queue(scene, lambda channel, queue: channel.queue_purge(queue))
        wait(0.1)


def out_of_memory(scene: Scene) -> None:
    """It takes no messages, as where its memory is full: publishers wait."""
    server = scene.stack.profile.servers[RABBITMQ]
    before = server.control("eval", "vm_memory_monitor:get_vm_memory_high_watermark().").strip()
    server.control("set_vm_memory_high_watermark", "0")
    scene.stack.pass_hour()
    wait(8 * scene.long)
    server.control("set_vm_memory_high_watermark", before)


def queues_deleted(scene: Scene) -> None:
    """The workers' queues are deleted under them, over a full hour."""
    scene.stack.pass_hour()
    _to_each_queue(scene, lambda channel, queue: channel.queue_delete(queue))
