import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from numbers import Real
from typing import Any

from xpnet._typing import Array
from xpnet.backend import current_seed, depends_on, elementwise, goes_by, on_host, readable, sum_of_squares, to_host
from xpnet.layers import FlatStore, Layer, check_names_and_shapes
from xpnet.optimizers._loss_scale import LossScale
from xpnet.schedules import Schedule

_NUMBERS = (float, int, Real)
"""Numbers of Python first, which are found in a tenth of the time: settings are looked at before each replay."""


class NonFiniteError(ArithmeticError):
    """A loss or a gradient is infinite or NaN; the step that met it has changed no parameter.

    Attributes
    ----------
    step : the number of the step, counted from 0.
    layer : the path of the first layer where it appeared, or `"inputs"` or `"loss"`, if that is known.
    direction : `"forward"` or `"backward"`, if that is known.
    history : what the run had shown, where `fit` raised it.
    """

    history: Any = None

    def __init__(self, message: str, *, step: int, layer: str | None = None, direction: str | None = None) -> None:
        super().__init__(message)
        self.step, self.layer, self.direction = step, layer, direction


@elementwise(updates=1)
def _judge(xp: Any, healthy: Array, squares: Array, loss: Array) -> Array:
    """Once false, it stays so until someone reads it."""
    healthy &= xp.isfinite(squares) & xp.isfinite(loss)
    return healthy


@elementwise(updates=2, guarded=True)
def _advance(xp: Any, model_step: Array, time: Array) -> tuple[Array, Array]:
    model_step += 1
    time += 1
    return model_step, time


@elementwise(updates=1, guarded=True)
def _clip(xp: Any, gradient: Array, squares: Array, limit: float) -> Array:
    gradient *= xp.minimum(limit / (xp.sqrt(squares) + 1e-6), 1.0)
    return gradient


@elementwise(updates=1)
def _add_decay(xp: Any, gradient: Array, weight: Array, decay: float) -> Array:
    gradient += decay * weight
    return gradient


class Optimizer(ABC):
    """What all optimizers share: the flat store, the learning rate, clipping, weight decay, and steps that are refused.

    The parameters move into one flat array and their gradients into another, so a step is one element-wise operation.
    Updates are in place. A step whose loss or gradient is not finite changes nothing and raises where the host can
    see it at once; on a GPU it changes nothing, nor does any step after it, until `raise_if_not_finite` is called.

    Parameters
    ----------
    model : the model whose `parameters()` are trained.
    learning_rate : a number above 0, or a schedule `step -> rate` with steps counted from 0.
    clip_norm : if the gradients' norm over all parameters is larger, they are scaled down to it.
    weight_decay : λ; adds λ w to the gradient of each weight (not of biases and normalization). AdamW instead shrinks
        the weights themselves.

    Raises
    ------
    ValueError : a value out of its range, or a model without parameters to train.
    """

    def __init__(
        self,
        model: Layer,
        learning_rate: float | Schedule,
        *,
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
    ) -> None:
        name = type(self).__name__
        if not isinstance(model, Layer):
            raise TypeError(f"{name}: expected a model, whose parameters it finds itself, got {type(model).__name__}")
        if clip_norm is not None and not clip_norm > 0.0:
            raise ValueError(f"{name}: clip_norm must be above 0, got {clip_norm!r}")
        if not (math.isfinite(weight_decay) and weight_decay >= 0.0):
            raise ValueError(f"{name}: weight_decay must not be negative, got {weight_decay!r}")
        self.learning_rate = learning_rate
        self.clip_norm, self.weight_decay = clip_norm, weight_decay
        self.store = store = FlatStore.of(model)
        seed_masks(model, current_seed())

        xp = store.backend.xp
        place = {"device": store.backend.device_of(store.data)}
        self.steps = 0
        self._time = xp.zeros((), dtype=xp.int32, **place)
        self._rate = xp.zeros((), dtype=store.data.dtype, **place)
        self._rate_value = 0.0
        self._healthy = xp.zeros((), dtype=xp.bool, **place)
        self._healthy[...] = True
        self._guard = self._healthy
        self._loss_scale: LossScale | None = None
        self._scaled = False
        self._moments: dict[str, Array] = {}

    @property
    def learning_rate(self) -> float | Schedule:
        """A number, or a schedule `step -> rate`; may be set at any time."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float | Schedule) -> None:
        if not callable(value) and not (isinstance(value, Real) and math.isfinite(value) and value > 0.0):
            raise ValueError(f"{type(self).__name__}: learning_rate must be above 0, got {value!r}")
        self._learning_rate = value

    @property
    def current_rate(self) -> float:
        """The learning rate of the next step."""
        rate = self._learning_rate
        value = float(rate(self.steps) if callable(rate) else rate)
        if not (math.isfinite(value) and value >= 0.0):
            raise ValueError(f"{type(self).__name__}: the schedule gave {value!r} at step {self.steps}, expected >= 0")
        return value

    @property
    def last_rate(self) -> float:
        """The learning rate of the last step; 0 before any."""
        return self._rate_value

    @last_rate.setter
    def last_rate(self, value: float) -> None:
        self._rate[...] = self._rate_value = float(value)

    @property
    def loss_scale(self) -> LossScale:
        """The loss scale of mixed precision, made when first asked for; from then on part of the state."""
        if self._loss_scale is None:
            self._loss_scale = LossScale(self.store)
        return self._loss_scale

    def _moment(self, name: str) -> Array:
        """A state of one number a parameter, which starts at zero."""
        self._moments[name] = self.store.backend.xp.zeros_like(self.store.data)
        return self._moments[name]

    @abstractmethod
    def _update(self, rate: Array, time: Array, healthy: Array) -> None:
        """The rule: changes `store.data` by `store.grad`; `time` counts from 1."""

    def step(self, loss: Array | None = None) -> None:
        """One update of all parameters by their gradients.

        Parameters
        ----------
        loss : if given, a loss that is not finite also makes this step change nothing.

        Raises
        ------
        NonFiniteError : the loss or the gradients' norm is not finite, where the host can see it without waiting.
        RuntimeError : no pullback has been called since the last step.
        """
        self.store.check_intact()
        self.store.clear_unreached()
        try:
            self._step(loss)
        finally:  # also where it is interrupted: the next gradients are not added to these
            self.store.mark_stale()

    def _step(self, loss: Array | None) -> None:
        store = self.store
        depends_on(self._settings)
        on_host(self._set_rate)
        squares = sum_of_squares(store.grad)
        self._guard = self._judged(squares, loss)
        if self._scaled and readable(squares) and not bool(self._guard):
            on_host(self._count)
            return
        if self.clip_norm is not None:
            _clip(store.grad, squares, self.clip_norm, guard=self._guard)  # NaN would stay in the store's gaps
        self._decay_weights()
        _advance(store.step, self._time, guard=self._guard)
        self._update(self._rate, self._time, self._guard)
        on_host(self._count)

    def _judged(self, squares: Array, loss: Array | None) -> Array:
        """The flag that lets a step through; where the host can see that none may follow, the error."""
        scale = self._loss_scale
        if scale is not None:
            goes_by(scale, "pending")
        self._scaled = scale is not None and scale.pending
        if scale is not None and scale.pending:
            scale.pending = False
            good = scale.adapt(self._healthy, squares, loss)
            if readable(squares) and not bool(self._healthy):
                self._healthy[...] = True
                raise self._not_finite()
            return good
        if not readable(squares):
            _judge(self._healthy, squares, squares if loss is None else loss)
        elif not math.isfinite(squares) or not (loss is None or math.isfinite(loss)):
            raise self._not_finite()
        return self._healthy

    def _set_rate(self) -> None:
        """Writes the rate of the coming step to the device, where it is another one."""
        rate = self.current_rate
        if rate != self._rate_value:
            self.last_rate = rate

    def _count(self) -> None:
        self.steps += 1

    def settings(self) -> dict[str, Any]:
        """The rule's numbers by name, such as `clip_norm`, but for the learning rate.

        Examples
        --------
        >>> from xpnet import models, optimizers
        >>> optimizers.Momentum(models.mlp([2, 1]), 0.1).settings()["momentum"]
        0.9
        """
        own = ((name, value) for name, value in vars(self).items() if name[0] != "_" and name != "steps")
        return {name: value for name, value in own if value is None or isinstance(value, _NUMBERS)}

    def _settings(self) -> Hashable:
        """The numbers of a step that a user may change, and whether the store still holds the parameters."""
        return (*self.settings().items(), self.store.intact)

    def _decay_weights(self) -> None:
        if self.weight_decay:
            _add_decay(self.store.weight_gradients(), self.store.weights(), self.weight_decay)

    def raise_if_not_finite(self) -> None:
        """Waits for the device, and raises if a step was refused since the last call; steps are then taken again.

        Raises
        ------
        NonFiniteError : with the number of that step.
        """
        if not bool(self._healthy):
            self.steps = self._steps_so_far()
            self._healthy[...] = True
            raise self._not_finite()

    def _steps_so_far(self) -> int:
        """Those that were taken, and those that a loss scale skipped, as the device has counted them."""
        return int(self._time) + (0 if self._loss_scale is None else int(self._loss_scale.skipped))

    def _not_finite(self) -> NonFiniteError:
        if self._scaled:
            return NonFiniteError(
                f"step {self.steps}: the loss or the gradients' norm is infinite or NaN in float16, with the loss "
                "scale at its lowest, 1; no parameter was changed by it. precision='float32', a lower learning rate, "
                "or inputs of a smaller scale are the usual remedies",
                step=self.steps,
            )
        return NonFiniteError(
            f"step {self.steps}: the loss or the gradients' norm is infinite or NaN; no parameter was changed by it. "
            "A lower learning rate, clip_norm, or inputs of a smaller scale are the usual remedies",
            step=self.steps,
        )

    def state(self) -> dict[str, Array]:
        """Copies of all that the rule remembers, the counts of steps, and the sizes of the parameters it is for."""
        copy = self.store.backend.copy
        return {name: copy(array) for name, array in self.arrays().items()}

    def arrays(self) -> dict[str, Array]:
        """What `state` copies."""
        return self._arrays() | {"sizes": self.store.backend.at(self.store.data).asarray(self._sizes())}

    def _sizes(self) -> list[int]:
        return [math.prod(parameter.data.shape) for parameter in self.store.parameters.values()]

    def _arrays(self) -> dict[str, Array]:
        arrays = self._moments | {"step": self._time, "model_step": self.store.step}
        return arrays if self._loss_scale is None else arrays | self._loss_scale.arrays()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state` returned; arrays of any registered library.

        A state without a loss scale, from before mixed precision, lets it begin anew.

        Raises
        ------
        ValueError : other names or shapes, as from another rule or model; nothing is changed then.
        """
        what, sizes, scale = f"{type(self).__name__}.load_state", self._sizes(), self._loss_scale
        if scale is None and "loss_scale" in state:
            scale = LossScale(self.store)
        arrays = self._moments | {"step": self._time, "model_step": self.store.step}
        if scale is not None and "loss_scale" in state:
            arrays |= scale.arrays()
        check_names_and_shapes(
            what,
            {name: tuple(values.shape) for name, values in state.items()},
            {name: tuple(array.shape) for name, array in arrays.items()} | {"sizes": (len(sizes),)},
        )
        backend = self.store.backend.at(self.store.data)
        theirs = to_host(backend.asarray(state["sizes"])).tolist()
        if theirs != sizes:
            raise ValueError(f"{what}: the state is for parameters of sizes {theirs}, not {sizes}; nothing was changed")
        new = {name: backend.xp.astype(backend.asarray(state[name]), array.dtype) for name, array in arrays.items()}
        for name, array in arrays.items():
            array[...] = new[name]
        self._loss_scale = scale
        if scale is not None:
            scale.match_inverse() if "loss_scale" in state else scale.reset()
        self.steps = self._steps_so_far()
        self._healthy[...] = True


def check_optimizer(function: str, optimizer: Optimizer, model: Layer) -> None:
    """The optimizer is one, and of this model.

    Raises
    ------
    TypeError, ValueError : it is not.

    Examples
    --------
    >>> from xpnet import models, optimizers
    >>> model = models.mlp([2, 1])
    >>> check_optimizer("fit", optimizers.SGD(model, 0.1), model)
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{function}: optimizer must be one built for this model, as Adam(model), got {optimizer!r}")
    if optimizer.store is not model._store:
        raise ValueError(
            f"{function}: the optimizer was built for another model; build it with this one: Optimizer(model, …)"
        )


def seed_masks(model: Layer, seed: int) -> None:
    """Gives each random layer its key, from the seed and its path, and the model's step counter."""
    store = FlatStore.of(model)
    for path, layer in ({"": model} | model.layers()).items():
        layer.bind_masks(path, seed, store.step)
        layer.bind_part(store.part)
