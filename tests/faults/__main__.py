"""`python -m tests.faults --faults 500 --seed 1`: one JSON object at the end; exit 1 where something was lost or doubled."""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from tests.faults import load
from tests.faults.catalogue import chosen, schedule
from tests.faults.check import Checker, Oracle
from tests.faults.profile import HEALED_S, Profile
from tests.faults.scene import LEASE_S, TWO_HOURS, Fault, Scene
from tests.faults.stack import NotSo, Stack, until, wait

PUBLISHES_WITHIN_S = 90.0
SHOWN = 150
"""Characters of what healed last."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--faults", type=int, default=int(os.environ.get("FAULTS") or 0), help="how many (0: each once)"
    )
    parser.add_argument(
        "--after", type=int, default=0, help="leave out the first so many, which another run of the seed has done"
    )
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 1))
    parser.add_argument("--only", action="append", default=[], help="faults whose name contains this; may be repeated")
    parser.add_argument("--long", type=float, default=1.0, help="how much longer faults last that last")
    parser.add_argument(
        "--profile", choices=HEALED_S, default="embedded", help="what it runs on: the embedded parts, or real servers"
    )
    parser.add_argument("--rate", type=float, default=60.0, help="events a second")
    parser.add_argument("--broken", default="", help="a build that is broken on purpose; see broken.py")
    parser.add_argument("--keep-going", action="store_true", help="after a failure, run a rebuild and go on")
    options = parser.parse_args()
    if options.profile == "embedded" or os.getuid() == 0:
        _own_mounts()  # else servers would find no other user there, who is to run them
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with Profile(options.profile) as profile:
        for name, server in profile.servers.items():
            say(f"{name}: {server.version}")
        for name, why in profile.missing.items():
            say(f"{name}: MISSING, so that part stays embedded: {why}")
        stack = Stack(profile, options.broken)
        own = "a disk of its own" if stack.has_disk else "no disk of its own"
        say(f"seed {options.seed}, {stack.log.name}, {own}")
        try:
            found = Trial(stack, options).run()
        finally:
            stack.end()
    print(json.dumps(found), flush=True)
    if found["failures"]:
        say(f"What the processes said: {stack.log.name}")
        return 1
    shutil.rmtree(stack.base, ignore_errors=True)
    return 0


def _own_mounts() -> None:
    """Start again in a mount namespace of its own, so that the small disk goes with this process."""
    unshare = shutil.which("unshare")
    if unshare and sys.platform.startswith("linux") and "FAULTS_UNSHARED" not in os.environ:
        os.environ["FAULTS_UNSHARED"] = "1"
        words = [unshare, "--mount"] if os.getuid() == 0 else [unshare, "--user", "--map-root-user", "--mount"]
        again = [*words, sys.executable, "-m", "tests.faults", *sys.argv[1:]]
        if os.spawnvp(os.P_WAIT, unshare, [*words, "true"]) == 0:
            os.execvp(unshare, again)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Trial:
    """One schedule, from a fresh stack to the last comparison."""

    def __init__(self, stack: Stack, options: argparse.Namespace) -> None:
        self.stack, self.options = stack, options
        self.failures: list[dict[str, Any]] = []
        self.took: list[float] = []
        self.published: list[float] = []
        self.missed: list[str] = []
        self.kinds: set[str] = set()
        self.done = options.after
        self.is_to_end = threading.Event()

    def run(self) -> dict[str, Any]:
        import django

        os.environ.clear()
        os.environ |= self.stack.environment | {"DJANGO_SETTINGS_MODULE": "statsproject.settings"}
        began = time.monotonic()
        self.stack.start()
        django.setup()
        self._set_up()
        signal.signal(signal.SIGTERM, lambda *_: self.is_to_end.set())
        say(f"ready after {time.monotonic() - began:.0f} s")
        self._play()
        self._end()
        return self._summary(time.monotonic() - began)

    def _set_up(self) -> None:
        made = {hub: self.stack.manage("create_hub", hub, "--timezone", zone) for hub, zone in load.HUBS.items()}
        self.oracle = Oracle()
        ingest, read = ({hub: one["keys"][scope] for hub, one in made.items()} for scope in ("ingest", "read"))
        self.load = load.Load(self.stack, ingest, self.options.seed, self.options.rate, self.oracle.take)
        self.checker = Checker(self.stack, self.oracle, read)
        chance = random.Random(self.options.seed)
        self.scene = Scene(self.stack, self.load, self.checker, chance, self.options.long)

    def _play(self) -> None:
        some = chosen(self.options.only, self.stack.profile.parts)
        count = self.options.faults or len(some)
        for group in self._left(schedule(count, self.options.seed, some)):
            if self.is_to_end.is_set():
                say("     ended early, as asked")
                return
            self.done += len(group)
            self.kinds |= {fault.name for fault in group}
            names = " + ".join(fault.name for fault in group)
            problem = self._strike(group)
            last = f" (last: {self.checker.healed_last[:SHOWN]})" if self.checker.healed_last else ""
            told = f"{self.took[-1]:.1f} s{last}" if problem is None else f"FAILED {problem}"
            say(f"{self.done:4}/{count} {names}: {told}")
            if problem is not None:
                self.failures.append({"at": self.done, "faults": names, "problem": problem})
                if not self.options.keep_going:
                    return
                self._mend()

    def _left(self, groups: Iterable[list[Fault]]) -> Iterator[list[Fault]]:
        """The groups after those that another run has done."""
        struck = 0
        for group in groups:
            if struck >= self.options.after:
                yield group
            struck += len(group)

    def _strike(self, group: list[Fault]) -> str | None:
        """Do the faults of a group at once; None where everything healed, else what did not."""
        self.load.go_on()
        wait(self.scene.random.uniform(1, 2))
        problems: list[str] = []

        def do(fault: Fault) -> None:
            try:
                fault.do(self.scene)
            except NotSo as missed:
                problems.append(f"{fault.name}: {missed}")

        threads = [threading.Thread(target=do, args=(fault,)) for fault in group]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(group) > 1 and problems:
            # Together, one may keep another from coming to its point.
            self.missed += problems
            problems = []
        self.stack.disarm()
        began = time.monotonic()
        try:
            self.load.pause(self.stack.profile.healed_s)
            if problems:
                raise NotSo("; ".join(problems))
            self.checker.healed()
            self.took.append(time.monotonic() - began)
            self._publish()
        except NotSo as problem:
            return str(problem)
        return None

    def _publish(self) -> None:
        """Let the time pass after which a dead run's claim is over: what waits is published, and all is exact again."""
        if self.checker.is_published():
            return
        self.stack.pass_time(LEASE_S)
        self.published.append(until(self.checker.is_published, PUBLISHES_WITHIN_S, "every cut published"))
        self.checker.healed()

    def _mend(self) -> None:
        """After a failure, what a person would do, so that the rest of the schedule is worth running."""
        try:
            self.stack.pass_time(TWO_HOURS + LEASE_S)
            self.stack.manage("run_batch", "--rebuild")
            until(lambda: not self.checker.differences(), self.stack.profile.healed_s, "exact")
            self.checker.forget_answers()
            say("     mended by run_batch --rebuild")
        except NotSo as problem:
            say(f"     not mended by run_batch --rebuild: {problem}")
            self.failures.append({"at": self.done, "faults": "rebuild", "problem": str(problem)})

    def _end(self) -> None:
        """Everything from the raw events once more, the audits, and that every epoch was published once."""
        from django.db.models import Count

        from batch.models import Run

        try:
            self.load.pause(self.stack.profile.healed_s)
            self.stack.manage("run_batch", "--rebuild")
            self.checker.healed()
            twice = (
                Run.objects.filter(published_at__isnull=False).values("epoch").annotate(n=Count("id")).filter(n__gt=1)
            )
            mismatches = self.checker.status()["mismatches"]
            if twice or mismatches:
                raise NotSo(f"epochs published twice: {list(twice)}; states that differ in audits: {mismatches}")
            self.stack.manage("pipeline_status", "--json")
        except NotSo as problem:
            say(f"END  FAILED {problem}")
            self.failures.append({"at": "end", "faults": "rebuild and audits", "problem": str(problem)})

    def _summary(self, seconds: float) -> dict[str, Any]:
        tally, took = self.load.tally, sorted(self.took) or [0.0]
        self.failures += [{"at": "load", "faults": "", "problem": wrong} for wrong in tally.wrong[:20]]
        return {
            "profile": self.options.profile,
            "parts": sorted(self.stack.profile.parts),
            "faults": self.done - self.options.after,
            "after": self.options.after,
            "kinds": len(self.kinds),
            "failed": len(self.failures),
            "lost": len(self.checker.lost()),
            "doubled": len(self.checker.doubled()),
            "seed": self.options.seed,
            "seconds": round(seconds),
            "accepted": tally.accepted,
            "duplicates": tally.duplicates,
            "rejected": tally.rejected,
            "requests": {str(status): n for status, n in sorted(tally.by_status.items())},
            "queue": {"confirmed": tally.confirmed, "not confirmed, and published again": tally.unconfirmed},
            "answers": {"compared": self.checker.asked, "prefixes": self.checker.answers_checked},
            "answers_by_status": {str(status): n for status, n in sorted(self.checker.by_status.items())},
            "recovery_s": {
                "p50": round(took[len(took) // 2], 1),
                "p95": round(took[int(len(took) * 0.95)], 1),
                "max": round(took[-1], 1),
            },
            "epochs": self.checker.status()["published_epoch"],
            "missed": self.missed,
            "failures": self.failures,
        }


if __name__ == "__main__":
    sys.exit(main())
