"""The progress bar of commands that run batch work."""

from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from batch.run import Progress


@contextmanager
def shown() -> Iterator[Progress]:
    """A bar on the terminal, to be told what is done, how much of it, of how much; none where nobody sees it."""
    with tqdm(unit="step", disable=None) as bar:

        def progress(step: str, done: int, total: int) -> None:
            bar.set_description(step, refresh=False)
            bar.total, bar.n = total, done
            bar.refresh()

        yield progress
