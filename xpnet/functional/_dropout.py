import math
from numbers import Real
from typing import Any

from xpnet._typing import Array, Pullback
from xpnet.backend import Key, array_namespace, backend_of, elementwise, scramble
from xpnet.functional._checks import check_floats, check_gradient


@elementwise()
def _drop(
    xp: Any, x: Array, row: Array, column: Array, key: Array, salt: int, pepper: int, threshold: int, scale: float
) -> tuple[Array, Array]:
    """Keeps an element where 31 bits, hashed from step, row and column, are at most the threshold.

    `row`, `column` and `key` (the step) are already mixed numbers. Row and column are mixed once more with the step
    and the layer's salts, and meet in one product: three passes over the whole array, the rest over a row and a column.
    """
    r = (row ^ key) * salt
    r = r ^ ((r >> 15) & 0x1FFFF)
    c = (column + key) * pepper
    c = c ^ ((c >> 15) & 0x1FFFF)
    bits = ((r ^ c) * (r * -1640531527 | 1)) & 0x7FFFFFFF
    mask = xp.astype(bits <= threshold, x.dtype) * scale
    return x * mask, mask


def dropout(
    x: Array, rate: float, key: Key, step: Array, *, by_channel: bool = False, first: int = 0
) -> tuple[Array, Pullback]:
    """Sets elements to zero at random, or whole channels, and scales the others, so that the expected value stays.

        y = x ∘ m,    m = 1 / (1 - rate) with probability 1 - rate, else 0,    dx = dy ∘ m

    The mask is counted out, not drawn: it is a function of `key`, `step` and the element's row and column, so it is
    the same on every backend, needs no state, and comes out again when a step is repeated.

    Parameters
    ----------
    x : (..., features), floating-point.
    rate : the probability of zero, 0 <= rate < 1.
    key : two odd 32-bit numbers that make this layer's masks its own (`xpnet.backend.random_key`).
    step : 0-d int32 array on the device of `x`; another step gives another, unrelated mask.
    by_channel : whether all pixels of an example's channel share their fate, for `x` of (n, *size, channels): what
        neighbours tell each other would undo a mask of single pixels.
    first : the number of the first example, where `x` is a part of a larger batch: the mask is that part's.

    Returns
    -------
    y : the shape and type of `x`.
    pullback : `dx = pullback(dy)`.

    Raises
    ------
    ValueError : `rate` outside [0, 1), or `x` without an axis.
    TypeError : `x` is no floating-point array.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.backend import random_key
    >>> y, pullback = dropout(np.ones((1, 8)), 0.5, random_key(0, "layer"), np.zeros((), np.int32))
    >>> sorted(set(y[0]))
    [np.float64(0.0), np.float64(2.0)]

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15 (2014),
    section 10; by channel: J. Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015,
    section 3.2. Variant: "inverted", scaled in training and untouched in inference, as in PyTorch. The counter-based
    mask follows the idea of J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    xp = array_namespace(x, step)
    check_floats("dropout", x=x)
    rate = check_rate(rate)
    if x.ndim < 1:
        raise ValueError("dropout: expected x with at least one axis, got a 0-d array")
    backend = backend_of(x)
    masked = x
    if by_channel and x.ndim > 2:
        masked = backend.empty((x.shape[0], x.shape[-1]), x)
        masked[...] = 1.0
    rows, columns = math.prod(masked.shape[:-1]), masked.shape[-1]
    before = first * math.prod(masked.shape[1:-1])
    y, mask = _drop(
        xp.reshape(masked, (rows, columns)),  # (..., features) -> (n, features)
        xp.reshape(backend.scrambled(before + rows, x)[:, before:], (rows, 1)),
        backend.scrambled(columns, x),
        scramble(xp.reshape(step, (1, 1))),
        *key,
        round((1.0 - rate) * 2**31) - 1,
        1.0 / (1.0 - rate),
    )
    if masked is x:
        y, mask = xp.reshape(y, x.shape), xp.reshape(mask, x.shape)  # (n, features) -> (..., features)
    else:
        mask = xp.reshape(mask, (rows, *(1,) * (x.ndim - 2), columns))  # (n, channels) -> (n, 1, ..., channels)
        y = x * mask
    shape = x.shape

    def pullback(dy: Array) -> Array:
        check_gradient("dropout", dy, shape, mask)
        return dy * mask

    return y, pullback


def check_rate(rate: float) -> float:
    """A probability of dropping, from 0 and below 1, as a Python float.

    Raises
    ------
    ValueError : anything else, NaN included.
    """
    if not (isinstance(rate, Real) and 0.0 <= rate < 1.0):
        raise ValueError(f"dropout: expected 0 <= rate < 1, got {rate!r}")
    return float(rate)
