"""Faults of the broker: messages are lost, doubled, or deleted from their queues."""

from contextlib import suppress

from tests.faults.scene import Scene
from tests.faults.stack import wait


def broker(scene: Scene, says: str) -> None:
    """Every message to the broker is lost or doubled, over a full hour."""
    path = scene.stack.directory / "broker"
    path.write_text(says)
    scene.stack.pass_hour()
    wait(5 * scene.long)
    path.unlink()


def drop_queues(scene: Scene) -> None:
    """The messages that wait in the broker are gone."""
    scene.stack.pass_hour()
    for _ in range(30):
        with suppress(Exception), scene.stack.redis() as client:
            client.delete("speed", "batch")
        wait(0.1)
