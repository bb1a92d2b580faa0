"""Containers and what works feature by feature as ONNX operators; windows have a file of their own."""

import math
from dataclasses import replace
from typing import Any

from xpnet import layers as L
from xpnet import models
from xpnet.interchange._onnx_graph import OnnxGraph, OnnxValue, add_layer

# Containers -----------------------------------------------------------------------------------------------------


@add_layer.register
def _sequential(layer: L.Sequential, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    for name, child in layer.members().items():
        x = graph.child(name, child, x)
    return x


@add_layer.register
def _residual(layer: L.Residual, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    branches = [graph.child(name, child, x) for name, child in layer.members().items()]
    return graph.node("Add", *graph.alike(branches))


@add_layer.register
def _concat(layer: L.Concat, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    branches = [graph.child(name, child, x) for name, child in layer.members().items()]
    first, *rest = graph.alike([graph.channels_last(y) if y.image else y for y in branches])
    y = graph.node("Concat", first, *rest, axis=first.channel_axis)
    return replace(y, shape=layer.output_shape(x.shape))


@add_layer.register
def _frozen(layer: L.Frozen, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.child("", layer.members()[""], x)


@add_layer.register
def _googlenet(layer: models.GoogLeNet, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.child("", layer.main, x)  # the auxiliary heads are for training


@add_layer.register
def _ensemble(layer: models.Ensemble, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    terms = [
        _share(graph.below(name), graph.child(name, model, x), weight)
        for (name, model), weight in zip(layer.members().items(), layer.weights, strict=True)
    ]
    return graph.node("Sum", *graph.alike(terms))


def _share(graph: OnnxGraph, logits: OnnxValue, weight: float) -> OnnxValue:
    """A member's probabilities, weighted."""
    probabilities = graph.step("Softmax", logits, axis=logits.channel_axis)
    return graph.step("Mul", probabilities, graph.constant("weight", weight))


@add_layer.register
def _nothing(layer: L.Identity | L.Dropout, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return x


# Element by element ---------------------------------------------------------------------------------------------


@add_layer.register
def _relu(layer: L.ReLU, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.node("Relu", x)


@add_layer.register
def _leaky_relu(layer: L.LeakyReLU, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.node("LeakyRelu", x, alpha=float(layer.slope))


@add_layer.register
def _sigmoid(layer: L.Sigmoid, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.node("Sigmoid", x)


@add_layer.register
def _tanh(layer: L.Tanh, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.node("Tanh", x)


@add_layer.register
def _softplus(layer: L.Softplus, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.node("Softplus", x)


@add_layer.register
def _silu(layer: L.SiLU, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.node("Mul", x, graph.step("Sigmoid", x))


@add_layer.register
def _gelu(layer: L.GELU, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.node("Gelu", x, approximate="tanh")


@add_layer.register
def _softmax(layer: L.Softmax, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.node("Softmax", x, axis=x.channel_axis)


@add_layer.register
def _log_softmax(layer: L.LogSoftmax, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.node("LogSoftmax", x, axis=x.channel_axis)


# Features -------------------------------------------------------------------------------------------------------


@add_layer.register
def _flatten(layer: L.Flatten, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    if len(x.shape) == 2:
        return x
    y = graph.node("Flatten", x, axis=1)
    image = x.shape[1:] if x.channels_first else ()
    return replace(y, shape=layer.output_shape(x.shape), channels_first=False, image=image)


@add_layer.register
def _linear(layer: L.Linear, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    flat = len(x.shape) == 2
    weight = graph.weight(layer.weight, _rows(x, layer.outputs) if flat else L.TorchLayout())
    bias = [] if layer.bias is None else [graph.weight(layer.bias)]
    if flat:
        y = graph.node("Gemm", x, weight, *bias, transB=1)
    elif bias:
        y = graph.node("Add", graph.step("MatMul", graph.channels_last(x), weight), *bias)
    else:
        y = graph.node("MatMul", graph.channels_last(x), weight)
    return replace(y, shape=layer.output_shape(x.shape), image=())


def _rows(x: OnnxValue, outputs: int) -> L.TorchLayout:
    """The layout of a weight, (outputs, features), whose features stand in the order of x."""
    if not x.image:
        return L.TorchLayout((1, 0))
    axes = len(x.image)
    return L.TorchLayout((axes, axes - 1, *range(axes - 1)), unfold=(*x.image, outputs), fold=(1, axes))


def _features(x: OnnxValue) -> L.TorchLayout:
    """The layout of one number for each feature, in the order of x."""
    axes = len(x.image)
    return L.TorchLayout((axes - 1, *range(axes - 1)), unfold=x.image, fold=(axes,)) if x.image else L.TorchLayout()


# Normalization --------------------------------------------------------------------------------------------------


@add_layer.register
def _batch_norm(layer: L.BatchNorm, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    x = graph.channels_first(x)
    tensors = layer.weight, layer.bias, layer.running_mean, layer.running_var
    statistics = [graph.weight(tensor, _features(x)) for tensor in tensors]
    return graph.node("BatchNormalization", x, *statistics, epsilon=layer.eps)


@add_layer.register
def _layer_norm(layer: L.LayerNorm, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    x = x if x.image else graph.channels_last(x)
    tensors = [graph.weight(tensor, _features(x)) for tensor in (layer.weight, layer.bias)]
    return graph.node("LayerNormalization", x, *tensors, axis=-len(layer.shape), epsilon=layer.eps)


@add_layer.register
def _local_response_norm(layer: L.LocalResponseNorm, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    x = graph.channels_first(graph.channels_last(x) if x.image else x)
    channels, pixels = x.shape[-1], math.prod(x.shape[1:-1])
    if len(x.shape) == 4 and layer.size % 2:
        return graph.node("LRN", x, **_response(layer))
    image = graph.reshape(x, channels, 1, pixels)  # onnxruntime's LRN takes images alone
    y = graph.step("LRN", image, **_response(layer)) if layer.size % 2 else _even_response(layer, image, graph)
    return graph.node("Reshape", y, graph.constant("shape", (0, *x.axes[1:]), "int64"))


def _response(layer: L.LocalResponseNorm) -> dict[str, float]:
    return {"size": layer.size, "alpha": layer.alpha, "beta": layer.beta, "bias": layer.k}


def _even_response(layer: L.LocalResponseNorm, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    """Of an even number of channels ONNX looks at one more behind than before, PyTorch and xpnet the reverse."""
    channels, pixels = x.shape[-1], math.prod(x.shape[1:-1])
    squares = graph.reshape(graph.step("Mul", x, x), 1, channels, pixels)
    pads = (layer.size // 2, 0, (layer.size - 1) // 2, 0)
    mean = graph.step("AveragePool", squares, kernel_shape=(layer.size, 1), pads=pads, count_include_pad=1)
    mean = graph.reshape(mean, channels, 1, pixels)
    strength = graph.step("Mul", mean, graph.constant("alpha", layer.alpha))
    scale = graph.step("Add", strength, graph.constant("k", layer.k))
    return graph.step("Div", x, graph.step("Pow", scale, graph.constant("beta", layer.beta)))


@add_layer.register
def _squeeze_excite(layer: L.SqueezeExcite, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    x = graph.channels_first(x)
    y = graph.below("pool").node("GlobalAveragePool", x)
    for name, activation in (("fc1", "Relu"), ("fc2", "Sigmoid")):
        y = _one_by_one(layer.gate[name], y, graph.below(name))
        y = graph.below(activation.lower()).node(activation, y)
    return graph.node("Mul", x, y)


def _one_by_one(layer: Any, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    """A fully connected layer of (n, channels, 1, …) as a 1×1 convolution, which is how files hold it."""
    axes = len(x.shape) - 2
    ones = (1,) * axes
    layout = L.TorchLayout((axes + 1, axes, *range(axes)), unfold=(*ones, layer.inputs, layer.outputs))
    return graph.node("Conv", x, graph.weight(layer.weight, layout), graph.weight(layer.bias), kernel_shape=ones)
