from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, final

import numpy as np

from xpnet._names import described
from xpnet._typing import Array
from xpnet.backend import Backend, checked_seed, get_backend, random_key
from xpnet.data._augment import Augmentation
from xpnet.data._prefetch import in_background
from xpnet.data._resident import check_resident, resident_sources
from xpnet.data._share import Share
from xpnet.data._source import DeviceSource, FileSource, Order, Pending, Source, open_source
from xpnet.data._values import check_inputs, check_targets
from xpnet.data._windows import SLICES, Held, Numbers, windows

_Item = TypeVar("_Item")

ALL = Share()
"""The whole of each batch."""


@final
class Batches:
    """Pairs of inputs and targets, a batch at a time, in a new order each epoch; see `batches`.

    Attributes
    ----------
    epoch : the number of the next pass, which with the seed decides its order. Each `for` loop begins a new pass.
    examples : how many examples a pass goes through.
    """

    def __init__(
        self,
        x: Any,
        t: Any,
        size: int,
        seed: int,
        *,
        shuffle: bool,
        drop_last: bool,
        augment: Sequence[Augmentation],
        resident: bool | None,
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
        check_resident(resident, self._x, self._t)
        self.resident = resident
        self._placed: dict[Backend, tuple[Source, Source]] = {}

    def __len__(self) -> int:
        """The number of batches in a pass."""
        return self.examples // self.size if self.drop_last else -(-self.examples // self.size)

    def __repr__(self) -> str:
        augment = f", augment={list(self.augment)}" if self.augment else ""
        return f"Batches({self.examples} examples, {len(self)} batches of {self.size}, shuffle={self.shuffle}{augment})"

    def state(self) -> dict[str, Any]:
        """The number of the next pass, with what else its order depends on: plain values."""
        return {"epoch": self.epoch} | self._settings()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on with the pass that was the next one when `state` was called.

        Raises
        ------
        ValueError : the order there depended on other settings; nothing is changed then.
        """
        settings = self._settings()
        wrong = [
            f"{name} {state.get(name)!r} there, {here!r} here"
            for name, here in settings.items()
            if state.get(name) != here
        ]
        epoch = state.get("epoch")
        if wrong or type(epoch) is not int or epoch < 0:
            raise ValueError(f"batches: the state is of other batches: {'; '.join(wrong) or 'no epoch'}")
        self.epoch = epoch

    def _settings(self) -> dict[str, Any]:
        names = ("examples", "size", "seed", "shuffle", "drop_last")
        return {name: getattr(self, name) for name in names} | {"augment": [described(each) for each in self.augment]}

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        return self.after(0)

    def size_of(self, batch: int) -> int:
        """How many examples the batch of that number in a pass has."""
        return min(self.size, self.examples - batch * self.size)

    def after(self, count: int, share: Share = ALL) -> Iterator[tuple[Array, Array]]:
        """The next pass without its first `count` batches, which are not made; what follows is the same.

        Parameters
        ----------
        count : batches to leave out.
        share : the part of each batch that is wanted; it may be empty. The rest is not read, but for some of what lies
            between in data that can only be sliced.

        Examples
        --------
        >>> import numpy as np
        >>> pairs = batches(np.zeros((5, 2)), np.arange(5), 2, shuffle=False)
        >>> [t.tolist() for x, t in pairs.after(1)], [t.tolist() for x, t in pairs.after(0, Share(1, 2))]
        ([[2, 3], [4]], [[1], [3], []])
        """
        epoch = self.epoch
        self.epoch += 1
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, epoch])))
        keys = [random_key(self.seed, f"epoch {epoch}, augmentation {i}") for i in range(len(self.augment))]
        backend = get_backend()
        x, t = self._sources(backend)
        anywhere = (x.scattered and t.scattered) or not self.shuffle
        if anywhere:
            started = self._anywhere(random, backend, x, t, count, share)
        else:
            started = self._windows(random, backend, count, share)
        if backend.uploads_ahead:
            started = one_ahead(started)
        elif any(isinstance(source, FileSource) for source in (x, t)):
            started = in_background(map(_brought, started), 1 if anywhere else SLICES)

        def finish(batch: _Started) -> tuple[Array, Array]:
            x = batch[0]()
            if keys:
                examples = batch[2]()
                for change, key in zip(self.augment, keys, strict=True):
                    x = change(x, examples, key)
            return x, batch[1]()

        yield from map(finish, started)

    def _sources(self, backend: Backend) -> tuple[Source, Source]:
        """Where the examples come from in a pass on this backend."""
        if self.resident is False:
            return self._x, self._t
        if backend not in self._placed:
            self._placed[backend] = resident_sources(self._x, self._t, backend, self.resident)
        return self._placed[backend]

    def _anywhere(
        self, random: np.random.Generator, backend: Backend, x: Source, t: Source, first: int, share: Share
    ) -> Iterator["_Started"]:
        """Batches of rows from all over the data."""
        order = Order(random.permutation(self.examples) if self.shuffle else None)
        start_x, start_t = x.begin(order, backend), t.begin(order, backend)
        for batch in range(first, len(self)):
            start, own = batch * self.size, share.of(self.size_of(batch))
            piece = slice(start + own.start, start + own.stop)
            examples = self._examples(piece, order, backend, x) if self.augment else _nothing
            yield start_x(piece), start_t(piece), examples

    def _examples(self, piece: slice, order: Order, backend: Backend, x: Source) -> Pending:
        """Which examples they are, for augmentations; from beside the inputs, if those are on the device."""
        if isinstance(x, DeviceSource):
            return lambda: backend.asarray(x.examples(piece, order))
        rows = order.rows(piece)
        return backend.upload(np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows)

    def _windows(self, random: np.random.Generator, backend: Backend, first: int, share: Share) -> Iterator["_Started"]:
        """Batches from windows of slices, of which those are read where something wanted lies."""
        held, made = Held(self._x, self._t), 0
        for window in windows(self.examples, self.size, random):
            wanted = [
                batch[share.of(len(batch))] for batch in window.batches[: len(self) - made][max(first - made, 0) :]
            ]
            made += len(window.batches)
            if wanted:
                held.read(window.slices, np.concatenate(wanted))
            for rows in wanted:
                yield self._picked(backend, held, rows)
            held.keep(window.left)

    def _picked(self, backend: Backend, held: Held, rows: Numbers) -> "_Started":
        x, t, places = held.find(rows)
        examples = backend.upload(rows) if self.augment else _nothing
        return backend.upload(x, places), backend.upload(t, places), examples


_Started = tuple[Pending, Pending, Pending]
"""Inputs, targets and the numbers of the examples of one batch, which may be on their way."""


def _nothing() -> Array:
    return None


def _brought(batch: _Started) -> _Started:
    """The same, already there: it no longer holds what it is a part of."""
    x, t, examples = (part() for part in batch)
    return lambda: x, lambda: t, lambda: examples


def one_ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items, each made before the one ahead of it is given away; an error comes in its item's place.

    Examples
    --------
    >>> def loud():
    ...     for i in range(3):
    ...         print("made", i)
    ...         yield i
    >>> for i in one_ahead(loud()):
    ...     print("used", i)
    made 0
    made 1
    used 0
    made 2
    used 1
    used 2
    """
    made: deque[_Item] = deque()
    end: Exception | None = None
    while True:
        while end is None and len(made) < 2:
            try:
                made.append(next(items))
            except Exception as error:
                end = error
        if not made:
            if end is None or isinstance(end, StopIteration):
                return
            raise end
        yield made.popleft()


def batches(
    x: Any,
    t: Any,
    size: int,
    seed: int = 0,
    *,
    shuffle: bool = True,
    drop_last: bool = False,
    augment: Sequence[Augmentation] = (),
    resident: bool | None = None,
) -> Batches:
    """Splits inputs and targets into batches on the current backend.

    Each `for` loop over the result is one pass over the data, in an order that follows from `seed` and the number of
    the pass. A GPU keeps data that fit: they are brought there once, in the first pass, and batches are taken from them
    there. Other data are brought there batch by batch; with CuPy the next batch is on its way while the GPU computes.
    On a CPU a thread reads files ahead: one batch, or 32 of what can only be sliced. Values and order are the same.

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
    resident : whether a GPU keeps the data: True, False, or None for arrays in memory that take up to a quarter of what
        the GPU has free. What is changed in the arrays after the first pass is then not seen. It lasts as long as the
        result of this call. Without a GPU it means nothing, as arrays in memory are where they are needed.

    Returns
    -------
    A `Batches`: it has a length, and `for x, t in it` goes through one pass.

    Raises
    ------
    ValueError : lengths differ, there is no batch, inputs or targets are not finite, or labels are negative.
    TypeError : inputs that are not floating-point, or values of any other kind; `augment` that is no list of callables.
    MemoryError : in the first pass, where data that are to be resident are larger than what the GPU has free.

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
    return Batches(x, t, size, seed, shuffle=shuffle, drop_last=drop_last, augment=augment, resident=resident)
