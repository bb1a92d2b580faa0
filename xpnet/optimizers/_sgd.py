from typing import Any, final

from xpnet._typing import Array
from xpnet.backend import elementwise
from xpnet.optimizers._optimizer import Optimizer


@elementwise(updates=1, guarded=True)
def _rule(xp: Any, w: Array, g: Array, rate: Array) -> Array:
    w -= rate * g
    return w


@final
class SGD(Optimizer):
    """Stochastic gradient descent.

        w ← w - η g

    Parameters
    ----------
    model, learning_rate, clip_norm, weight_decay : see `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.layers import Linear
    >>> model = Linear(1, 1)
    >>> optimizer = SGD(model, 0.1)
    >>> before = model.weight.data.copy()
    >>> y, pullback = model.forward(np.ones((1, 1), np.float32))
    >>> pullback(np.ones((1, 1), np.float32)); optimizer.step()
    >>> np.round(model.weight.data - before, 6)
    array([[-0.1]], dtype=float32)

    References
    ----------
    H. Robbins, S. Monro, "A stochastic approximation method", Annals of Mathematical Statistics 22 (1951).
    """

    def _update(self, rate: Array, time: Array, healthy: Array) -> None:
        _rule(self.store.data, self.store.grad, rate, guard=healthy)
