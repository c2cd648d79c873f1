"""The real processes under a seeded schedule of faults: see docs/faults.md."""
