from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from xpnet.distributed._ending import raised_alike


@final
@dataclass(frozen=True)
class Share:
    """One rank's part of one batch.

    Attributes
    ----------
    rows : which places of the epoch's order are this rank's; it may have none.
    weight : its examples divided by the batch's: what its mean gradient counts in the batch's mean gradient.
    batch : the places of the whole batch.
    """

    rows: slice
    weight: float
    batch: slice


def share(n: int, rank: int, size: int) -> slice:
    """Which of the n examples of a batch are one rank's: consecutive ones, of which no rank has one more than another.

    The first n mod size ranks have the one more. All ranks' parts, one after the other, are the batch in its order.

    Parameters
    ----------
    n : examples of the batch, >= 0.
    rank, size : the rank, and how many there are.

    Raises
    ------
    ValueError : a number out of its range.

    Examples
    --------
    >>> [share(10, rank, 4) for rank in range(4)]
    [slice(0, 3, None), slice(3, 6, None), slice(6, 8, None), slice(8, 10, None)]
    """
    if not 0 <= rank < size:
        raise ValueError(f"share: rank must be from 0 to {size - 1}, got {rank}")
    if n < 0:
        raise ValueError(f"share: a batch has 0 examples or more, got {n}")
    each, more = divmod(n, size)
    start = rank * each + min(rank, more)
    return slice(start, start + each + (rank < more))


def share_weight(n: int, rank: int, size: int) -> float:
    """What one rank's mean over its share of n examples counts in the mean over all; 0 for a rank without examples.

    mean = Σ_ranks weight · (mean of the rank's examples)

    Examples
    --------
    >>> [share_weight(10, rank, 4) for rank in range(4)]
    [0.3, 0.3, 0.2, 0.2]
    """
    part = share(n, rank, size)
    return (part.stop - part.start) / n if n else 0.0


def shares(examples: int, batch: int, rank: int, size: int, *, drop_last: bool = False) -> Iterator[Share]:
    """One rank's part of each batch of an epoch; each example is some rank's, however many there are.

    The epoch's order is the same on all ranks, and batches are consecutive places of it, so that the batches are the
    same for any number of ranks; only who works on what differs.

    Parameters
    ----------
    examples, batch : of the whole epoch, and of a batch before it is shared.
    rank, size : the rank, and how many there are.
    drop_last : whether a last batch that is not full is left out.

    Raises
    ------
    ValueError : more ranks than examples; on all ranks alike.

    Examples
    --------
    >>> [(part.rows, part.weight) for part in shares(5, 4, rank=1, size=2)]
    [(slice(2, 4, None), 0.5), (slice(5, 5, None), 0.0)]
    """
    if batch < 1:
        raise ValueError(f"shares: a batch has 1 example or more, got {batch}")
    if examples < size:
        raise raised_alike(
            ValueError(f"shares: {size} ranks are more than there are examples, {examples}; start fewer")
        )
    for start in range(0, examples, batch):
        n = min(batch, examples - start)
        if n < batch and drop_last:
            return
        part = share(n, rank, size)
        rows = slice(start + part.start, start + part.stop)
        yield Share(rows, share_weight(n, rank, size), slice(start, start + n))
