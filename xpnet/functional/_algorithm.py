"""Which way a convolution is computed: by the user's choice, or by its shape."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from xpnet.backend import Windows
from xpnet.functional import _winograd

ALGORITHMS = ("auto", "direct", "winograd")

_default = "auto"
_override: ContextVar[str | None] = ContextVar("xpnet_convolution", default=None)


def set_convolution(algorithm: str) -> None:
    """Chooses how the process computes convolutions.

    Parameters
    ----------
    algorithm : `"direct"` sums up as the formula says, by products of gathered windows. `"winograd"` takes Winograd's
        F(4×4, 3×3) wherever it can, which is for 3×3 kernels with stride and dilation 1 in one group, and `"direct"`
        elsewhere and for float16; it is faster for many channels, and in float32 its rounding errors are about 1e-5 of
        the largest result, ten times those of the direct sum, and an infinite element spoils its whole tile. `"auto"`,
        the default, chooses by shape.

    Raises
    ------
    ValueError : another name.

    Examples
    --------
    >>> before = get_convolution()
    >>> set_convolution("direct")
    >>> get_convolution()
    'direct'
    >>> set_convolution(before)
    """
    global _default
    _default = _checked(algorithm)


def get_convolution() -> str:
    """The algorithm that convolutions use here and now.

    Examples
    --------
    >>> get_convolution()
    'auto'
    """
    return _override.get() or _default


@contextmanager
def use_convolution(algorithm: str) -> Iterator[None]:
    """`set_convolution` for the current context (thread or task) alone.

    Examples
    --------
    >>> with use_convolution("winograd"):
    ...     get_convolution()
    'winograd'
    """
    token = _override.set(_checked(algorithm))
    try:
        yield
    finally:
        _override.reset(token)


def _checked(algorithm: str) -> str:
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm: expected one of {', '.join(map(repr, ALGORITHMS))}, got {algorithm!r}")
    return algorithm


def by_winograd(windows: Windows, n: int, inputs: int, outputs: int, groups: int, item_bytes: int) -> bool:
    """Whether a convolution of n examples goes by Winograd's algorithm; never in half precision."""
    algorithm = get_convolution()
    if algorithm == "direct" or item_bytes < 4 or not _winograd.applies(windows, groups):
        return False
    return algorithm == "winograd" or _pays(windows, n, inputs, outputs)


def _pays(windows: Windows, n: int, inputs: int, outputs: int) -> bool:
    """Enough channels to outweigh the transforms, enough tiles to share the kernel's, few pixels beyond the edge."""
    tiles = math.prod(-(-length // 4) for length in windows.output)
    return min(inputs, outputs) >= 32 and n * tiles >= 32 and 8 * tiles <= windows.pixels
