import time
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

from tqdm.auto import tqdm

from xpnet._typing import Array
from xpnet.backend import checked_seed, readable, use_backend
from xpnet.layers import Layer
from xpnet.optimizers import NonFiniteError, Optimizer, seed_masks
from xpnet.penalties import Penalty
from xpnet.training._blame import explained
from xpnet.training._callbacks import Callback, CallbackLike, Run, as_callback
from xpnet.training._evaluate import Loss, Metric, Pairs, evaluate, mean_over_examples
from xpnet.training._history import History


def train_step(
    model: Layer, x: Array, t: Array, *, loss: Loss, optimizer: Optimizer, penalty: Penalty | None = None
) -> tuple[Array, Array, Array | None]:
    """One step on one batch: forward, loss, backward, penalty, update. Nothing in it waits for a device.

    Returns
    -------
    The loss, the outputs, and the penalty's value or None.

    Raises
    ------
    NonFiniteError : see `Optimizer.step`.
    """
    y, pullback = model.forward(x)
    value, dloss = loss(y, t)
    pullback(dloss())
    cost = None
    if penalty is not None:
        store = optimizer.store
        store.clear_unreached()
        cost, dcost = penalty(store.weights())
        gradient = store.weight_gradients()
        gradient += dcost()
    optimizer.step(value)
    return value, y, cost


def fit(
    model: Layer,
    batches: Iterable[tuple[Array, Array]],
    *,
    loss: Loss,
    optimizer: Optimizer,
    epochs: int,
    validation: Pairs | None = None,
    penalty: Penalty | None = None,
    metrics: Mapping[str, Metric] | None = None,
    callbacks: Sequence[CallbackLike] = (),
    seed: int = 0,
    log_every: int = 10,
    progress: bool | None = None,
) -> History:
    """Trains a model.

    Parameters
    ----------
    model : the model, changed in place.
    batches : what `xpnet.data.batches` returns, or anything that gives pairs (x, t) of arrays each time it is
        iterated over; one time is an epoch.
    loss : such as `xpnet.losses.softmax_cross_entropy`.
    optimizer : built for this model.
    epochs : passes over the data, >= 1.
    validation : batches, or (x, t): evaluated after each epoch, in inference mode.
    penalty : such as `xpnet.penalties.L2(1e-4)`; not part of the losses in the history.
    metrics : by name, functions of outputs and targets, such as `{"accuracy": xpnet.training.accuracy}`. In training
        they are averaged over the batches of an epoch, as the parameters change; in validation taken over all of it.
    callbacks : `Callback` objects, or functions called with the `Run` after each epoch.
    seed : decides the dropout masks. (Initial weights follow `xpnet.seed`, the order of examples `batches`' seed.)
    log_every : steps between two looks at the loss where looking waits for a GPU, and between updates of the bar.
    progress : whether to show a progress bar; None shows it on a terminal.

    Returns
    -------
    A `History`, with a row for each epoch.

    Raises
    ------
    NonFiniteError : the loss or a gradient is not finite. The message tells the step, the first layer where, and the
        direction; parameters are as they were before that step.
    ValueError : an argument out of its range, an optimizer of another model, or no batches.

    Examples
    --------
    >>> import xpnet
    >>> (x, t), test = xpnet.data.sine()
    >>> model = xpnet.models.mlp([1, 16, 1], activation="tanh")
    >>> history = xpnet.fit(model, xpnet.data.batches(x, t, 10), loss=xpnet.losses.squared_error,
    ...                     optimizer=xpnet.optimizers.Adam(model, 0.01), epochs=20, validation=test)
    >>> history["val_loss"][-1] < history["val_loss"][0]
    True
    """
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"fit: epochs must be a positive integer, got {epochs!r}")
    if isinstance(log_every, bool) or not isinstance(log_every, int) or log_every < 1:
        raise ValueError(f"fit: log_every must be a positive integer, got {log_every!r}")
    if optimizer.store is not model._store:
        raise ValueError("fit: the optimizer was built for another model; build it with this one: Optimizer(model, …)")
    seed_masks(model, checked_seed(seed))
    backend = model.backend
    run = Run(model, optimizer, epochs)
    listeners = [as_callback(callback) for callback in callbacks]
    with use_backend(backend), backend.quiet():
        for listener in listeners:
            listener.on_start(run)
        try:
            while run.epoch < epochs and run.history.stopped is None:
                run.epoch += 1
                started = time.perf_counter()
                hidden = None if progress is None else not progress
                total = len(batches) if isinstance(batches, Sized) else None
                with tqdm(total=total, desc=f"epoch {run.epoch}/{epochs}", unit="batch", disable=hidden) as bar:
                    row = _epoch(run, batches, loss, penalty, metrics or {}, log_every, listeners, bar)
                    if validation is not None:
                        found = evaluate(model, validation, loss=loss, metrics=metrics)
                        row |= {f"val_{name}": value for name, value in found.items()}
                    bar.set_postfix({name: f"{value:.4g}" for name, value in row.items()})
                rest = {"learning_rate": optimizer.current_rate, "seconds": time.perf_counter() - started}
                run.history.epochs.append({"epoch": run.epoch} | row | rest)
                for listener in listeners:
                    listener.on_epoch(run)
        finally:
            for listener in listeners:
                listener.on_end(run)
    return run.history


def _epoch(
    run: Run,
    batches: Iterable[tuple[Array, Array]],
    loss: Loss,
    penalty: Penalty | None,
    metrics: Mapping[str, Metric],
    log_every: int,
    listeners: Sequence[Callback],
    bar: Any,
) -> dict[str, float]:
    """One pass over the data; what it showed, averaged over examples."""
    model, optimizer = run.model, run.optimizer
    seen: dict[str, list[tuple[Array, int]]] = {name: [] for name in ("loss", *metrics)}
    costs: list[tuple[Array, int]] = []
    unseen: dict[int, tuple[Array, Array]] = {}  # batches whose steps no one has looked at, by the step's number
    for x, t in batches:
        unseen[optimizer.steps] = x, t
        try:
            value, y, cost = train_step(model, x, t, loss=loss, optimizer=optimizer, penalty=penalty)
            run.step += 1
            look = run.step % log_every == 0
            if readable(value):
                unseen.clear()
            elif look:
                optimizer.raise_if_not_finite()
                unseen.clear()
        except NonFiniteError as error:
            raise explained(error, model, *unseen[error.step], loss) from None
        n = y.shape[0]
        seen["loss"].append((value, n))
        for name, metric in metrics.items():
            seen[name].append((metric(y, t), n))
        if cost is not None:
            costs.append((cost, n))
        for listener in listeners:
            listener.on_step(run)
        if look and not bar.disable:
            bar.set_postfix({name: f"{float(values[-1][0]):.4g}" for name, values in seen.items()}, refresh=False)
        bar.update()
    if not seen["loss"]:
        raise ValueError("fit: expected at least one batch, got none")
    try:
        optimizer.raise_if_not_finite()
    except NonFiniteError as error:
        raise explained(error, model, *unseen[error.step], loss) from None
    run.history.steps["loss"] += [float(value) for value, _ in seen["loss"]]
    if costs:
        seen["penalty"] = costs
    return {name: mean_over_examples(values) for name, values in seen.items()}
