import math
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeAlias

from xpnet._typing import Array, Pullback

Loss: TypeAlias = Callable[..., tuple[Array, Pullback]]


def with_auxiliary(loss: Loss, weight: float = 0.3) -> Loss:
    """A loss for a model that gives, in training, its output and those of auxiliary heads.

        L = loss(main, t) + weight · Σ_h loss(head_h, t)

    Parameters
    ----------
    loss : such as `softmax_cross_entropy`; it and what is made of it take the same arguments after the outputs.
    weight : what an auxiliary head counts, >= 0.

    Returns
    -------
    A loss of a tuple (main, head, head, …), whose pullback gives the tuple of gradients in the same order. Of a single
    array, as a model gives it in inference, it is `loss` itself.

    Raises
    ------
    ValueError : a weight that is negative or not finite.
    TypeError : `loss` is no function.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.losses import mean_squared_error
    >>> main, head, t = np.ones((2, 1)), 2.0 * np.ones((2, 1)), np.zeros((2, 1))
    >>> value, pullback = with_auxiliary(mean_squared_error, 0.5)((main, head), t)
    >>> float(value), [gradient[0, 0] for gradient in pullback()]
    (3.0, [np.float64(1.0), np.float64(1.0)])

    References
    ----------
    C. Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 5, with a weight of 0.3.
    """
    if not callable(loss):
        raise TypeError(
            f"with_auxiliary: loss must be a function such as xpnet.losses.softmax_cross_entropy, got {loss!r}"
        )
    if not (isinstance(weight, Real) and math.isfinite(weight) and weight >= 0.0):
        raise ValueError(f"with_auxiliary: weight must be finite and >= 0, got {weight!r}")

    weight = float(weight)

    def loss_of_heads(y: Array | tuple[Array, ...], *arguments: Any, **options: Any) -> tuple[Array, Pullback]:
        if not isinstance(y, tuple):
            return loss(y, *arguments, **options)
        (value, pull), *heads = [loss(output, *arguments, **options) for output in y]
        for head, _ in heads:
            value = value + weight * head

        def pullback(*dloss: Array) -> tuple[Array, ...]:
            return pull(*dloss), *(weight * pull_head(*dloss) for _, pull_head in heads)

        return value, pullback

    return loss_of_heads
