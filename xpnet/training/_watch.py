import math
from collections.abc import Mapping
from typing import Any, final

from xpnet._typing import Array
from xpnet.backend import backend_of
from xpnet.layers import BatchNorm, Layer
from xpnet.training._alarms import Alarm, of_course, of_inputs, of_start, of_targets
from xpnet.training._callbacks import Callback, Run
from xpnet.training._look import Before, Constant, Look, activations_of, inputs_of, look_at, meet_all
from xpnet.training._warning import warn

_KEPT = 200
"""Looks that are remembered."""
_ROOTS = {"inputs_unscaled", "labels_column", "targets_broadcast", "weights_zero"}
"""Where one of these was found, what a loss does after it is no news."""

WATCHED = (
    *("labels_column", "targets_broadcast", "inputs_unscaled", "output_constant"),
    *(
        "hinges_outside_data",
        "dead_relus",
        "weights_zero",
        "weights_small",
        "weights_large",
        "rate_high",
        "rate_low",
        "no_fit",
    ),
)
"""The causes that a `Watch` can name, as `diagnostics.CAUSES` does."""


class WatchWarning(UserWarning):
    """A training run shows a reason why it does not learn.

    Attributes
    ----------
    cause : its code, of `diagnostics.CAUSES`; None where the run could not be watched.
    step : steps done when it was seen.
    layer : the path of the layer, or None.
    evidence : the numbers, by name.
    remedy : what to do.
    """

    def __init__(
        self,
        message: str,
        *,
        cause: str | None = None,
        step: int = 0,
        layer: str | None = None,
        evidence: dict[str, Any] | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(message)
        self.cause, self.step, self.layer = cause, step, layer
        self.evidence, self.remedy = evidence or {}, remedy


@final
class Watch(Callback):
    """Looks at a run now and then, and warns once for each reason why it does not learn.

    A look passes the batch of the last step through the model and the loss once more, in inference mode, and reads
    gradients and weights. It sees dead ReLUs, saturated units, gradients that vanish or explode, steps too long or too
    short, a loss that rises, swings or stays at that of constant outputs, outputs that ignore the inputs; at the first
    step unscaled inputs, weights of zero, ReLUs that all bend outside the data, and targets that are broadcast. Most of
    it counts only while the loss is not below that of constant outputs: a network that learns is left alone. Training
    is bit for bit the same with it as without. `xpnet.diagnostics.diagnose` looks closer.

    Parameters
    ----------
    every : steps from one look to the next, >= 1. The first look comes after the first step.

    Attributes
    ----------
    found : the warnings of the run by cause.

    Raises
    ------
    ValueError : `every` is below 1.

    Examples
    --------
    >>> import warnings
    >>> import xpnet
    >>> (x, t), _ = xpnet.data.sine()
    >>> model, watch = xpnet.models.mlp([1, 100, 1]), Watch()
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     history = xpnet.fit(model, xpnet.data.batches(xpnet.data.MinMax(x)(x), t, 20), callbacks=[watch],
    ...                         loss=xpnet.losses.squared_error, optimizer=xpnet.optimizers.SGD(model, 0.01), epochs=1)
    >>> list(watch.found)
    ['hinges_outside_data']
    """

    def __init__(self, every: int = 50) -> None:
        if every < 1:
            raise ValueError(f"Watch: every must be at least 1, got {every!r}")
        self.every = every
        self._clear()

    def _clear(self) -> None:
        self.found: dict[str, WatchWarning] = {}
        self._looks: list[Look] = []
        self._constant = Constant()
        self._activations: dict[str, Layer] = {}
        self._before: Before | None = None
        self._gave_up = False
        self._taken_up = False

    def state(self) -> dict[str, Any]:
        """The warnings so far."""
        found = {cause: vars(warning) | {"message": str(warning)} for cause, warning in self.found.items()}
        return {"found": found}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Does not warn of the same again, nor of how the run began."""
        self.found = {cause: WatchWarning(**fields) for cause, fields in state["found"].items()}
        self._taken_up = True

    def on_start(self, run: Run) -> None:
        self._clear()
        self._activations = activations_of(run.model)
        self._before = Before(run.optimizer)

    def on_step(self, run: Run) -> None:
        if run.rank:
            return
        if (run.step - 1) % self.every == 0 and not self._gave_up:
            for warning in self._warnings(run):
                warn(warning)
        if run.step % self.every == 0 and not self._gave_up:
            self._before = Before(run.optimizer)

    def on_end(self, run: Run) -> None:
        self._looks.clear()
        self._before = None

    def _warnings(self, run: Run) -> list[WatchWarning]:
        """A look, and what is new in it."""
        try:
            alarms = self._alarms(run)
        except Exception as error:
            if run.model.backend.is_lost(error):
                raise
            self._gave_up = True
            return [WatchWarning(f"step {run.step}: the run is no longer watched ({type(error).__name__}: {error})")]
        new = {alarm.cause: _warning(run.step, alarm) for alarm in alarms if alarm.cause not in self.found}
        self.found |= new
        return list(new.values())

    def _alarms(self, run: Run) -> list[Alarm]:
        assert run.batch is not None
        assert run.loss is not None
        assert self._before is not None
        (x, t), before = run.batch, self._before
        self._before = None
        look = look_at(
            run.model,
            run.optimizer,
            x,
            t,
            run.loss,
            step=run.step,
            activations=self._activations,
            before=before,
            constant=self._constant,
        )
        self._looks.append(look)
        del self._looks[1:-_KEPT]  # the first tells where the run began
        if len(self._looks) == 1:
            return [] if self._taken_up else self._first(run, x, t) or list(of_start(look))
        alarm = None if _ROOTS & set(self.found) else of_course(self._looks)
        return [] if alarm is None else [alarm]

    def _first(self, run: Run, x: Array, t: Array) -> list[Alarm]:
        """What the first batch shows by itself."""
        found: list[Alarm] = []
        numbers = inputs_of(x)
        if numbers is not None and not _normalizes(run.model):
            found += of_inputs(*numbers)
        y_shape, t_shape = tuple(run.model.output_shape(x.shape)), tuple(t.shape)
        labels = backend_of(t).xp.isdtype(t.dtype, "integral")
        column = labels and len(y_shape) == len(t_shape) == 2 and t_shape[1] == 1 < y_shape[1]
        apart = len(y_shape) != len(t_shape) and math.prod(y_shape) == math.prod(t_shape)
        if (column or apart) and run.loss is not None and meet_all(run.loss, run.model, x, t):
            found += of_targets(y_shape, t_shape, column)
        return found


def _warning(step: int, alarm: Alarm) -> WatchWarning:
    return WatchWarning(
        f"step {step}: {alarm.sentence} ({alarm.cause}). Remedy: {alarm.remedy}",
        cause=alarm.cause,
        step=step,
        layer=alarm.layer,
        evidence=alarm.evidence,
        remedy=alarm.remedy,
    )


def _normalizes(model: Layer) -> bool:
    """Whether a batch normalization comes before any activation: it takes the inputs' scale out."""
    leaves = [layer for layer in model.layers().values() if not layer.layers()]
    return any(isinstance(layer, BatchNorm) for layer in leaves[:2])
