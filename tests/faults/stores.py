"""Faults of what is stored beside the stack's processes: disk, SQLite files, the embedded Redis, view store, archive."""

import shutil

from tests.faults.scene import Do, Scene, freeze, frozen_at, hour, nothing, strike, wipe
from tests.faults.stack import wait


def disk_full(scene: Scene, point: str, part: str, of: str, trigger: Do = nothing) -> None:
    """The disk is full from a point on, for seconds. Where no disk can be made, the point alone fails, once."""
    if not scene.stack.has_disk:
        strike(scene, point, "before", "refuse-space", part, trigger, of=of)
        return
    try:
        strike(scene, point, "before", "fill", part, trigger, ballast=str(scene.stack.ballast))
        wait(4 * scene.long)
    finally:
        scene.stack.free_disk()


def locked(scene: Scene, file: str) -> None:
    """Another process holds a database's write lock for seconds, over a full hour."""
    with scene.stack.locked(file):
        scene.stack.pass_hour()
        wait(6 * scene.long)


def redis_emptied(scene: Scene) -> None:
    wait(scene.random.uniform(0, 1))
    wipe(scene)


def redis_file_lost(scene: Scene) -> None:
    scene.stack.put_redis_back(None)


def redis_restored(scene: Scene) -> None:
    """Redis comes back with an append-only file from before a published epoch."""
    dump = scene.stack.base / f"dump-{len(scene.dumps)}.aof"
    shutil.copy(scene.stack.append_only_file, dump)
    scene.dumps.append(dump)
    scene.stack.manage("run_batch")
    wait(1)
    scene.stack.put_redis_back(dump)


def redis_restored_any(scene: Scene) -> None:
    """Redis comes back with any of the files copied so far."""
    if not scene.dumps:
        redis_restored(scene)
        return
    scene.stack.put_redis_back(scene.random.choice(scene.dumps))


def redis_file_damaged(scene: Scene) -> None:
    """Redis comes back with a file that it refuses: bytes of its middle are overwritten."""
    damaged = scene.stack.base / "damaged.aof"
    shutil.copy(scene.stack.append_only_file, damaged)
    with damaged.open("r+b") as file:
        file.seek(damaged.stat().st_size // 2)
        file.write(b"\0" * 64)
    scene.stack.put_redis_back(damaged)


def redis_gone(scene: Scene) -> None:
    with scene.stack.kept_down("redis"):
        scene.stack.pass_hour()
        wait(10 * scene.long)


def redis_hangs(scene: Scene) -> None:
    freeze(scene, "redis", 8)


def redis_out_of_memory(scene: Scene) -> None:
    with scene.stack.redis() as client:
        client.config_set("maxmemory", 1)
        scene.stack.pass_hour()
        wait(8 * scene.long)
        client.config_set("maxmemory", 0)


def views_emptied(scene: Scene) -> None:
    scene.stack.empty_view_store()


def views_emptied_in_run(scene: Scene) -> None:
    with frozen_at(scene, "seal", "before", "worker-batch", hour):
        scene.stack.empty_view_store()


def views_file_lost(scene: Scene) -> None:
    """The file of the view store is deleted while nothing runs."""
    scene.stack.stop()
    for path in scene.stack.data_dir.glob("views.sqlite3*"):
        path.unlink()
    scene.stack.start()


def archive_lost(scene: Scene) -> None:
    """The archive is deleted when it holds something."""
    scene.stack.manage("run_batch")
    scene.stack.delete_archive()


def views_and_archive_lost(scene: Scene) -> None:
    scene.stack.manage("run_batch")
    scene.stack.empty_view_store()
    scene.stack.delete_archive()
