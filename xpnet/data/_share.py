from typing import final


@final
class Share:
    """Which of the examples of each batch are one process's, where several share the work: consecutive ones.

    No process has one more than another; the first n mod size have the one more. All parts, one after the other, are
    the batch in its order.

    Parameters
    ----------
    rank, size : the process, counted from 0, and how many there are.

    Raises
    ------
    ValueError : a number out of its range.

    Examples
    --------
    >>> [Share(rank, 4).of(10) for rank in range(4)]
    [slice(0, 3, None), slice(3, 6, None), slice(6, 8, None), slice(8, 10, None)]
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        if not 0 <= rank < size:
            raise ValueError(f"Share: rank must be from 0 to {size - 1}, got {rank}")
        self.rank, self.size = rank, size

    def __repr__(self) -> str:
        return f"Share({self.rank}, {self.size})"

    def of(self, n: int) -> slice:
        """Which of n examples."""
        each, more = divmod(n, self.size)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))
