"""Layers hold parameters and call `xpnet.functional`: calling one is inference, `forward` is training.

y, pullback = layer.forward(x)
pullback(dy)                       # leaves the gradients in layer.parameters()
"""

from xpnet.layers._activations import (
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from xpnet.layers._checks import check_count
from xpnet.layers._containers import Concat, Frozen, Residual, Sequential
from xpnet.layers._dropout import Dropout
from xpnet.layers._layer import Layer, check_names_and_shapes
from xpnet.layers._linear import Linear
from xpnet.layers._normalization import BatchNorm
from xpnet.layers._observe import observe
from xpnet.layers._parameter import Buffer, Parameter, new_parameter
from xpnet.layers._shape import Flatten, Identity
from xpnet.layers._store import FlatStore

__all__ = [
    "GELU",
    "BatchNorm",
    "Buffer",
    "Concat",
    "Dropout",
    "FlatStore",
    "Flatten",
    "Frozen",
    "Identity",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Parameter",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "check_count",
    "check_names_and_shapes",
    "new_parameter",
    "observe",
]
