from typing import Any, final

from xpnet._typing import Array
from xpnet.backend import elementwise
from xpnet.layers import Layer
from xpnet.optimizers._checks import check_positive
from xpnet.optimizers._optimizer import Optimizer
from xpnet.schedules import Schedule


@elementwise(updates=2, guarded=True)
def _rule(xp: Any, w: Array, h: Array, g: Array, rate: Array, eps: float) -> tuple[Array, Array]:
    h += g * g
    w -= rate * g / (xp.sqrt(h) + eps)
    return w, h


@final
class AdaGrad(Optimizer):
    """Smaller steps for parameters that have moved much.

        h ← h + g²,    w ← w - η g / (√h + ε)

    Parameters
    ----------
    model, learning_rate, clip_norm, weight_decay : see `Optimizer`.
    eps : ε, > 0.

    Raises
    ------
    ValueError : eps out of its range.

    Examples
    --------
    >>> from xpnet.layers import Linear
    >>> sorted(AdaGrad(Linear(2, 1), 0.01).state())
    ['model_step', 'sizes', 'squares', 'step']

    References
    ----------
    J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods", JMLR 12 (2011). Variant: the diagonal form, with
    PyTorch's ε of 1e-10 outside the root.
    """

    def __init__(
        self,
        model: Layer,
        learning_rate: float | Schedule,
        *,
        eps: float = 1e-10,
        clip_norm: float | None = None,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, learning_rate, clip_norm=clip_norm, weight_decay=weight_decay)
        self.eps = check_positive("AdaGrad", "eps", eps)
        self._squares = self._moment("squares")

    def _update(self, rate: Array, time: Array, healthy: Array) -> None:
        _rule(self.store.data, self._squares, self.store.grad, rate, self.eps, guard=healthy)
