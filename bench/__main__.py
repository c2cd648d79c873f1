"""`python -m bench`: prints one JSON object of figures, each beside its limit measured in the same run."""

import argparse
import cProfile
import json
import os
import pstats
import sys
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", help="run this one only; may be repeated")
    parser.add_argument("--profile", action="store_true", help="print where the time goes, to stderr")
    options = parser.parse_args()
    # On the disk of the project: a benchmark in a memory file system would measure no fsync.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=Path(__file__).parent) as data_dir:
        os.environ["DATA_DIR"] = data_dir
        os.environ["DJANGO_SETTINGS_MODULE"] = "statsproject.settings"
        figures = run(options.only, is_profiled=options.profile)
    json.dump(figures, sys.stdout, indent=2)
    print()


def run(only: list[str] | None, is_profiled: bool) -> dict[str, dict]:
    """The figures of the benchmarks named by `only`, of all where it is None. Exits on an unknown name."""
    import django

    django.setup()
    from bench.figures import FIGURES

    by_name = {measure.__name__: measure for measure in FIGURES}
    if unknown := set(only or ()) - set(by_name):
        sys.exit(f"Unknown: {', '.join(sorted(unknown))}. There are {', '.join(by_name)}.")
    figures = {}
    for name in only or by_name:
        print(name, file=sys.stderr)
        profile = cProfile.Profile()
        figures[name] = profile.runcall(by_name[name]) if is_profiled else by_name[name]()
        if is_profiled:
            pstats.Stats(profile, stream=sys.stderr).sort_stats("cumulative").print_stats(25)
    return figures


if __name__ == "__main__":
    main()
