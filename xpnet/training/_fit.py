import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any, final

from tqdm.auto import tqdm

from xpnet._typing import Array, Shape
from xpnet.backend import Captured, checked_seed, readable, use_backend
from xpnet.layers import Layer, check_count
from xpnet.optimizers import NonFiniteError, Optimizer, seed_masks
from xpnet.penalties import Penalty
from xpnet.training._blame import explained
from xpnet.training._callbacks import Callback, CallbackLike, Run, as_callback
from xpnet.training._evaluate import (
    NO_BATCH,
    Loss,
    Metric,
    Pairs,
    as_batches,
    check_metrics,
    evaluate,
)
from xpnet.training._history import History
from xpnet.training._ledger import Ledger
from xpnet.training._memory import DeviceLostError, MemoryWatch, OutOfMemoryError, lost
from xpnet.training._precision import check_precision, gradients
from xpnet.training._watch import Watch

CAPTURE = ("auto", "off")


def train_step(
    model: Layer,
    x: Array,
    t: Array,
    *,
    loss: Loss,
    optimizer: Optimizer,
    penalty: Penalty | None = None,
    precision: str = "float32",
) -> tuple[Array, Array, Array | None]:
    """One step on one batch: forward, loss, backward, penalty, update. Nothing in it waits for a device.

    `precision` is that of `fit`.

    Returns
    -------
    The loss, the outputs, of a model with auxiliary heads the main ones, and the penalty's value or None.

    Raises
    ------
    NonFiniteError : see `Optimizer.step`.
    """
    value, y = gradients(model, x, t, loss=loss, optimizer=optimizer, precision=precision)
    cost = None
    if penalty is not None:
        store = optimizer.store
        store.clear_unreached()
        cost, dcost = penalty(store.weights())
        gradient = store.weight_gradients()
        gradient += dcost()
    optimizer.step(value)
    return value, y[0] if isinstance(y, tuple) else y, cost


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
    capture: str = "auto",
    progress: bool | None = None,
    precision: str = "float32",
    watch: bool = False,
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
    capture : `"auto"` records a step where the device can do that, and starts it as a whole from then on (see
        `xpnet.capture`), the last, smaller batch of an epoch apart; `"off"` never does.
    progress : whether to show a progress bar; None shows it on a terminal.
    precision : `"float32"`, or `"float16"` for mixed precision: the passes run in float16 on copies of the parameters,
        which themselves stay float32, as do the loss, reductions, normalization's parameters and evaluation. The loss
        is scaled so that small gradients do not vanish; a step whose gradients overflow is skipped.
    watch : whether to look at every fiftieth step for reasons why the model does not learn, with a `WatchWarning` once
        for each; see `training.Watch`.

    Returns
    -------
    A `History`, with a row for each epoch.

    Raises
    ------
    NonFiniteError : the loss or a gradient is not finite. The message tells the step, the first layer where, and the
        direction; parameters are as they were before that step, and so are running statistics (where looking waits for
        a GPU: as they were at the last look).
    OutOfMemoryError : a step needs more memory than there is; the message tells which batch should fit.
    DeviceLostError : the device is gone, and all that was on it.
    ValueError, TypeError : an argument out of its range or of another kind, an optimizer of another model, no batches.

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
    epochs, log_every = check_count("fit", "epochs", epochs), check_count("fit", "log_every", log_every)
    if isinstance(batches, tuple):
        raise TypeError("fit: batches must be batches, got a tuple; xpnet.data.batches(x, t, size=32) makes them")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"fit: optimizer must be one built for this model, as Adam(model), got {optimizer!r}")
    if not callable(loss):
        raise TypeError(f"fit: loss must be a function such as xpnet.losses.squared_error, got {loss!r}")
    if optimizer.store is not model._store:
        raise ValueError("fit: the optimizer was built for another model; build it with this one: Optimizer(model, …)")
    if capture not in CAPTURE:
        raise ValueError(f"fit: capture must be one of {', '.join(map(repr, CAPTURE))}, got {capture!r}")
    check_metrics("fit", metrics or {})
    if validation is not None:
        validation = as_batches("fit: validation", validation, 256)
    check_precision("fit", precision, model, optimizer)
    seed_masks(model, checked_seed(seed))
    optimizer.raise_if_not_finite()  # a step of an earlier run that no one has looked at
    backend = model.backend
    if not isinstance(watch, bool):
        raise TypeError(f"fit: watch must be True or False, got {watch!r}; a Watch(…) belongs into callbacks")
    run = Run(model, optimizer, epochs, loss=loss)
    listeners = [as_callback(callback) for callback in callbacks] + ([Watch()] if watch else [])
    names = ("loss", *(metrics or {}), *(() if penalty is None else ("penalty",)))
    ledger = Ledger(backend, optimizer.store.data, names, log_every)

    def step(x: Array, t: Array) -> None:
        value, y, cost = train_step(model, x, t, loss=loss, optimizer=optimizer, penalty=penalty, precision=precision)
        shown = [metric(y, t) for metric in (metrics or {}).values()]
        ledger.note(value, *shown, *(() if cost is None else (cost,)))

    steps, memory = _Steps(step, capture), MemoryWatch(model)
    with use_backend(backend), backend.quiet():
        gone = False
        for listener in listeners:
            listener.on_start(run)
        try:
            while run.epoch < epochs and run.history.stopped is None:
                run.epoch += 1
                started = time.perf_counter()
                hidden = None if progress is None else not progress
                total = len(batches) if isinstance(batches, Sized) else None
                with tqdm(total=total, desc=f"epoch {run.epoch}/{epochs}", unit="batch", disable=hidden) as bar:
                    unseen = _Unseen(model, loss, precision)
                    row = _epoch(run, batches, steps, ledger, memory, unseen, log_every, listeners, bar)
                    if validation is not None:
                        found = evaluate(model, validation, loss=loss, metrics=metrics)
                        row |= {f"val_{name}": value for name, value in found.items()}
                    bar.set_postfix({name: f"{value:.4g}" for name, value in row.items()})
                rest = {"learning_rate": optimizer.last_rate, "seconds": time.perf_counter() - started}
                run.history.epochs.append({"epoch": run.epoch} | row | rest)
                for listener in listeners:
                    listener.on_epoch(run)
        except Exception as error:
            problem = error
            if backend.is_lost(error) and not isinstance(error, DeviceLostError):
                problem = lost(error)
            if isinstance(problem, (NonFiniteError, OutOfMemoryError, DeviceLostError)):
                problem.history = run.history
            gone = isinstance(problem, DeviceLostError)
            if problem is error:
                raise
            raise problem from error
        finally:
            for listener in listeners:
                with contextlib.suppress(*((Exception,) if gone else ())):  # it may read what is gone
                    listener.on_end(run)
    return run.history


def _epoch(
    run: Run,
    batches: Iterable[tuple[Array, Array]],
    step: "_Steps",
    ledger: Ledger,
    memory: MemoryWatch,
    unseen: "_Unseen",
    log_every: int,
    listeners: Sequence[Callback],
    bar: Any,
) -> dict[str, float]:
    """One pass over the data; what it showed, averaged over examples."""
    model, optimizer = run.model, run.optimizer
    at_once = readable(optimizer.store.data)
    ledger.begin()
    try:
        for x, t in batches:
            unseen.batches[optimizer.steps] = x, t
            try:
                with memory.step(x):
                    step(x, t)
                    ledger.count(x.shape[0])
                    run.step += 1
                    look = run.step % log_every == 0
                    if look:
                        ledger.read()
                        optimizer.raise_if_not_finite()
                    if look or at_once:
                        unseen.clear()
            except NonFiniteError as error:
                raise unseen.explain(error) from None
            run.batch = x, t
            for listener in listeners:
                listener.on_step(run)
            run.batch = None
            if look and not bar.disable:
                bar.set_postfix({name: f"{value:.4g}" for name, value in ledger.last().items()}, refresh=False)
            bar.update()
        if not ledger.sizes:
            raise ValueError(f"fit: {NO_BATCH}")
        try:
            optimizer.raise_if_not_finite()
        except NonFiniteError as error:
            raise unseen.explain(error) from None
    except Exception as error:
        if isinstance(error, DeviceLostError) or model.backend.is_lost(error):
            ledger.give_up()
        raise
    finally:  # what a run has shown outlives its end
        ledger.read()
        run.history.steps["loss"] += ledger.losses()
    return ledger.means()


@final
class _Steps:
    """A step that is recorded where that is possible, for batches of the shape of the first."""

    def __init__(self, step: Callable[[Array, Array], None], capture: str) -> None:
        self.step = step
        self.captured = Captured(step) if capture == "auto" else None
        self.shapes: tuple[Shape, Shape] | None = None

    def __call__(self, x: Array, t: Array) -> None:
        shapes = x.shape, t.shape
        self.shapes = self.shapes or shapes
        if self.captured is None or shapes != self.shapes:
            self.step(x, t)
        else:
            self.captured(x, t)


@final
class _Unseen:
    """The steps that no one has looked at: their batches by the step's number, and the buffers from before them."""

    def __init__(self, model: Layer, loss: Loss, precision: str) -> None:
        self.model, self.loss, self.precision, self.copy = model, loss, precision, model.backend.copy
        self.batches: dict[int, tuple[Array, Array]] = {}
        self.buffers = list(model.buffers().values())
        self.clear()

    def clear(self) -> None:
        self.batches.clear()
        self.before = [self.copy(buffer.data) for buffer in self.buffers]

    def explain(self, error: NonFiniteError) -> NonFiniteError:
        """Puts the buffers back, and names the layer and the direction."""
        for buffer, before in zip(self.buffers, self.before, strict=True):
            buffer.data[...] = before
        return explained(error, self.model, *self.batches[error.step], self.loss, self.precision)
