"""What to read next: candidates, their comparison on splits of a hub's own events, and the model that is kept.

Pure functions over interactions. Everything is deterministic: fixed seeds, ties by media id.
"""
