from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from xpnet._typing import Array, Pullback
from xpnet.backend import HostArray, get_backend, use_backend
from xpnet.data import batches
from xpnet.layers import Layer
from xpnet.training._memory import MemoryWatch

Loss: TypeAlias = Callable[[Array, Array], tuple[Array, Pullback]]
Metric: TypeAlias = Callable[[Array, Array], Array]
Pairs: TypeAlias = Iterable[tuple[Array, Array]] | tuple[Any, Any]

NO_BATCH = "expected at least one batch, got none (a generator can be gone through only once: make it a list)"


def evaluate(
    model: Layer, data: Pairs, *, loss: Loss, metrics: Mapping[str, Metric] | None = None, batch_size: int = 256
) -> dict[str, float]:
    """The loss and metrics of a model in inference mode.

    Parameters
    ----------
    model : computes outputs (n, ...).
    data : batches, or `(x, t)`.
    loss : as for `fit`; averaged over examples.
    metrics : by name, functions of all outputs and all targets.
    batch_size : examples at a time, for `(x, t)`.

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
    outputs, targets, losses = [], [], []
    watch = MemoryWatch(model)
    with use_backend(watch.backend):
        for x, t in as_batches("evaluate: data", data, batch_size, resident=False):
            with watch.step(x, training=False):
                y = model(x)
                losses.append((loss(y, t)[0], y.shape[0]))
            if metrics:
                outputs.append(y)
                targets.append(t)
        if not losses:
            raise ValueError(f"evaluate: {NO_BATCH}")
        found = {"loss": mean_over_examples(losses)}
        if metrics:
            xp = get_backend().xp
            y, t = (xp.concat(parts, axis=0) for parts in (outputs, targets))
            found |= {name: float(metric(y, t)) for name, metric in metrics.items()}
    return found


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


def mean_over_examples(values: list[tuple[Array, int]]) -> float:
    """The mean of batch means, each counted by its number of examples."""
    return sum(float(value) * n for value, n in values) / sum(n for _, n in values)
