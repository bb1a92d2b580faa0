"""Which way a convolution is computed: by the user's choice, by what is installed, or by its shape."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from xpnet._typing import Array
from xpnet.backend import Backend, Override, Windows, depends_on, require_cudnn
from xpnet.functional import _winograd
from xpnet.functional._products import LibraryProducts, Products

ALGORITHMS = ("auto", "direct", "winograd", "cudnn")

_default = "auto"
_override: Override[str] = Override("xpnet_convolution")


def set_convolution(algorithm: str) -> None:
    """Chooses how the process computes convolutions.

    Parameters
    ----------
    algorithm : `"direct"` sums up as the formula says, by products of gathered windows. `"winograd"` takes Winograd's
        F(4×4, 3×3) wherever it can, which is for 3×3 kernels with stride and dilation 1 in one group, and `"direct"`
        elsewhere and for float16; it is faster for many channels, and in float32 its rounding errors are about 1e-5 of
        the largest result, ten times those of the direct sum, and an infinite element spoils its whole tile. `"cudnn"`
        takes NVIDIA's library for CuPy arrays of float32 and float16, except for what is a plain product (one element,
        stride 1, one group); what is left, such as float64, goes as by `"auto"`, and a shape that cuDNN has no engine
        for goes directly, after one warning. It multiplies in full float32 unless the backend was set to TF32, and
        gives the same bits from run to run. `"auto"`, the default, takes cuDNN for CuPy arrays where it is installed,
        and chooses by shape elsewhere.

    Raises
    ------
    ValueError : another name.
    BackendUnavailableError : `"cudnn"` where CuPy or cuDNN is missing; the message says what mends it. With `"cudnn"`
        set, a convolution of another library's arrays raises a TypeError.

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
    with _override.by(_checked(algorithm)):
        yield


def _checked(algorithm: str) -> str:
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm: expected one of {', '.join(map(repr, ALGORITHMS))}, got {algorithm!r}")
    if algorithm == "cudnn":
        require_cudnn()
    return algorithm


def products_of(backend: Backend, n: int, weight: Array, windows: Windows, groups: int) -> Products:
    """Who computes a convolution of n examples: the array's library where it was chosen and can, else this room."""
    depends_on(get_convolution)
    algorithm = get_convolution()
    if algorithm in ("auto", "cudnn"):
        convolution = backend.convolution(n, weight, windows, groups, required=algorithm == "cudnn")
        if convolution is not None:
            return LibraryProducts(backend, weight, windows, groups, convolution)
    return Products(backend, weight, windows, groups)


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
