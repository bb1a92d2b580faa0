from collections.abc import Callable, Sequence
from itertools import pairwise

from xpnet.initializers import Initializer, he_normal, lecun_normal
from xpnet.layers import (
    GELU,
    BatchNorm,
    Dropout,
    Layer,
    LeakyReLU,
    Linear,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)

_ACTIVATIONS: dict[str, tuple[Callable[[], Layer], Initializer]] = {
    "relu": (ReLU, he_normal),
    "leaky_relu": (LeakyReLU, he_normal),
    "gelu": (GELU, he_normal),
    "silu": (SiLU, he_normal),
    "softplus": (Softplus, he_normal),
    "sigmoid": (Sigmoid, lecun_normal),
    "tanh": (Tanh, lecun_normal),
}


def mlp(
    sizes: Sequence[int],
    activation: str = "relu",
    *,
    weight: Initializer | None = None,
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> Sequential:
    """A multilayer perceptron: fully connected layers with an activation after each but the last.

    Its outputs are raw: logits for a cross-entropy loss, values for a regression.

    Parameters
    ----------
    sizes : numbers of features from the input to the output, at least two.
    activation : `"relu"`, `"leaky_relu"`, `"gelu"`, `"silu"`, `"softplus"`, `"sigmoid"` or `"tanh"`.
    weight : the initializer of all weights; None takes He's for the ReLU family, LeCun's for sigmoid and tanh.
    batch_norm : whether to normalize before each activation.
    dropout : the rate of dropout after each activation; 0 for none.

    Returns
    -------
    A `Sequential`, from (..., sizes[0]) to (..., sizes[-1]).

    Raises
    ------
    ValueError : fewer than two sizes, a size that is no positive integer, or an unknown activation.

    Examples
    --------
    >>> mlp([2, 30, 1])
    Sequential(
      0: Linear(2, 30)
      1: ReLU()
      2: Linear(30, 1)
    )

    References
    ----------
    D. Rumelhart, G. Hinton, R. Williams, "Learning representations by back-propagating errors", Nature 323 (1986).
    """
    if len(sizes) < 2:
        raise ValueError(f"mlp: expected at least two sizes, from inputs to outputs, got {list(sizes)}")
    if activation not in _ACTIVATIONS:
        known = ", ".join(map(repr, _ACTIVATIONS))
        raise ValueError(f"mlp: unknown activation {activation!r}; expected one of {known}")
    make, default = _ACTIVATIONS[activation]
    children: list[Layer] = []
    for inputs, outputs in pairwise(sizes[:-1]):
        children.append(Linear(inputs, outputs, weight=weight or default))
        if batch_norm:
            children.append(BatchNorm(outputs))
        children.append(make())
        if dropout:
            children.append(Dropout(dropout))
    children.append(Linear(sizes[-2], sizes[-1], weight=weight or default))
    return Sequential(*children)
