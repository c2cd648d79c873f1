"""RabbitMQ, Debian's, without systemd: a node and a directory of its own."""

from collections.abc import Sequence
from pathlib import Path

from kombu import Connection

from tests.services.server import Server, found_or_installed, run
from tests.waiting import free_port

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMQ(Server):
    name = "rabbitmq"
    starts_within_s = 300.0

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def prepare(self) -> str:
        found_or_installed(lambda: PROGRAM if PROGRAM.exists() else None, "rabbitmq-server")
        self._distribution = free_port()
        return f"RabbitMQ {run(['dpkg-query', '-W', '-f', '${Version}', 'rabbitmq-server']).strip()}"

    def command(self) -> Sequence[str]:
        return [str(PROGRAM)]

    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.directory),
            "RABBITMQ_NODENAME": f"affluence{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "none"),
        }

    def control(self, *words: str) -> str:
        """What `rabbitmqctl` says. Raises Missing where it fails."""
        return run([str(PROGRAM.with_name("rabbitmqctl")), *words], variables=self.environment())

    def answers(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
                return True
        except (OSError, *Connection(self.url).connection_errors):
            return False
