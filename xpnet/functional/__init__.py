"""Differentiable functions: each returns its value and the pullback that carries a gradient back.

y, pullback = linear(x, weight, bias)
dx, dweight, dbias = pullback(dy)
"""

from xpnet.functional import shapes
from xpnet.functional._activations import gelu, leaky_relu, relu, sigmoid, silu, softplus, tanh
from xpnet.functional._add import add, add_relu
from xpnet.functional._algorithm import get_convolution, set_convolution, use_convolution
from xpnet.functional._averages import (
    adaptive_avg_pool,
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    global_avg_pool,
)
from xpnet.functional._channel_scale import channel_scale
from xpnet.functional._checks import check_eps, check_floats, check_gradient, gradient_check
from xpnet.functional._convolution import (
    conv,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from xpnet.functional._dropout import check_rate, dropout
from xpnet.functional._layer_norm import layer_norm
from xpnet.functional._linear import linear, linear_relu
from xpnet.functional._local_response_norm import check_response, local_response_norm
from xpnet.functional._normalization import (
    batch_norm,
    batch_norm_inference,
    batch_norm_relu,
    batch_norm_relu_inference,
)
from xpnet.functional._pad import pad
from xpnet.functional._part import Part
from xpnet.functional._pooling import (
    avg_pool,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from xpnet.functional._softmax import log_softmax, shifted_exp, softmax

__all__ = [
    "Part",
    "adaptive_avg_pool",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "add",
    "add_relu",
    "avg_pool",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "batch_norm_inference",
    "batch_norm_relu",
    "batch_norm_relu_inference",
    "channel_scale",
    "check_eps",
    "check_floats",
    "check_gradient",
    "check_rate",
    "check_response",
    "conv",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "dropout",
    "gelu",
    "get_convolution",
    "global_avg_pool",
    "gradient_check",
    "layer_norm",
    "leaky_relu",
    "linear",
    "linear_relu",
    "local_response_norm",
    "log_softmax",
    "max_pool",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "pad",
    "relu",
    "set_convolution",
    "shapes",
    "shifted_exp",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
    "use_convolution",
]
