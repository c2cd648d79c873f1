"""A second opinion on what goes with what, from its definition, pair by pair."""

from math import sqrt

Reads = set[tuple[int, str]]


def plain_cosine(reads: Reads) -> dict[tuple[str, str], float]:
    """The common readers of two media over the geometric mean of the readers of each."""
    by_media = _by_media(reads)
    return {
        (first, second): len(own & other) / sqrt(len(own) * len(other))
        for first, own in by_media.items()
        for second, other in by_media.items()
        if first != second and own & other
    }


def plain_neighbours(reads: Reads) -> dict[tuple[str, str], float]:
    """Each common reader counts one over the root of what he reads; all over the root of the first's readers and one,
    and over the fifth root of the second's readers and one.
    """
    by_media = _by_media(reads)
    count = {visitor: sum(reader == visitor for reader, _ in reads) for visitor, _ in reads}
    return {
        (first, second): sum(1 / sqrt(count[reader]) for reader in own & other)
        / sqrt(len(own) + 1)
        / (len(other) + 1) ** 0.2
        for first, own in by_media.items()
        for second, other in by_media.items()
        if first != second and own & other
    }


def _by_media(reads: Reads) -> dict[str, set[int]]:
    return {media: {visitor for visitor, other in reads if other == media} for _, media in reads}
