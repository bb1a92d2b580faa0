"""Differentiable functions: each returns its value and the pullback that carries a gradient back.

y, pullback = linear(x, weight, bias)
dx, dweight, dbias = pullback(dy)
"""

from xpnet.functional._activations import gelu, leaky_relu, relu, sigmoid, silu, softplus, tanh
from xpnet.functional._checks import check_floats, check_gradient
from xpnet.functional._dropout import check_rate, dropout
from xpnet.functional._linear import linear
from xpnet.functional._normalization import batch_norm, batch_norm_inference
from xpnet.functional._softmax import log_softmax, shifted_exp, softmax

__all__ = [
    "batch_norm",
    "batch_norm_inference",
    "check_floats",
    "check_gradient",
    "check_rate",
    "dropout",
    "gelu",
    "leaky_relu",
    "linear",
    "log_softmax",
    "relu",
    "shifted_exp",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]
