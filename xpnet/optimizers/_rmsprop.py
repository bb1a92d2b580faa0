from typing import Any, final

from xpnet._typing import Array
from xpnet.backend import elementwise
from xpnet.layers import Layer
from xpnet.optimizers._checks import check_fraction, check_positive
from xpnet.optimizers._optimizer import Optimizer
from xpnet.schedules import Schedule


@elementwise(updates=2, guarded=True)
def _rule(xp: Any, w: Array, v: Array, g: Array, rate: Array, forget: float, eps: float) -> tuple[Array, Array]:
    v += forget * (g * g - v)
    w -= rate * g / (xp.sqrt(v) + eps)
    return w, v


@final
class RMSprop(Optimizer):
    """Steps divided by a running root mean square of the gradient.

        v ← α v + (1 - α) g²,    w ← w - η g / (√v + ε)

    Parameters
    ----------
    model, learning_rate, clip_norm, weight_decay : see `Optimizer`.
    decay : α, 0 <= α < 1.
    eps : ε, > 0.

    Raises
    ------
    ValueError : decay or eps out of its range.

    Examples
    --------
    >>> from xpnet.layers import Linear
    >>> sorted(RMSprop(Linear(2, 1), 0.01).state())
    ['mean_squares', 'model_step', 'sizes', 'step']

    References
    ----------
    T. Tieleman, G. Hinton, Coursera lecture 6.5, 2012. Variant: PyTorch's, not centred and without momentum, ε outside
    the root.
    """

    def __init__(
        self,
        model: Layer,
        learning_rate: float | Schedule,
        *,
        decay: float = 0.99,
        eps: float = 1e-8,
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, learning_rate, clip_norm=clip_norm, weight_decay=weight_decay)
        self.decay = check_fraction("RMSprop", "decay", decay)
        self.eps = check_positive("RMSprop", "eps", eps)
        self._mean_squares = self._moment("mean_squares")

    def _update(self, rate: Array, time: Array, healthy: Array) -> None:
        _rule(self.store.data, self._mean_squares, self.store.grad, rate, 1.0 - self.decay, self.eps, guard=healthy)
