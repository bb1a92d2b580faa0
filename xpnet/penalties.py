"""Penalties on large weights: each returns its value and its pullback, as a loss does.

They see the weights that decay, not biases and normalization, as one flat array; `fit(penalty=)` adds the gradient.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias, final

from xpnet._typing import Array, Pullback
from xpnet.backend import array_namespace, depends_on, elementwise, sum_of_squares

Penalty: TypeAlias = Callable[[Array], tuple[Array, Pullback]]


@elementwise()
def _signs(xp: Any, w: Array, strength: float) -> Array:
    return strength * (xp.astype(w > 0.0, w.dtype) - xp.astype(w < 0.0, w.dtype))


@final
class L1:
    """λ Σ |w|: pulls each weight towards zero with the same force, and many end there.

        value = λ Σ |w|,    gradient = λ sign(w), which is 0 at 0

    Parameters
    ----------
    strength : λ, >= 0.

    Raises
    ------
    ValueError : a negative or non-finite strength.

    Examples
    --------
    >>> import numpy as np
    >>> value, pullback = L1(0.5)(np.asarray([3.0, -1.0]))
    >>> float(value), pullback()
    (2.0, array([ 0.5, -0.5]))

    References
    ----------
    R. Tibshirani, "Regression shrinkage and selection via the lasso", JRSS B 58 (1996).
    """

    def __init__(self, strength: float) -> None:
        self.strength = _checked("L1", strength)

    def __repr__(self) -> str:
        return f"L1({self.strength})"

    def __call__(self, weights: Array) -> tuple[Array, Pullback]:
        """The value of (n,) weights, and the pullback that returns its gradient."""
        xp = array_namespace(weights)
        depends_on(lambda: self.strength)
        value = self.strength * xp.sum(xp.abs(weights))
        return value, lambda: _signs(weights, self.strength)


@final
class L2:
    """½ λ Σ w²: pulls each weight towards zero in proportion to its size.

        value = ½ λ Σ w²,    gradient = λ w

    Parameters
    ----------
    strength : λ, >= 0.

    Raises
    ------
    ValueError : a negative or non-finite strength.

    Examples
    --------
    >>> import numpy as np
    >>> value, pullback = L2(0.5)(np.asarray([3.0, -1.0]))
    >>> float(value), pullback()
    (2.5, array([ 1.5, -0.5]))

    References
    ----------
    A. Krogh, J. Hertz, "A simple weight decay can improve generalization", NIPS 1991.
    """

    def __init__(self, strength: float) -> None:
        self.strength = _checked("L2", strength)

    def __repr__(self) -> str:
        return f"L2({self.strength})"

    def __call__(self, weights: Array) -> tuple[Array, Pullback]:
        """The value of (n,) weights, and the pullback that returns its gradient."""
        depends_on(lambda: self.strength)
        value = 0.5 * self.strength * sum_of_squares(weights)
        return value, lambda: self.strength * weights


def _checked(penalty: str, strength: float) -> float:
    if not (math.isfinite(strength) and strength >= 0.0):
        raise ValueError(f"{penalty}: strength must not be negative, got {strength!r}")
    return strength
