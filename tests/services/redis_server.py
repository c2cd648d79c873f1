"""Redis, Debian's: another version than the wheel's, on a TCP port; alone, in cluster mode, with TLS, behind Sentinels."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import Any

import redis

from speed.server import address
from tests.services.server import Server, found_or_installed, run
from tests.waiting import free_port, until

FAILS_OVER_WITHIN_S = 30.0
KNOWN_WITHIN_S = 30.0


class Redis(Server):
    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self) -> str:
        self.program = found_or_installed(_found, "redis-server")
        return run([str(self.program), "--version"]).strip()

    def options(self) -> dict[str, Any]:
        return {"port": self.port, "bind": "127.0.0.1", "dir": self.directory, "appendonly": "yes", "save": ""}

    def command(self) -> Sequence[str]:
        return [
            str(self.program),
            *(word for name, value in self.options().items() for word in (f"--{name}", str(value))),
        ]

    def answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    def client(self) -> redis.Redis:
        return address(self.url).client(2)

    @property
    def append_only_files(self) -> Path:
        """The directory of what it reads at its next start."""
        return self.directory / "appendonlydir"

    def empty(self) -> None:
        """Delete what a stopped one would read at its next start."""
        shutil.rmtree(self.append_only_files, ignore_errors=True)


class InClusterMode(Redis):
    """A cluster of one: it refuses commands, scripts and transactions on keys of several hash slots, as any other."""

    name = "redis-cluster"

    def options(self) -> dict[str, Any]:
        return super().options() | {"cluster-enabled": "yes", "cluster-port": free_port()}

    def start(self) -> None:
        super().start()
        with self.client() as client:
            if not client.execute_command("CLUSTER SLOTS"):
                client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16_383)
            until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", KNOWN_WITHIN_S)


class WithTls(Redis):
    """It shows a certificate of an authority of its own, and asks for one. Both are in its directory."""

    name = "redis-tls"

    @property
    def url(self) -> str:
        files = {"ssl_ca_certs": "ca.crt", "ssl_certfile": "client.crt", "ssl_keyfile": "client.key"}
        query = "&".join(f"{name}={self.directory / file}" for name, file in files.items())
        return f"rediss://127.0.0.1:{self.port}/0?{query}"

    def prepare(self) -> str:
        said = super().prepare()
        make_authority(self.directory)
        for name in ("server", "client"):
            make_certificate(self.directory, name)
        return said

    def options(self) -> dict[str, Any]:
        files = {f"tls-{name}-file": self.directory / f"server.{suffix}" for name, suffix in PARTS.items()}
        tls = {"tls-port": self.port, "tls-ca-cert-file": self.directory / "ca.crt", "tls-auth-clients": "yes"}
        return super().options() | {"port": 0} | tls | files


PARTS = {"cert": "crt", "key": "key"}


def make_authority(directory: Path) -> None:
    """Write ca.crt and ca.key."""
    made = ("-x509", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=an authority of tests")
    run(["openssl", "req", *NEW_KEY, *made], cwd=directory)


def make_certificate(directory: Path, name: str) -> None:
    """Write NAME.crt and NAME.key, signed by the authority, for 127.0.0.1."""
    run(
        ["openssl", "req", *NEW_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"],
        cwd=directory,
    )
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
    run(["openssl", "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *signed], cwd=directory)


NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Replica(Redis):
    name = "redis-replica"

    def __init__(self, master: int) -> None:
        super().__init__()
        self._master = master

    def options(self) -> dict[str, Any]:
        return super().options() | {"replicaof": f"127.0.0.1 {self._master}", "repl-diskless-sync-delay": 0}

    def command(self) -> Sequence[str]:
        words = super().command()
        place = words.index("--replicaof")
        return [*words[: place + 1], *words[place + 1].split(), *words[place + 2 :]]


class OneSentinel(Redis):
    name = "redis-sentinel"

    def __init__(self, master: int) -> None:
        super().__init__()
        self._master = master

    def prepare(self) -> str:
        said = super().prepare()
        timing = "down-after-milliseconds {0} 1000", "failover-timeout {0} 4000", "parallel-syncs {0} 1"
        lines = (
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.directory}",
            f"sentinel monitor {MASTER} 127.0.0.1 {self._master} 2",
            *(f"sentinel {line.format(MASTER)}" for line in timing),
        )
        (self.directory / "sentinel.conf").write_text("\n".join(lines) + "\n")
        return said

    def command(self) -> Sequence[str]:
        return [str(self.program), str(self.directory / "sentinel.conf"), "--sentinel"]


MASTER = "mymaster"


class BehindSentinels(Redis):
    """A master, its replica, and three Sentinels, of which two agree that the master is gone."""

    name = "redis-behind-sentinels"

    def __init__(self) -> None:
        super().__init__()
        self.master = Redis()
        self.replica = Replica(self.master.port)
        self.sentinels = [OneSentinel(self.master.port) for _ in range(3)]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://{hosts}/{MASTER}/0"

    @property
    def parts(self) -> list[Redis]:
        return [self.master, self.replica, *self.sentinels]

    def start(self) -> None:
        for part in self.parts:
            part.prepare()
            part.start()
        until(lambda: all(self._knows_all(sentinel) for sentinel in self.sentinels), KNOWN_WITHIN_S)

    def _knows_all(self, sentinel: Redis) -> bool:
        with sentinel.client() as client:
            known = client.sentinel_master(MASTER)
        return (known["num-slaves"], known["num-other-sentinels"]) == (1, 2)

    def stop(self, *how: Any) -> None:
        for part in self.parts:
            part.stop(*how)

    def end(self) -> None:
        for part in self.parts:
            part.end()
        super().end()


def _found() -> Path | None:
    return Path(found) if (found := which("redis-server")) else None
