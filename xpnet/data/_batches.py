from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from xpnet._typing import Array
from xpnet.backend import checked_seed, get_backend, random_key
from xpnet.data._augment import Augmentation
from xpnet.data._source import Rows, open_source

_WINDOW = 32
"""Batches read together and shuffled in memory, where the data can only be sliced."""


@final
class Batches:
    """Pairs of inputs and targets, a batch at a time, in a new order each epoch; see `batches`.

    Attributes
    ----------
    epoch : the number of the next pass, which with the seed decides its order. Each `for` loop begins a new pass.
    examples : how many examples a pass goes through.
    """

    def __init__(
        self, x: Any, t: Any, size: int, seed: int, *, shuffle: bool, drop_last: bool, augment: Sequence[Augmentation]
    ) -> None:
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"batches: size must be a positive integer, got {size!r}")
        self.size, self.seed, self.shuffle, self.drop_last = int(size), checked_seed(seed), shuffle, drop_last
        if not (isinstance(augment, Sequence) and all(map(callable, augment))):
            raise TypeError(f"batches: augment must be a list of augmentations, as in [RandomFlip()], got {augment!r}")
        self.augment = tuple(augment)
        self.epoch = 0
        self._x, self._t = open_source("x", x, check_inputs), open_source("t", t, check_targets)
        self.examples = len(self._x)
        if len(self._t) != self.examples:
            raise ValueError(f"batches: x has {self.examples} examples but t has {len(self._t)}")
        if len(self) == 0:
            raise ValueError(f"batches: {self.examples} examples make no batch of size {size}")

    def __len__(self) -> int:
        """The number of batches in a pass."""
        return self.examples // self.size if self.drop_last else -(-self.examples // self.size)

    def __repr__(self) -> str:
        augment = f", augment={list(self.augment)}" if self.augment else ""
        return f"Batches({self.examples} examples, {len(self)} batches of {self.size}, shuffle={self.shuffle}{augment})"

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        epoch = self.epoch
        self.epoch += 1
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, epoch])))
        keys = [random_key(self.seed, f"epoch {epoch}, augmentation {i}") for i in range(len(self.augment))]
        backend = get_backend()
        scattered = self._x.scattered and self._t.scattered
        for rows, x, t in self._anywhere(random) if scattered or not self.shuffle else self._windows(random):
            x = backend.asarray(x)
            if self.augment:
                examples = backend.asarray(np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows)
                for change, key in zip(self.augment, keys, strict=True):
                    x = change(x, examples, key)
            yield x, backend.asarray(t)

    def _anywhere(self, random: np.random.Generator) -> Iterator[tuple[Rows, Array, Array]]:
        """Batches of rows from all over the data, and which they are."""
        order = random.permutation(self.examples) if self.shuffle else None
        for start in range(0, len(self) * self.size, self.size):
            rows = slice(start, min(start + self.size, self.examples))
            chosen = rows if order is None else order[rows]
            yield chosen, self._x.rows(chosen), self._t.rows(chosen)

    def _windows(self, random: np.random.Generator) -> Iterator[tuple[Rows, Array, Array]]:
        """Slices in random order, a window of them shuffled together: each example once, a window in memory."""
        starts = random.permutation(np.arange(0, self.examples, self.size))
        left: list[tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]] = []  # what did not fill a batch yet
        for first in range(0, len(starts), _WINDOW):
            slices = [slice(int(s), min(int(s) + self.size, self.examples)) for s in starts[first : first + _WINDOW]]
            read = [(np.arange(s.start, s.stop), self._x.host_rows(s), self._t.host_rows(s)) for s in slices]
            rows, x, t = (np.concatenate(parts) for parts in zip(*left, *read, strict=True))
            order = random.permutation(len(x))
            whole = len(x) // self.size * self.size
            for start in range(0, whole, self.size):
                chosen = order[start : start + self.size]
                yield rows[chosen], x[chosen], t[chosen]
            rest = order[whole:]
            left = [(rows[rest], x[rest], t[rest])]
        if len(left[0][0]) and not self.drop_last:
            yield left[0]


def batches(
    x: Any,
    t: Any,
    size: int,
    seed: int = 0,
    *,
    shuffle: bool = True,
    drop_last: bool = False,
    augment: Sequence[Augmentation] = (),
) -> Batches:
    """Splits inputs and targets into batches, which are moved to the current backend one at a time.

    Each `for` loop over the result is one pass over the data, in an order that follows from `seed` and the number of
    the pass.

    Parameters
    ----------
    x : (n, ...) inputs, floating-point and finite: an array (on the host or on a device), a `numpy.memmap`, or an HDF5
        or Zarr dataset. What can only be sliced is shuffled in windows of 32 batches, without loading it whole.
    t : n targets: integer labels (n,), or floating-point (n, ...).
    size : examples in a batch; the last one has what is left.
    seed : decides the order.
    shuffle : whether examples come in random order.
    drop_last : whether to leave out a last batch that is not full.
    augment : what changes the inputs of each batch at random, anew in each pass, one after the other: `RandomCrop(4)`,
        `RandomFlip()` or any `Augmentation`. For training, not for validation. What it does to an example follows
        from `seed`, the pass and the example's number, and not from the batch that it falls into.

    Returns
    -------
    A `Batches`: it has a length, and `for x, t in it` goes through one pass.

    Raises
    ------
    ValueError : lengths differ, there is no batch, inputs or targets are not finite, or labels are negative.
    TypeError : inputs that are not floating-point, or values of any other kind; `augment` that is no list of callables.

    Examples
    --------
    >>> import numpy as np
    >>> pairs = batches(np.zeros((5, 2)), np.arange(5), 2, shuffle=False)
    >>> [t.tolist() for x, t in pairs]
    [[0, 1], [2, 3], [4]]

    Images, half of them mirrored in each pass:
    >>> from xpnet.data import RandomFlip
    >>> pairs = batches(np.zeros((5, 8, 8, 1)), np.arange(5), 2, augment=[RandomFlip()])
    """
    return Batches(x, t, size, seed, shuffle=shuffle, drop_last=drop_last, augment=augment)


def check_inputs(name: str, x: NDArray[Any], rows: Rows) -> None:
    """Inputs are floating-point and finite.

    Raises
    ------
    TypeError, ValueError : they are not; the message says where.
    """
    if x.dtype.kind != "f":
        hint = "; convert and scale them first, as in x.astype('float32') / 255" if x.dtype.kind in "iub" else ""
        raise TypeError(f"{name}: expected floating-point inputs, got {x.dtype}{hint}")
    _check_finite(name, x, rows)


def check_targets(name: str, t: NDArray[Any], rows: Rows) -> None:
    """Targets are finite numbers, or labels from 0.

    Raises
    ------
    TypeError, ValueError : they are not; the message says where.
    """
    if t.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected integer labels or floating-point targets, got {t.dtype}")
    if t.dtype.kind == "f":
        _check_finite(name, t, rows)
    elif t.ndim == 1 and t.dtype.kind == "i" and t.size and t.min() < 0:
        raise ValueError(f"{name}: labels count from 0, got {t.min()} in row {_row(rows, t.argmin())}")


def _check_finite(name: str, values: NDArray[Any], rows: Rows) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        first, *rest = np.argwhere(~finite)[0]
        where = (_row(rows, first), *map(int, rest))
        count = values.size - int(finite.sum())
        raise ValueError(
            f"{name}: {count} of {values.size} values are not finite; the first is {values[first, *rest]} at {where}"
        )


def _row(rows: Rows, i: int | np.integer[Any]) -> int:
    """The number in the whole data of the i-th of these rows."""
    return int(rows.start + i if isinstance(rows, slice) else rows[i])
