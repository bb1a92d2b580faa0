"""What the processes that share a run, its ranks, do together. One alone does nothing of it."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, final

import numpy as np

from xpnet._names import described
from xpnet._typing import Array
from xpnet.backend import Backend, HostArray
from xpnet.data import Share
from xpnet.distributed import Communicator, Single, agree, communicator, model_facts, raised_alike, version_facts
from xpnet.layers import BatchNorm, Layer
from xpnet.optimizers import Optimizer
from xpnet.training._checkpoint_folder import CheckpointError, Saved

_ERRORS: dict[str, type[Exception]] = {kind.__name__: kind for kind in (CheckpointError, FileNotFoundError)}


def as_communicator(function: str, value: Communicator | str | None, model: Layer) -> Communicator:
    """A communicator as it is, or the one of that kind; None is one process alone.

    Raises
    ------
    TypeError : anything else.
    """
    if value is None:
        return Single()
    if isinstance(value, str):
        return _made(value, model.backend)
    if not all(hasattr(value, name) for name in ("rank", "size", "all_reduce", "broadcast_object")):
        raise TypeError(f"{function}: communicator must be one of xpnet.distributed.communicator's, got {value!r}")
    return value


@cache
def _made(kind: str, backend: Backend) -> Communicator:
    """One for all runs: an MPI has a limited number of them."""
    return communicator(kind, backend=backend)


@final
class Ranks:
    """The ranks of a run, as seen by one of them.

    Attributes
    ----------
    communicator : by which they talk.
    alone : whether there is only one.
    first : whether this is rank 0, which alone writes and prints.
    share : which part of each batch is this one's.
    """

    def __init__(self, communicator: Communicator) -> None:
        self.communicator = communicator
        self.alone, self.first = communicator.size == 1, communicator.rank == 0
        self.share = Share(communicator.rank, communicator.size)

    def add(self, array: Array) -> None:
        """Sums an array over all, in place."""
        self.communicator.all_reduce(array)

    def begin(self, model: Layer, optimizer: Optimizer, facts: Mapping[str, Any]) -> None:
        """All have the same model, data, settings and versions; and from now on the values of rank 0.

        Raises
        ------
        DisagreementError : they have not.
        """
        if self.alone:
            return
        own = {"model": model_facts(model), "layers": _leaves(model), "versions": version_facts(model)}
        agree(self.communicator, own | dict(facts))
        ours = {id(parameter) for parameter in optimizer.store.parameters.values()}
        rest = [tensor.data for tensor in model.tensors().values() if id(tensor) not in ours]
        optimizer.learning_rate, optimizer.steps = self._of_first(optimizer)
        for array in (optimizer.store.data, *rest, *optimizer.arrays().values()):
            self.communicator.broadcast(array)

    def _of_first(self, optimizer: Optimizer) -> tuple[Any, int]:
        rate = optimizer.learning_rate
        number, steps = self.communicator.broadcast_object([None if callable(rate) else rate, optimizer.steps])
        return rate if number is None else number, steps

    def check_size(self, model: Layer, size: int) -> None:
        """A batch of so many examples can be shared.

        Raises
        ------
        ValueError : on all ranks: it has fewer examples than there are ranks, all of which need one.
        """
        if self.alone or size >= self.communicator.size:
            return
        if any(isinstance(layer, BatchNorm) and layer.synchronized for layer in model.layers().values()):
            raise raised_alike(
                ValueError(
                    f"fit: a synchronized BatchNorm needs an example on each of {self.communicator.size} ranks, and a "
                    f"batch has {size}; batches(..., drop_last=True) leaves a smaller one out"
                )
            )

    def check_batches(self, model: Layer, first: int, last: int) -> None:
        """Batches, of which the first and the last have so many examples, can be shared.

        Raises
        ------
        ValueError : on all ranks: some would never have an example, or see `check_size`.
        """
        if first < self.communicator.size:
            raise raised_alike(
                ValueError(
                    f"fit: {self.communicator.size} ranks cannot share batches of {first}; take larger ones, or fewer "
                    "ranks"
                )
            )
        self.check_size(model, last)

    def largest(self, numbers: Iterable[int]) -> list[int]:
        """The largest of each number over all ranks."""
        found = np.asarray(list(numbers), np.int64)
        if not self.alone:
            self.communicator.all_reduce(found, "max")
        return [int(number) for number in found]

    def average(self, arrays: Iterable[Array]) -> None:
        """Each array becomes its mean over all ranks, as running statistics of parts have to."""
        if not self.alone:
            for array in arrays:
                self.communicator.all_reduce(array, "mean")

    def same_end(self, stopped: str | None) -> str | None:
        """Why rank 0 ends the run, if it does."""
        reason: str | None = self.communicator.broadcast_object(stopped)
        return reason

    def first_of(self, found: Any) -> Any:
        """What the lowest rank has found that has found anything."""
        return next((each for each in self.communicator.all_gather_object(found) if each is not None), None)

    def read(self, load: Callable[[], tuple[Path, Saved] | None]) -> tuple[Path, Saved] | None:
        """What rank 0 reads, on all of them.

        Raises
        ------
        CheckpointError, FileNotFoundError : what it raised, on all of them.
        """
        if self.alone:
            return load()
        found, told = None, None
        if self.first:
            try:
                found = load()
            except (CheckpointError, FileNotFoundError) as error:
                told = [type(error).__name__, str(error)]
        told = self.communicator.broadcast_object(told)
        if told is not None:
            raise raised_alike(_ERRORS[told[0]](told[1]))
        return self._sent(found)

    def _sent(self, found: tuple[Path, Saved] | None) -> tuple[Path, Saved] | None:
        sent: Any = None
        if found is not None:
            kinds = {name: [str(array.dtype), list(array.shape)] for name, array in found[1].arrays.items()}
            sent = [str(found[0]), found[1].values, kinds]
        sent = self.communicator.broadcast_object(sent)
        if sent is None:
            return None
        path, values, kinds = sent
        arrays: dict[str, HostArray] = {}
        for name, (dtype, shape) in kinds.items():
            arrays[name] = np.empty(shape, dtype) if found is None else np.asarray(found[1].arrays[name], order="C")
            self.communicator.broadcast(arrays[name])
        return Path(path), Saved(values, arrays)


def _leaves(model: Layer) -> dict[str, str]:
    """The layers that hold no others by their paths, as they describe themselves, without where they lie in memory."""
    layers = {"": model} | model.layers()
    return {path: described(each) for path, each in layers.items() if not each.layers()}
