"""Initial weights: each initializer takes a generator and a shape, and draws on the host.

Weights are (..., inputs, outputs), so an output adds up fan_in = (product of all axes but the last) numbers.
Values are drawn in float64, so that every backend and type starts from the same numbers.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

from xpnet._typing import Shape
from xpnet.backend import Generator, HostArray, host_zeros

Initializer: TypeAlias = Callable[[Generator, Shape], HostArray]


def zeros(generator: Generator, shape: Shape) -> HostArray:
    """All zeros: what biases start from. Weights of a layer that start so all stay alike.

    Examples
    --------
    >>> import numpy as np
    >>> zeros(np.random.default_rng(0), (2,))
    array([0., 0.])
    """
    return host_zeros(shape)


def normal(std: float) -> Initializer:
    """Draws from N(0, std²), whatever the shape.

    Raises
    ------
    ValueError : std is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> draw = normal(0.01)
    >>> draw(np.random.default_rng(0), (100, 100)).std().round(3)
    np.float64(0.01)
    """
    if not (math.isfinite(std) and std >= 0.0):
        raise ValueError(f"normal: expected std >= 0, got {std!r}")

    def draw(generator: Generator, shape: Shape) -> HostArray:
        return std * generator.standard_normal(shape)

    return draw


def xavier_normal(generator: Generator, shape: Shape) -> HostArray:
    """N(0, 2 / (fan_in + fan_out)): keeps the size of signals and gradients through tanh-like layers.

    Examples
    --------
    >>> import numpy as np
    >>> xavier_normal(np.random.default_rng(0), (300, 100)).std().round(2)
    np.float64(0.07)

    References
    ----------
    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010,
    equation 12 (its variance, as a normal distribution).
    """
    fan_in, fan_out = _fans(shape)
    return math.sqrt(2.0 / (fan_in + fan_out)) * generator.standard_normal(shape)


def xavier_uniform(generator: Generator, shape: Shape) -> HostArray:
    """U(-a, a) with a = √(6 / (fan_in + fan_out)): the variance of `xavier_normal`.

    Examples
    --------
    >>> import numpy as np
    >>> bool(abs(xavier_uniform(np.random.default_rng(0), (300, 300))).max() < 0.1)
    True

    References
    ----------
    X. Glorot, Y. Bengio, AISTATS 2010, equation 16 ("normalized initialization").
    """
    fan_in, fan_out = _fans(shape)
    bound = math.sqrt(6.0 / (fan_in + fan_out))
    return generator.uniform(-bound, bound, shape)


def he_normal(generator: Generator, shape: Shape) -> HostArray:
    """N(0, 2 / fan_in): keeps the size of signals through ReLU layers, which let half of it pass.

    Examples
    --------
    >>> import numpy as np
    >>> he_normal(np.random.default_rng(0), (200, 100)).std().round(2)
    np.float64(0.1)

    References
    ----------
    K. He et al., "Delving deep into rectifiers", ICCV 2015, equation 10.
    """
    fan_in, _ = _fans(shape)
    return math.sqrt(2.0 / fan_in) * generator.standard_normal(shape)


def he_uniform(generator: Generator, shape: Shape) -> HostArray:
    """U(-a, a) with a = √(6 / fan_in): the variance of `he_normal`.

    Examples
    --------
    >>> import numpy as np
    >>> bool(abs(he_uniform(np.random.default_rng(0), (600, 10))).max() < 0.1)
    True

    References
    ----------
    K. He et al., "Delving deep into rectifiers", ICCV 2015, equation 10 (its variance, as a uniform distribution).
    """
    fan_in, _ = _fans(shape)
    bound = math.sqrt(6.0 / fan_in)
    return generator.uniform(-bound, bound, shape)


def lecun_normal(generator: Generator, shape: Shape) -> HostArray:
    """N(0, 1 / fan_in): the outputs have the variance of the inputs.

    This is what the course calls "Xavier": `randn(inputs, outputs) / sqrt(inputs)`.

    Examples
    --------
    >>> import numpy as np
    >>> lecun_normal(np.random.default_rng(0), (100, 100)).std().round(2)
    np.float64(0.1)

    References
    ----------
    Y. LeCun et al., "Efficient BackProp", 1998, equation 16.
    """
    fan_in, _ = _fans(shape)
    return math.sqrt(1.0 / fan_in) * generator.standard_normal(shape)


def _fans(shape: Shape) -> tuple[int, int]:
    """How many numbers one output adds up, and how many outputs one input reaches."""
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"initializer: expected a weight's shape (..., inputs, outputs), got {tuple(shape)}")
    return math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1]
