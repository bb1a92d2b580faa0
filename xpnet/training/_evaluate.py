from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count, islice
from typing import Any, TypeAlias

import numpy as np

from xpnet._typing import Array, Pullback
from xpnet.backend import HostArray, get_backend, use_backend
from xpnet.data import Batches, Share, batches
from xpnet.distributed import Communicator, agree, raised_alike
from xpnet.layers import Layer
from xpnet.training._memory import MemoryWatch
from xpnet.training._ranks import as_communicator

Loss: TypeAlias = Callable[[Array, Array], tuple[Array, Pullback]]
Metric: TypeAlias = Callable[[Array, Array], Array]
Pairs: TypeAlias = Iterable[tuple[Array, Array]] | tuple[Any, Any]

NO_BATCH = "expected at least one batch, got none (a generator can be gone through only once: make it a list)"


def evaluate(
    model: Layer,
    data: Pairs,
    *,
    loss: Loss,
    metrics: Mapping[str, Metric] | None = None,
    batch_size: int = 256,
    communicator: Communicator | str | None = None,
) -> dict[str, float]:
    """The loss and metrics of a model in inference mode.

    Parameters
    ----------
    model : computes outputs (n, ...).
    data : batches, or `(x, t)`.
    loss : as for `fit`; averaged over examples.
    metrics : by name, functions of all outputs and all targets.
    batch_size : examples at a time, for `(x, t)`.
    communicator : of the ranks that share the work, all of which have the same data and get the result; as for `fit`.

    Returns
    -------
    `"loss"` and each metric.

    Raises
    ------
    ValueError : no examples, or what `batches`, the model and the loss raise.
    OutOfMemoryError : a batch needs more memory than there is; the message says which size should fit.

    Examples
    --------
    >>> import numpy as np
    >>> import xpnet
    >>> model = xpnet.models.mlp([2, 1])
    >>> x, t = np.zeros((3, 2)), np.zeros((3, 1))
    >>> xpnet.evaluate(model, (x, t), loss=xpnet.losses.squared_error)
    {'loss': 0.0}
    """
    check_metrics("evaluate", metrics or {})
    ranks = as_communicator("evaluate", communicator, model)
    if isinstance(data, tuple) and ranks.size > 1:
        agree(ranks, {"examples": [len(part) for part in data]})
    share = Share(ranks.rank, ranks.size)
    outputs, targets, losses, sizes = [], [], [], []
    watch = MemoryWatch(model)
    with use_backend(watch.backend):
        for x, t, whole in shared(as_batches("evaluate: data", data, batch_size, resident=False), ranks):
            sizes.append(whole)
            if not x.shape[0]:
                y = watch.backend.zeros(model.output_shape((1, *x.shape[1:])))[:0, ...]
            else:
                with watch.step(x, training=False):
                    y = model(x)
                    losses.append((loss(y, t)[0], y.shape[0]))
            if metrics:
                outputs.append(y)
                targets.append(t)
        if not sizes:
            raise ValueError(f"evaluate: {NO_BATCH}")
        sums = np.asarray([sum(float(value) * n for value, n in losses), sum(sizes)])
        ranks.all_reduce(sums[:1])
        found = {"loss": float(sums[0] / sums[1])}
        if metrics:
            y, t = (_together(parts, sizes, share, ranks) for parts in (outputs, targets))
            found |= {name: float(metric(y, t)) for name, metric in metrics.items()}
    return found if ranks.size == 1 else dict(ranks.broadcast_object(found))  # whatever machines they are on


def _together(parts: list[Array], sizes: list[int], share: Share, ranks: Communicator) -> Array:
    """The rows of all batches, of which this rank has its share: zeros elsewhere, and then the sum over all ranks."""
    xp, first = get_backend().xp, parts[0]
    if share.size == 1:
        return xp.concat(parts, axis=0)
    kind = first.dtype if xp.isdtype(first.dtype, "real floating") else xp.int64  # as labels may be of any
    rows = xp.zeros((sum(sizes), *first.shape[1:]), dtype=kind, device=get_backend().device_of(first))
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        own = share.of(size)
        rows[start + own.start : start + own.stop, ...] = xp.astype(part, kind)
        start += size
    ranks.all_reduce(rows)
    return xp.astype(rows, first.dtype)


def shared(
    batches: Iterable[tuple[Array, Array]], ranks: Communicator, after: int = 0
) -> Iterator[tuple[Array, Array, int]]:
    """This rank's share of each batch, and how many examples the whole batch has, without the first `after` batches.

    Raises
    ------
    ValueError : on all ranks, where they do not have the same number of batches, each of the same size.
    """
    share = Share(ranks.rank, ranks.size)
    if isinstance(batches, Batches):  # which ranks compare before the run
        for number, (x, t) in enumerate(batches.after(after, share), after):
            yield x, t, batches.size_of(number)
    elif share.size == 1:
        yield from ((x, t, x.shape[0]) for x, t in islice(batches, after, None))
    else:
        pairs = islice(batches, after, None)
        for number in count(after + 1):
            pair = next(pairs, None)
            whole = _same_on_all(ranks, number, None if pair is None else pair[0].shape[0])
            if pair is None:
                return
            own = share.of(whole)
            yield pair[0][own, ...], pair[1][own, ...], whole


def _same_on_all(ranks: Communicator, number: int, size: int | None) -> int:
    """How many examples all ranks have in their batch of that number, or -1 for no batch."""
    ours = -1 if size is None else size
    found = np.asarray([ours, -ours])
    ranks.all_reduce(found, "max")
    most, least = int(found[0]), -int(found[1])
    problem = ""
    if least < 0 <= most:
        problem = f"some have {number - 1}, others more"
    elif least != most:
        problem = f"batch {number} has {least} examples on one, {most} on another"
    if problem:
        raise raised_alike(ValueError(f"batches: all ranks need the same; {problem}"))
    return most


def predict(model: Layer, x: Any, *, batch_size: int = 256) -> HostArray:
    """A model's raw outputs in inference mode, on the host.

    Parameters
    ----------
    model : computes outputs (n, ...).
    x : (n, ...) inputs, of any kind that `batches` takes.
    batch_size : examples at a time.

    Returns
    -------
    y : (n, ...), a NumPy array.

    Raises
    ------
    ValueError, TypeError : what `batches` and the model raise.

    Examples
    --------
    >>> import numpy as np
    >>> import xpnet
    >>> xpnet.predict(xpnet.models.mlp([2, 3]), np.zeros((5, 2))).shape
    (5, 3)
    """
    watch = MemoryWatch(model)

    def outputs(x: Array) -> HostArray:
        with watch.step(x, training=False):
            return watch.backend.to_host(model(x))

    with use_backend(watch.backend):
        numbers = np.arange(x.shape[0] if getattr(x, "shape", ()) else len(x))  # the standard's arrays have no len()
        parts = batches(x, numbers, batch_size, shuffle=False, resident=False)
        return np.concatenate([outputs(part) for part, _ in parts])


def as_batches(
    argument: str, data: Pairs, batch_size: int, *, resident: bool | None = None
) -> Iterable[tuple[Array, Array]]:
    """Batches as they are, or `(x, t)` in batches, in order. One pass alone is not worth keeping data on a GPU."""
    if isinstance(data, tuple):
        if len(data) != 2:
            raise ValueError(f"{argument}: expected batches or a pair (x, t), got a tuple of {len(data)}")
        x, t = data
        return batches(x, t, batch_size, shuffle=False, resident=resident)
    return data


def check_metrics(function: str, metrics: Mapping[str, Metric]) -> None:
    """No metric has the name of something else in the history's rows.

    Raises
    ------
    ValueError : one has.
    TypeError : metrics are not given by name.
    """
    if not isinstance(metrics, Mapping):
        raise TypeError(f"{function}: metrics must be given by name, as {{'accuracy': accuracy}}, got {metrics!r}")
    for name in metrics:
        if name in ("epoch", "loss", "penalty", "learning_rate", "seconds"):
            raise ValueError(f"{function}: a metric cannot be called {name!r}, which the history has already")
