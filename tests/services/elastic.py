"""Elasticsearch, from Maven Central: the real server with few modules (no delete-by-query, no scripts)."""

import json
import os
import re
import shutil
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tests.services.server import Missing, Server, found_or_installed, run

VERSION = "8.19.5"
ARTIFACT = "org.elasticsearch.distribution.integ-test-zip:elasticsearch"
HEAP = "512m"


class Elasticsearch(Server):
    name = "elasticsearch"
    user = "nobody"
    starts_within_s = 600.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> str:
        self.java = _java_home()
        with zipfile.ZipFile(_archive()) as archive:
            archive.extractall(self.directory)
        self.home = self.directory / f"elasticsearch-{VERSION}"
        for program in (self.home / "bin").iterdir():
            program.chmod(0o755)
        (self.home / "config" / "elasticsearch.yml").write_text(
            "discovery.type: single-node\nnetwork.host: 127.0.0.1\nxpack.security.enabled: false\n"
            "xpack.ml.enabled: false\n"
            # A machine whose disk is nearly full tests no less.
            "cluster.routing.allocation.disk.threshold_enabled: false\n"
            f"http.port: {self.port}\ntransport.port: 0\n"
        )
        self.own(self.directory)
        return f"Elasticsearch {VERSION} of Maven Central, on {self.java}"

    def command(self) -> Sequence[str]:
        return [str(self.home / "bin" / "elasticsearch")]

    def environment(self) -> dict[str, str]:
        heap = f"-Xms{HEAP} -Xmx{HEAP}"
        return {"ES_JAVA_HOME": str(self.java), "ES_JAVA_OPTS": heap, "HOME": str(self.directory)}

    def lose_everything(self) -> None:
        """Empty its data, while it is stopped."""
        shutil.rmtree(self.home / "data")

    def answers(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/_cluster/health?timeout=1s", timeout=5) as answer:
            return json.load(answer)["status"] != "red"


def _archive() -> Path:
    local = Path.home() / ".m2" / "repository" / ARTIFACT.replace(".", "/").replace(":", "/") / VERSION
    path = local / f"elasticsearch-{VERSION}.zip"
    if not path.exists():
        maven = found_or_installed(lambda: _which("mvn"), "maven")
        get = ("dependency:get", f"-Dartifact={ARTIFACT}:{VERSION}:zip", "-Dtransitive=false")
        run([str(maven), "-q", *get], within_s=300)
    if not path.exists():
        raise Missing(f"Maven ended well, but there is no {path}")
    return path


def _java_home() -> Path:
    return found_or_installed(_found_java, "openjdk-17-jre-headless")


def _found_java() -> Path | None:
    """The home of a Java of 17 to 24; newer ones lack the security manager that this Elasticsearch asks for."""
    named = [Path(home) for home in (os.environ.get("JAVA_HOME", ""),) if home]
    homes = [*named, *sorted(Path("/usr/lib/jvm").glob("*"))]
    return next((home for home in homes if 17 <= _version(home) <= 24), None)


def _version(home: Path) -> int:
    release = home / "release"
    found = re.search(r'JAVA_VERSION="(\d+)', release.read_text()) if release.is_file() else None
    return int(found[1]) if found and (home / "bin" / "java").exists() else 0


def _which(program: str) -> Path | None:
    return Path(found) if (found := shutil.which(program)) else None
