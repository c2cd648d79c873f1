"""PostgreSQL, Debian's."""

import signal
from collections.abc import Sequence
from pathlib import Path

from tests.services.server import Server, found_or_installed, run


class PostgreSQL(Server):
    name = "postgresql"
    user = "nobody"
    stopped_by = signal.SIGINT  # at SIGTERM it waits until every session has ended by itself
    # Tables are emptied for each test: waiting for the disk would be most of the time.
    options: tuple[str, ...] = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")

    @property
    def url(self) -> str:
        return f"postgres://affluence:affluence@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> str:
        self.programs = found_or_installed(_found, "postgresql").parent
        password = self.directory / "password"
        password.write_text("affluence")
        self.own(self.directory)
        options = ("--username", "affluence", "--pwfile", str(password), "--auth", "scram-sha-256")
        run(
            [str(self.programs / "initdb"), "-D", str(self.data), "--encoding", "UTF8", "--locale", "C", *options],
            cwd=self.directory,
            **self.as_user(),
        )
        return run([str(self.programs / "postgres"), "--version"]).strip()

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def command(self) -> Sequence[str]:
        listening = ("-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.directory))
        return [str(self.programs / "postgres"), "-D", str(self.data), *listening, *self.options]

    def answers(self) -> bool:
        import psycopg

        try:
            with psycopg.connect(self.url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False


class DurablePostgreSQL(PostgreSQL):
    """As in production: what it has committed is on disk, and outlives kill -9."""

    options = ()


def _found() -> Path | None:
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)), None)
