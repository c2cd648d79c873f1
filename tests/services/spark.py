"""Spark from requirements-spark.txt: a master and a worker of a standalone cluster, which know nothing of the project."""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tests.services.server import Server, found_or_installed, run
from tests.waiting import free_port

ROOT = Path(__file__).resolve().parents[2]


class Spark(Server):
    name = "spark"
    starts_within_s = 120.0

    @property
    def url(self) -> str:
        return f"spark://127.0.0.1:{self.port}"

    def prepare(self) -> str:
        found_or_installed(lambda: Path(found) if (found := shutil.which("java")) else None, "openjdk-17-jre-headless")
        if importlib.util.find_spec("pyspark") is None:
            install = ("install", "-q", "-r", str(ROOT / "requirements-spark.txt"))
            run([sys.executable, "-m", "pip", *install], within_s=900)
            importlib.invalidate_caches()
        found = importlib.util.find_spec("pyspark")
        assert found is not None
        assert found.origin is not None
        self.home = Path(found.origin).parent
        self.worker: subprocess.Popen | None = None
        self.pages = free_port()
        return f"Spark {importlib.metadata.version('pyspark')}"

    def command(self) -> Sequence[str]:
        return self._of("master.Master", "--port", str(self.port), "--webui-port", str(self.pages))

    def environment(self) -> dict[str, str]:
        # Without its REST server, which would take a port that is always the same.
        options = {"SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false", "SPARK_DAEMON_MEMORY": "512m"}
        return {"SPARK_HOME": str(self.home), "SPARK_LOCAL_IP": "127.0.0.1", **options}

    def start(self) -> None:
        """Start the worker too, which looks for its master until it is there."""
        resources = ("--cores", "2", "--memory", "2g", "--webui-port", "0", "--work-dir", str(self.directory / "work"))
        with (self.directory / "output of the worker").open("ab") as output:
            self.worker = subprocess.Popen(
                self._of("worker.Worker", *resources, self.url),
                cwd=self.directory,
                env=os.environ | self.environment(),
                stdout=output,
                stderr=output,
            )
        super().start()

    def stop(self, *how) -> None:
        if self.worker is not None:
            self.worker.terminate()
            self.worker.wait()
        super().stop(*how)

    def answers(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.pages}/json/", timeout=5) as answer:
            return json.load(answer)["aliveworkers"] == 1

    def _of(self, name: str, *arguments: str) -> list[str]:
        program = str(self.home / "bin" / "spark-class")
        return [program, f"org.apache.spark.deploy.{name}", "--host", "127.0.0.1", *arguments]
