"""One scenario in this process: `python -m bench.scenario NAME [quick] [timings] [with_install]`, prints its figures."""

import cProfile
import importlib
import json
import os
import pstats
import sys

import django

from bench.figures import Options, as_json


def main() -> None:
    name, *flags = sys.argv[1:]
    options = Options("quick" in flags, "timings" in flags, "with_install" in flags)
    answer = os.dup(1)
    os.dup2(2, 1)  # what commands and parts print is progress
    django.setup()
    measure = importlib.import_module(f"bench.{name}").measure
    profile = cProfile.Profile()
    figures = profile.runcall(measure, options) if options.is_timed else measure(options)
    if options.is_timed:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(30)
    with os.fdopen(answer, "w") as out:
        json.dump(as_json(figures, options), out)


if __name__ == "__main__":
    main()
