"""What a look at a training run reads: the batch passed through once more, and the parameters with their gradients."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from xpnet._typing import Array
from xpnet.backend import HostArray, backend_of, sum_of_squares, to_host
from xpnet.layers import Layer, LeakyReLU, ReLU, Sigmoid, Tanh, observe
from xpnet.optimizers import Optimizer
from xpnet.training._evaluate import Loss

_SAMPLE = 2**14
"""Elements of a parameter that are compared before and after a step."""
_FLAT = 0.98
"""A sigmoid or tanh is flat where it is closer to an end than one per cent of its height."""
_FAR = 0.5
_HINGED = (ReLU, LeakyReLU)
_MOST = 10**6
"""Targets and outputs of more elements are not read."""


@final
@dataclass
class Look:
    """Numbers of one step, on the host.

    Attributes
    ----------
    step : steps done in the run.
    examples : of the batch.
    loss, baseline : of the batch after the step in inference mode, and of the best outputs that are the same for all
        examples; NaN where there is none.
    positive : by layer, for how many of the examples each unit is above zero before its ReLU or leaky ReLU, as shares.
    relus : the layers of these that are ReLUs, whose units can be dead.
    flat : by layer, the share of a sigmoid's or tanh's values that are close to an end.
    gradients, updates : by weight, the gradient's norm, and the last step's relative to the weight.
    bias_gradient : the largest norm of a bias's gradient.
    outputs_spread : how far outputs of one batch lie apart, relative to their size.
    varied : whether the batch's first and last inputs differ.
    """

    step: int
    examples: int
    loss: float = math.nan
    baseline: float = math.nan
    positive: dict[str, HostArray] = field(default_factory=dict)
    relus: list[str] = field(default_factory=list)
    flat: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, float] = field(default_factory=dict)
    updates: dict[str, float] = field(default_factory=dict)
    bias_gradient: float = 0.0
    outputs_spread: float = math.nan
    varied: bool = False


@final
class Before:
    """Some elements of each weight from before a step."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.values = {path: backend_of(part).copy(part) for path, part in _samples(optimizer).items()}

    def updates(self, optimizer: Optimizer) -> dict[str, float]:
        """How far the weights have moved since, relative to their size before."""
        return {
            path: _ratio(_norm(now - self.values[path]), _norm(self.values[path]))
            for path, now in _samples(optimizer).items()
        }


@final
class Constant:
    """The best outputs that are the same for all examples, by the targets of all looks."""

    def __init__(self) -> None:
        self._count = 0
        self._sum: Any = 0.0
        self._best: int | None = None
        self._last = math.nan

    def loss(self, loss: Loss, y: Array, t: Array, outputs: HostArray, *, than: float) -> float:
        """Takes a batch's targets in; what its loss would be with such outputs, or NaN.

        Where the model's own loss is far lower than that of the last batch would be, that is good enough.
        """
        if not than < _FAR * self._last:
            self._last = self._computed(loss, y, t, outputs, to_host(t))
        return self._last

    def _computed(self, loss: Loss, y: Array, t: Array, outputs: HostArray, targets: HostArray) -> float:
        guesses = self._guesses(outputs, targets)
        if self._best is not None and guesses:
            return _loss_of_all(loss, guesses[self._best], y, t)
        losses = [_loss_of_all(loss, guess, y, t) for guess in guesses]
        finite = [i for i, value in enumerate(losses) if math.isfinite(value)]
        if not finite:
            return math.nan
        self._best = min(finite, key=losses.__getitem__)  # what the loss takes: scores, or shares
        return losses[self._best]

    def _guesses(self, y: HostArray, t: HostArray) -> list[HostArray]:
        labels = t.dtype.kind in "iu" and y.ndim == t.ndim + 1
        if labels:
            seen = np.bincount(t.reshape(-1), minlength=y.shape[-1]).astype(float)
            self._count += t.size
        elif t.shape == y.shape:
            seen = t.astype(float).sum(axis=0)
            self._count += len(t)
        else:
            return []
        self._sum = self._sum + seen
        if labels:
            share = (self._sum + 0.5) / (self._sum + 0.5).sum()
            return [np.log(share), share]
        mean = self._sum / self._count
        inside = np.clip(mean, 1e-6, 1.0 - 1e-6)
        return [mean, np.log(inside / (1.0 - inside))]


def activations_of(model: Layer) -> dict[str, Layer]:
    """Its activations that can be dead or flat, by path."""
    return {path: layer for path, layer in model.layers().items() if isinstance(layer, (*_HINGED, Sigmoid, Tanh))}


def look_at(
    model: Layer,
    optimizer: Optimizer,
    x: Array,
    t: Array,
    loss: Loss,
    *,
    step: int,
    activations: dict[str, Layer],
    before: Before,
    constant: Constant,
) -> Look:
    """Runs the batch of a step once more, in inference mode; parameters, gradients and buffers are only read."""
    look = Look(step, x.shape[0])
    last = ""

    def on_forward(path: str, x: Array, y: Array) -> None:
        nonlocal last
        last, layer = path, activations.get(path)
        if isinstance(layer, _HINGED):  # which may be passed several times
            look.positive[path] = np.maximum(_positive(x), look.positive.get(path, 0.0))
            if isinstance(layer, ReLU):
                look.relus.append(path)
        elif layer is not None:
            look.flat[path] = min(_share_flat(y, isinstance(layer, Sigmoid)), look.flat.get(path, 1.0))

    with observe(model, on_forward=on_forward):
        y = model(x)
    look.flat.pop(last, None)  # outputs may well be close to the ends
    look.updates = before.updates(optimizer)
    look.gradients = {
        path: _norm(parameter.grad) for path, parameter in _weights(optimizer) if parameter.grad is not None
    }
    biases = [p.grad for p in optimizer.store.parameters.values() if p.data.ndim == 1 and p.grad is not None]
    look.bias_gradient = max(map(_norm, biases), default=0.0)
    if isinstance(y, tuple) or max(math.prod(y.shape), math.prod(t.shape)) > _MOST:
        return look
    outputs = to_host(y)
    look.loss = _value(loss, y, t)
    look.outputs_spread = float(np.max(np.ptp(outputs, axis=0)) / (np.max(np.abs(outputs)) + 1e-30))
    look.varied = _varied(x)
    look.baseline = constant.loss(loss, y, t, outputs, than=look.loss)
    return look


def inputs_of(x: Array) -> tuple[float, float, float] | None:
    """Mean, deviation and largest size of a batch's inputs; None where they are no floating-point numbers."""
    backend = backend_of(x)
    xp = backend.xp
    if not xp.isdtype(x.dtype, "real floating") or 0 in x.shape:
        return None
    return float(xp.mean(x)), float(xp.std(x)), float(xp.max(xp.abs(x)))


def meet_all(loss: Loss, model: Layer, x: Array, t: Array) -> bool:
    """Whether each example's output meets all targets: the loss stays the same when the targets change places."""
    y = model(x)
    if isinstance(y, tuple) or y.shape[0] < 3:
        return False
    backend = backend_of(y).at(y)
    n = y.shape[0]
    random = np.random.default_rng(0)
    ramp = backend.asarray(random.standard_normal(y.shape))
    order = backend.xp.asarray(np.roll(np.arange(n), n // 3 or 1).tolist(), device=backend.device_of(t))
    if not bool(backend.xp.any(t != t[:1, ...])):
        return False
    here, there = _value(loss, ramp, t), _value(loss, ramp, backend.xp.take(t, order, axis=0))
    return abs(here - there) <= 1e-5 * abs(here)


def _positive(z: Array) -> HostArray:
    """(n, …, units) -> for each unit, the share of z > 0."""
    xp = backend_of(z).xp
    shares: HostArray = to_host(xp.mean(xp.astype(z > 0.0, z.dtype), axis=tuple(range(z.ndim - 1))))
    return np.atleast_1d(shares)


def _share_flat(h: Array, sigmoid: bool) -> float:
    xp = backend_of(h).xp
    height = 2.0 * xp.abs(h - 0.5) if sigmoid else xp.abs(h)
    return float(xp.mean(xp.astype(height > _FLAT, h.dtype)))


def _varied(x: Array) -> bool:
    """Whether the last example is another than the first."""
    return bool(backend_of(x).xp.any(x[0, ...] != x[-1, ...]))


def _value(loss: Loss, y: Array, t: Array) -> float:
    """The loss; NaN where it takes no such outputs."""
    try:
        return float(loss(y, t)[0])
    except (TypeError, ValueError):
        return math.nan


def _loss_of_all(loss: Loss, guess: HostArray, y: Array, t: Array) -> float:
    """The loss where all examples have the same outputs."""
    return _value(loss, backend_of(y).at(y).asarray(np.broadcast_to(guess, tuple(y.shape)).copy()), t)


def _weights(optimizer: Optimizer) -> Iterable[tuple[str, Any]]:
    return ((path, p) for path, p in optimizer.store.parameters.items() if p.data.ndim > 1)


def _samples(optimizer: Optimizer) -> dict[str, Array]:
    """Every so many elements of each weight: views."""
    xp = optimizer.store.backend.xp
    found = {}
    for path, parameter in _weights(optimizer):
        size = math.prod(parameter.data.shape)
        found[path] = xp.reshape(parameter.data, (-1,))[:: -(-size // _SAMPLE)]
    return found


def _norm(values: Array) -> float:
    return math.sqrt(float(sum_of_squares(backend_of(values).xp.reshape(values, (-1,)))))


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0.0 else math.nan
