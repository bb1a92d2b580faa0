import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, TypeAlias, final

from xpnet._typing import Array
from xpnet.backend import sum_of_squares
from xpnet.layers import Layer
from xpnet.optimizers import Optimizer
from xpnet.training._evaluate import Loss
from xpnet.training._history import History


@dataclass
class Run:
    """A training run, as callbacks see it.

    Attributes
    ----------
    epoch : epochs done, from 1 in the first `on_epoch`.
    step : steps done in this run.
    history : what there is so far.
    loss : the loss function of the run.
    batch : (x, t) of the last step, in `on_step` alone; this rank's share of it.
    rank, ranks : which of the processes that share the run this is, from 0, and how many there are.
    """

    model: Layer
    optimizer: Optimizer
    epochs: int
    epoch: int = 0
    step: int = 0
    history: History = field(default_factory=History)
    loss: Loss | None = None
    batch: tuple[Array, Array] | None = None
    rank: int = 0
    ranks: int = 1

    def stop(self, reason: str) -> None:
        """Ends the run after this epoch; where ranks share it, rank 0 decides."""
        self.history.stopped = reason


class Callback:
    """Does something at fixed points of a run. Override what is needed.

    A plain function in place of a callback is called as `function(run)` after each epoch. Where ranks share a run, all
    of them call all callbacks: what prints or writes asks for `run.rank == 0`.
    """

    def on_start(self, run: Run) -> None:
        """Before the first epoch."""

    def on_step(self, run: Run) -> None:
        """After each step; gradients can still be read."""

    def on_epoch(self, run: Run) -> None:
        """After each epoch, its row being the last of `run.history.epochs`."""

    def on_end(self, run: Run) -> None:
        """After the last epoch, also where the run was stopped early or by an error."""

    def state(self) -> dict[str, Any]:
        """What has to outlive an interruption, for a checkpoint: plain values (as JSON has them), and arrays."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state` returned, after `on_start`, where a run is taken up again; arrays are NumPy's."""


@final
class _Function(Callback):
    def __init__(self, function: Callable[[Run], Any]) -> None:
        self.function = function

    def on_epoch(self, run: Run) -> None:
        self.function(run)


CallbackLike: TypeAlias = Callback | Callable[[Run], Any]


def as_callback(value: CallbackLike) -> Callback:
    """A callback as it is, or a function as one.

    Raises
    ------
    TypeError : it is neither.
    """
    if isinstance(value, Callback):
        return value
    if not callable(value) or isinstance(value, type):
        raise TypeError(f"fit: callbacks must be Callback objects or functions of the run, got {value!r}")
    return _Function(value)


_DIRECTIONS = {"loss": "min", "penalty": "min", "accuracy": "max", "r2": "max"}


class _Monitor:
    """Watches one quantity of the history for its best value so far."""

    def __init__(self, owner: str, monitor: str, mode: str | None, min_delta: float = 0.0) -> None:
        if mode not in (None, "min", "max"):
            raise ValueError(f"{owner}: mode must be 'min' or 'max', got {mode!r}")
        self.owner, self.name, self.min_delta = owner, monitor, min_delta
        mode = mode or _DIRECTIONS.get(monitor.removeprefix("val_"))
        if mode is None:
            raise ValueError(f"{owner}: is {monitor!r} better when it is small or large? Say mode='min' or mode='max'")
        self.sign = 1.0 if mode == "max" else -1.0
        self.best = -math.inf

    def improved(self, history: History) -> bool:
        row = history.epochs[-1]
        if self.name not in row:
            raise ValueError(f"{self.owner}: the history has no {self.name!r} to monitor; it has {', '.join(row)}")
        value = self.sign * row[self.name]
        if not value > self.best + self.min_delta:
            return False
        self.best = value
        return True


@final
class EarlyStopping(Callback):
    """Ends a run when a quantity has not improved for some epochs.

    Parameters
    ----------
    monitor : the quantity's name in the history.
    patience : epochs without improvement that are borne, >= 1.
    min_delta : the least change that counts as an improvement.
    mode : `"min"` or `"max"`; known by themselves are the loss, the penalty, `accuracy` and `r2`, with `val_` or not.

    Raises
    ------
    ValueError : a value out of its range; in the run, a quantity that the history does not have.

    Examples
    --------
    >>> EarlyStopping("val_accuracy", patience=5).patience
    5
    """

    def __init__(
        self, monitor: str = "val_loss", *, patience: int = 3, min_delta: float = 0.0, mode: str | None = None
    ) -> None:
        if patience < 1:
            raise ValueError(f"EarlyStopping: patience must be at least 1, got {patience!r}")
        self.monitor, self.patience, self.min_delta, self.mode = monitor, patience, min_delta, mode
        self.on_start(None)

    def on_start(self, run: Run | None) -> None:
        self._monitor = _Monitor("EarlyStopping", self.monitor, self.mode, self.min_delta)
        self._waited = 0

    def on_epoch(self, run: Run) -> None:
        self._waited = 0 if self._monitor.improved(run.history) else self._waited + 1
        if self._waited >= self.patience:
            run.stop(f"{self.monitor} has not improved for {self.patience} epochs")

    def state(self) -> dict[str, Any]:
        """The best value so far, and how long that was ago."""
        return {"best": self._monitor.best, "waited": self._waited}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on waiting."""
        self._monitor.best, self._waited = state["best"], state["waited"]


@final
class BestWeights(Callback):
    """Keeps the state of the best epoch, and puts it back at the end of the run.

    Parameters
    ----------
    monitor : the quantity's name in the history.
    mode : `"min"` or `"max"`; known by themselves are the loss, the penalty, `accuracy` and `r2`, with `val_` or not.

    Attributes
    ----------
    epoch : the best epoch, from 1; 0 before any.

    Examples
    --------
    >>> BestWeights("val_accuracy").epoch
    0
    """

    def __init__(self, monitor: str = "val_loss", *, mode: str | None = None) -> None:
        self.monitor, self.mode = monitor, mode
        self.on_start(None)

    def on_start(self, run: Run | None) -> None:
        self._monitor = _Monitor("BestWeights", self.monitor, self.mode)
        self._state: dict[str, Array] | None = None
        self.epoch = 0

    def on_epoch(self, run: Run) -> None:
        if self._monitor.improved(run.history):
            self._state, self.epoch = run.model.state(), run.epoch

    def on_end(self, run: Run) -> None:
        if self._state is not None:
            run.model.load_state(self._state)

    def state(self) -> dict[str, Any]:
        """The best value so far, its epoch, and the weights of then."""
        weights = {f"weights.{path}": values for path, values in (self._state or {}).items()}
        return {"best": self._monitor.best, "epoch": self.epoch, **weights}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes the best weights back."""
        self._monitor.best, self.epoch = state["best"], state["epoch"]
        weights = {key.removeprefix("weights."): values for key, values in state.items() if key.startswith("weights.")}
        self._state = weights or None


@final
class LogCSV(Callback):
    """Writes a line after each epoch, so that a run can be followed, and its numbers outlive it; rank 0 does.

    Parameters
    ----------
    path : the file, which is written anew; with the lines of before, where a run is taken up again.

    Examples
    --------
    >>> import tempfile
    >>> callback = LogCSV(tempfile.gettempdir() + "/run.csv")
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = path

    def on_start(self, run: Run) -> None:
        if run.rank == 0:
            with open(self.path, "w", encoding="utf-8"):
                pass
            for row in run.history.epochs:
                self._append(row)

    def on_epoch(self, run: Run) -> None:
        if run.rank == 0:
            self._append(run.history.epochs[-1])

    def _append(self, row: dict[str, float]) -> None:
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if file.tell() == 0:
                writer.writerow(row)
            writer.writerow(row.values())


@final
class GradientNorms(Callback):
    """Takes the norm of each parameter's gradient, for `plots.gradient_norms`: do gradients vanish or explode?

    Parameters
    ----------
    every : steps from one to the next, >= 1. Reading them waits for a GPU.

    Examples
    --------
    >>> GradientNorms(every=50).every
    50
    """

    def __init__(self, every: int = 10) -> None:
        if every < 1:
            raise ValueError(f"GradientNorms: every must be at least 1, got {every!r}")
        self.every = every

    def on_step(self, run: Run) -> None:
        if (run.step - 1) % self.every:
            return
        for path, parameter in run.model.parameters().items():
            xp = run.optimizer.store.backend.xp
            norm = math.sqrt(float(sum_of_squares(xp.reshape(parameter.grad, (-1,)))))
            run.history.gradient_norms.setdefault(path, {})[run.step - 1] = norm
