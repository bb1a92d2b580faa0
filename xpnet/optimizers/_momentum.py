from typing import Any, final

from xpnet._typing import Array
from xpnet.backend import elementwise
from xpnet.layers import Layer
from xpnet.optimizers._checks import check_fraction
from xpnet.optimizers._optimizer import Optimizer
from xpnet.schedules import Schedule


@elementwise(updates=2, guarded=True)
def _heavy_ball(xp: Any, w: Array, v: Array, g: Array, rate: Array, momentum: float) -> tuple[Array, Array]:
    v *= momentum
    v += g
    w -= rate * v
    return w, v


@elementwise(updates=2, guarded=True)
def _nesterov(xp: Any, w: Array, v: Array, g: Array, rate: Array, momentum: float) -> tuple[Array, Array]:
    v *= momentum
    v += g
    w -= rate * (g + momentum * v)
    return w, v


@final
class Momentum(Optimizer):
    """Gradient descent with a velocity, like a ball that rolls.

        v ← μ v + g,    w ← w - η v            (Nesterov: w ← w - η (g + μ v))

    Parameters
    ----------
    model, learning_rate, clip_norm, weight_decay : see `Optimizer`.
    momentum : μ, 0 <= μ < 1.
    nesterov : looks ahead by one more step of the velocity.

    Raises
    ------
    ValueError : momentum out of its range.

    Examples
    --------
    >>> from xpnet.layers import Linear
    >>> optimizer = Momentum(Linear(2, 1), 0.01, momentum=0.9)
    >>> sorted(optimizer.state())
    ['model_step', 'sizes', 'step', 'velocity']

    References
    ----------
    B. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964; Y. Nesterov, 1983, in the form
    of I. Sutskever et al., ICML 2013. Variant: PyTorch's, where the rate multiplies the velocity; the course's
    v ← μ v - η g, w ← w + v is the same for a constant rate.
    """

    def __init__(
        self,
        model: Layer,
        learning_rate: float | Schedule,
        *,
        momentum: float = 0.9,
        nesterov: bool = False,
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, learning_rate, clip_norm=clip_norm, weight_decay=weight_decay)
        self.momentum = check_fraction("Momentum", "momentum", momentum)
        self.nesterov = bool(nesterov)
        self._velocity = self._moment("velocity")

    def _update(self, rate: Array, time: Array, healthy: Array) -> None:
        rule = _nesterov if self.nesterov else _heavy_ball
        rule(self.store.data, self._velocity, self.store.grad, rate, self.momentum, guard=healthy)
