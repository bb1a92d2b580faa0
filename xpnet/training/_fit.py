from collections.abc import Iterable, Mapping, Sequence
from os import PathLike

from xpnet._names import described
from xpnet._typing import Array
from xpnet.backend import checked_seed, use_backend
from xpnet.data import Batches
from xpnet.distributed import Communicator, ending_together
from xpnet.files import path_of
from xpnet.layers import Layer, check_count
from xpnet.optimizers import Optimizer, check_optimizer, seed_masks
from xpnet.penalties import Penalty
from xpnet.training._callbacks import CallbackLike, Run, as_callback
from xpnet.training._evaluate import Loss, Metric, Pairs, as_batches, check_metrics, evaluate
from xpnet.training._history import History
from xpnet.training._ledger import Ledger
from xpnet.training._loop import Loop
from xpnet.training._precision import check_precision, gradients
from xpnet.training._progress import Progress
from xpnet.training._ranks import Ranks, as_communicator
from xpnet.training._step import Step, update
from xpnet.training._unseen import Unseen
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
    cost = update(optimizer, value, penalty)
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
    resume: str | PathLike[str] | None = None,
    accumulate: int = 1,
    communicator: Communicator | str | None = None,
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
    resume : the folder of a `training.Checkpoint`: the run goes on from the newest one that is whole, bit for bit as if
        it had never ended. All other arguments are to be as they were; only `epochs` may be larger. Where the folder
        has none yet and a `Checkpoint` among `callbacks` writes there, the run begins: so the same script starts a run
        and takes it up again. Parameters that the model has before are forgotten. A run that was stopped early, as by
        `EarlyStopping`, stays so.
    accumulate : batches whose gradients make one step, each example counting alike; the last step of an epoch has what
        is left. Batch normalization still sees one batch at a time. Such steps are not recorded.
    communicator : of the processes that share the run, as from `xpnet.distributed.communicator()`, or its kind, such as
        `"auto"`. Each works on its part of each batch; gradients are averaged over all examples by one all-reduce a
        step. Parameters begin as rank 0's and stay the same on all. Only rank 0 shows a bar, warns and writes.

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
    CheckpointError : `resume` names checkpoints of another run, or damaged ones alone; nothing is changed then.
    FileNotFoundError : `resume` names a folder without checkpoints, into which no callback writes.
    Interrupted : SIGINT or SIGTERM came, in a run with a `Checkpoint`; all is saved. Uncaught, it ends the program.
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
    accumulate = check_count("fit", "accumulate", accumulate)
    if isinstance(batches, tuple):
        raise TypeError("fit: batches must be batches, got a tuple; xpnet.data.batches(x, t, size=32) makes them")
    if not callable(loss):
        raise TypeError(f"fit: loss must be a function such as xpnet.losses.squared_error, got {loss!r}")
    check_optimizer("fit", optimizer, model)
    if capture not in CAPTURE:
        raise ValueError(f"fit: capture must be one of {', '.join(map(repr, CAPTURE))}, got {capture!r}")
    metrics = metrics or {}
    check_metrics("fit", metrics)
    if validation is not None:
        validation = as_batches("fit: validation", validation, 256)
    if not isinstance(watch, bool):
        raise TypeError(f"fit: watch must be True or False, got {watch!r}; a Watch(…) belongs into callbacks")
    check_precision("fit", precision, model, optimizer)
    listeners = [as_callback(callback) for callback in callbacks] + ([Watch()] if watch else [])
    source = None if resume is None else path_of("fit: resume", resume)
    seed_masks(model, checked_seed(seed))
    optimizer.raise_if_not_finite()  # a step of an earlier run that no one has looked at
    backend = model.backend
    ranks = Ranks(as_communicator("fit", communicator, model))
    run = Run(model, optimizer, epochs, loss=loss, rank=ranks.share.rank, ranks=ranks.share.size)
    names = ("loss", *metrics, *(() if penalty is None else ("penalty",)))
    ledger = Ledger(backend, optimizer.store.data, names, log_every)
    settings = {"seed": int(seed), "precision": precision, "quantities": list(names), "dtype": backend.dtype}
    settings |= {"loss": described(loss), "penalty": described(penalty)}
    settings |= {"accumulate": accumulate, "optimizer": type(optimizer).__name__} | optimizer.settings()
    place = Progress(run, batches, validation, ledger, listeners, settings)
    step = Step(
        *(model, optimizer, ledger, ranks),
        loss=loss,
        metrics=metrics,
        penalty=penalty,
        precision=precision,
        capture=capture,
        accumulate=accumulate,
    )

    def evaluated(pairs: Pairs) -> dict[str, float]:
        return evaluate(model, pairs, loss=loss, metrics=metrics, communicator=ranks.communicator)

    hidden = (None if progress is None else not progress) if ranks.first else True
    loop = Loop(place, step, evaluated, Unseen(model, loss, precision, ranks), log_every, ranks, hidden)
    with ending_together(ranks.communicator), use_backend(backend), backend.quiet(), loop.saving(source):
        facts = {"epochs": epochs, "log_every": log_every, "resume": resume is not None}
        try:
            ranks.begin(model, optimizer, {**place.facts(), **facts, "validated": validation is not None})
            if isinstance(batches, Batches):
                ranks.check_batches(model, batches.size_of(0), batches.size_of(len(batches) - 1))
            if source is not None:
                loop.resume(source)
            check_precision("fit", precision, model, optimizer)
            loop.go()
        finally:
            optimizer.store.part.alone()
    return run.history
