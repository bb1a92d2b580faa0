import math
from typing import Any, final

from xpnet._typing import Array
from xpnet.backend import elementwise
from xpnet.layers import Layer
from xpnet.optimizers._checks import check_fraction, check_positive
from xpnet.optimizers._optimizer import Optimizer
from xpnet.schedules import Schedule


@elementwise()
def _corrected(
    xp: Any, rate: Array, time: Array, log_beta1: float, log_beta2: float, eps: float
) -> tuple[Array, Array]:
    """η √(1 - β2^t) / (1 - β1^t) and ε √(1 - β2^t); 1 - β^t = -expm1(t log β) loses no digits at small t."""
    t = xp.astype(time, rate.dtype)
    root = xp.sqrt(-xp.expm1(t * log_beta2))
    return rate * root / -xp.expm1(t * log_beta1), eps * root


@elementwise(updates=3, guarded=True)
def _rule(
    xp: Any, w: Array, m: Array, v: Array, g: Array, rate: Array, eps: Array, forget1: float, forget2: float
) -> tuple[Array, Array, Array]:
    m += forget1 * (g - m)
    v += forget2 * (g * g - v)
    w -= rate * m / (xp.sqrt(v) + eps)
    return w, m, v


@elementwise(updates=1, guarded=True)
def _shrink(xp: Any, w: Array, rate: Array, decay: float) -> Array:
    w -= rate * (decay * w)
    return w


class _AdamRule(Optimizer):
    """The two moments and their bias correction, which Adam and AdamW share."""

    def __init__(
        self,
        model: Layer,
        learning_rate: float | Schedule = 1e-3,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, learning_rate, clip_norm=clip_norm, weight_decay=weight_decay)
        name = type(self).__name__
        self.beta1, self.beta2 = check_fraction(name, "beta1", beta1), check_fraction(name, "beta2", beta2)
        self.eps = check_positive(name, "eps", eps)
        self._m, self._v = self._moment("mean"), self._moment("mean_squares")

    def _update(self, rate: Array, time: Array, healthy: Array) -> None:
        store = self.store
        logs = (math.log(beta) if beta else -math.inf for beta in (self.beta1, self.beta2))
        rate, eps = _corrected(rate, time, *logs, self.eps)
        forget = 1.0 - self.beta1, 1.0 - self.beta2
        _rule(store.data, self._m, self._v, store.grad, rate, eps, *forget, guard=healthy)


@final
class Adam(_AdamRule):
    """Momentum, divided by a running root mean square, both corrected for their start at zero.

        m ← β1 m + (1 - β1) g,    v ← β2 v + (1 - β2) g²
        w ← w - η m̂ / (√v̂ + ε)    with m̂ = m / (1 - β1^t), v̂ = v / (1 - β2^t)

    Parameters
    ----------
    model, learning_rate, clip_norm, weight_decay : see `Optimizer`.
    beta1, beta2 : 0 <= β < 1.
    eps : ε, > 0.

    Raises
    ------
    ValueError : beta1, beta2 or eps out of its range.

    Examples
    --------
    >>> from xpnet.layers import Linear
    >>> sorted(Adam(Linear(2, 1)).state())
    ['mean', 'mean_squares', 'model_step', 'sizes', 'step']

    References
    ----------
    D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1, computed in the order of the
    end of its section 2. Variant: PyTorch's, ε added after the bias correction.
    """


@final
class AdamW(_AdamRule):
    """Adam with the decay of weights kept out of its moments.

        w ← w - η λ w, then Adam's step

    Parameters
    ----------
    model, learning_rate, clip_norm : see `Optimizer`.
    beta1, beta2 : 0 <= β < 1.
    eps : ε, > 0.
    weight_decay : λ, on weights only, not on biases and normalization.

    Raises
    ------
    ValueError : a value out of its range.

    Examples
    --------
    >>> from xpnet.layers import Linear
    >>> AdamW(Linear(2, 1), 1e-3).weight_decay
    0.01

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2. Variant: PyTorch's.
    """

    def __init__(
        self,
        model: Layer,
        learning_rate: float | Schedule = 1e-3,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        clip_norm: float | None = None,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(
            model,
            learning_rate,
            beta1=beta1,
            beta2=beta2,
            eps=eps,
            clip_norm=clip_norm,
            weight_decay=weight_decay,
        )

    def _decay_weights(self) -> None:
        if self.weight_decay:
            _shrink(self.store.weights(), self._rate, self.weight_decay, guard=self._guard)
