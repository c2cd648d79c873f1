"""FerretDB, a Go module that speaks MongoDB's protocol over SQLite: the program around it is built here, once.

It is no replica set: what it acknowledges is on its own disk, its conditional updates are atomic only while no other goes on
beside them, it scans where MongoDB has an index, and holds a connection for each update of a command until that ends.
"""

import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from tests.services.server import Missing, Server, found_or_installed

VERSION = "v1.24.0"
BUILDS_WITHIN_S = 1_200
MODULE = f"""module ferretdb

go 1.22

require github.com/FerretDB/FerretDB {VERSION}
"""
PROGRAM = """package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: os.Args[1]},
		Handler:   "sqlite",
		SQLiteURL: "file:" + os.Args[2] + "/",
	})
	if err != nil {
		log.Fatal(err)
	}
	if err = server.Run(ctx); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}
"""


class FerretDB(Server):
    name = "ferretdb"

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}"

    def prepare(self) -> str:
        self.program = _built()
        return f"FerretDB {VERSION} on SQLite"

    def command(self) -> Sequence[str]:
        return [str(self.program), f"127.0.0.1:{self.port}", str(self.directory)]

    def answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True


def _built() -> Path:
    """The program, kept for later runs. Raises Missing where it cannot be built."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "affluence" / f"ferretdb-{VERSION}"
    program = home / "ferretdb"
    if not program.exists():
        go = found_or_installed(_go, "golang")
        home.mkdir(parents=True, exist_ok=True)
        (home / "go.mod").write_text(MODULE)
        (home / "main.go").write_text(PROGRAM)
        command = [str(go), "build", "-o", "ferretdb.new", "."]
        done = subprocess.run(
            command,
            cwd=home,
            env=os.environ | {"GOFLAGS": "-mod=mod"},
            capture_output=True,
            text=True,
            timeout=BUILDS_WITHIN_S,
            check=False,
        )
        if done.returncode:
            raise Missing(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
        (home / "ferretdb.new").rename(program)
    return program


def _go() -> Path | None:
    found = which("go") or which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    return Path(found) if found else None
