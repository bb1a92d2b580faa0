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
from xpnet.layers._averages import AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, GlobalAvgPool
from xpnet.layers._checks import check_count, check_model, check_shape
from xpnet.layers._containers import Concat, Frozen, Residual, Sequential
from xpnet.layers._conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from xpnet.layers._convolution import Conv1d, Conv2d, Conv3d
from xpnet.layers._dropout import Dropout
from xpnet.layers._layer import Layer, check_names_and_shapes, located
from xpnet.layers._layer_norm import LayerNorm
from xpnet.layers._layer_shapes import LayerShapes, layer_shapes
from xpnet.layers._layout import TorchLayout
from xpnet.layers._linear import Linear
from xpnet.layers._local_response_norm import LocalResponseNorm
from xpnet.layers._normalization import BatchNorm
from xpnet.layers._observe import observe
from xpnet.layers._pad import Pad
from xpnet.layers._parameter import Buffer, Parameter, new_parameter
from xpnet.layers._pooling import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d
from xpnet.layers._shape import Flatten, Identity
from xpnet.layers._squeeze_excite import SqueezeExcite
from xpnet.layers._store import FlatStore

__all__ = [
    "GELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm",
    "Buffer",
    "Concat",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Dropout",
    "FlatStore",
    "Flatten",
    "Frozen",
    "GlobalAvgPool",
    "Identity",
    "Layer",
    "LayerNorm",
    "LayerShapes",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Pad",
    "Parameter",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "SqueezeExcite",
    "Tanh",
    "TorchLayout",
    "check_count",
    "check_model",
    "check_names_and_shapes",
    "check_shape",
    "layer_shapes",
    "located",
    "new_parameter",
    "observe",
]
