"""Convolutions, pooling and padding as ONNX operators.

Sizes are known, so what "same" and `ceil_mode` come to is written as padding. ONNX has attributes of these names, but
they have meant different things to different versions and programs.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from xpnet import layers as L
from xpnet._typing import Shape
from xpnet.backend import HostArray, Windows
from xpnet.functional import shapes
from xpnet.interchange._onnx_graph import OnnxGraph, OnnxValue, add_layer

# Convolution ----------------------------------------------------------------------------------------------------


@add_layer.register
def _conv(layer: L.Conv1d | L.Conv2d | L.Conv3d, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    padding = layer.options["padding"]
    pads = (*padding, *padding) if not isinstance(padding, str) else _named_pads(layer, x.shape)
    return _convolution("Conv", layer, x, graph, pads=pads)


def _named_pads(layer: L.Conv1d | L.Conv2d | L.Conv3d, input_shape: Shape) -> Shape:
    """What "same" or "valid" comes to: the zeros before each axis, then those behind."""
    kernel = tuple(layer.weight.data.shape[:-2])
    windows = shapes.conv_windows(repr(layer), input_shape, layer.inputs, kernel, **layer.options)
    return (*windows.before, *_lacking(windows))


@add_layer.register
def _conv_transpose(
    layer: L.ConvTranspose1d | L.ConvTranspose2d | L.ConvTranspose3d, x: OnnxValue, graph: OnnxGraph
) -> OnnxValue:
    padding = layer.options["padding"]
    extra = layer.options["output_padding"]
    return _convolution("ConvTranspose", layer, x, graph, pads=(*padding, *padding), output_padding=extra)


def _convolution(operator: str, layer: Any, x: OnnxValue, graph: OnnxGraph, **attributes: Shape) -> OnnxValue:
    weights = [graph.weight(tensor) for tensor in (layer.weight, layer.bias) if tensor is not None]
    y = graph.node(
        operator,
        graph.channels_first(x),
        *weights,
        kernel_shape=tuple(layer.weight.data.shape[:-2]),
        strides=layer.options["stride"],
        dilations=layer.options["dilation"],
        group=layer.groups,
        **attributes,
    )
    return replace(y, shape=layer.output_shape(x.shape))


def _lacking(windows: Windows) -> Shape:
    """How far the last window of each axis reaches beyond the input's end."""
    axes = zip(windows.reach, windows.before, windows.size, strict=True)
    return tuple(max(0, reach - before - size) for reach, before, size in axes)


# Pooling --------------------------------------------------------------------------------------------------------


@add_layer.register
def _max_pool(layer: L.MaxPool1d | L.MaxPool2d | L.MaxPool3d, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    before, behind = layer.padding, _behind(layer, x.shape)
    return _pool("MaxPool", layer, x, graph, pads=(*before, *behind))


@add_layer.register
def _avg_pool(layer: L.AvgPool1d | L.AvgPool2d | L.AvgPool3d, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    """The padding counts if `count_include_pad` says so; what `ceil_mode` looks at behind it never does."""
    before, behind, counts = layer.padding, _behind(layer, x.shape), layer.count_include_pad
    if counts and behind != before and any(before):
        x = _padded(graph.channels_first(x), graph, graph.step, before, before, 0.0)
        before, behind = (0,) * len(before), tuple(b - p for b, p in zip(behind, before, strict=True))
        counts = False
    included = int(counts and behind == before)
    return _pool("AveragePool", layer, x, graph, pads=(*before, *behind), count_include_pad=included)


def _behind(layer: Any, input_shape: Shape) -> Shape:
    """The padding behind each axis: what was asked for, or more where `ceil_mode` takes in one more window."""
    windows = shapes.pool_windows(
        repr(layer), input_shape, layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, layer.axes
    )
    return tuple(max(p, more) for p, more in zip(layer.padding, _lacking(windows), strict=True))


def _pool(operator: str, layer: Any, x: OnnxValue, graph: OnnxGraph, **attributes: Any) -> OnnxValue:
    x, output = graph.channels_first(x), layer.output_shape(x.shape)
    y = graph.node(operator, x, kernel_shape=layer.kernel_size, strides=layer.stride, **attributes)
    return replace(y, shape=output)


@add_layer.register
def _global_avg_pool(layer: L.GlobalAvgPool, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    y = graph.step("GlobalAveragePool", graph.channels_first(x))
    y = graph.node("Flatten", y, axis=1)  # (n, channels, 1, …) -> (n, channels)
    return replace(y, shape=layer.output_shape(x.shape), channels_first=False)


@add_layer.register
def _adaptive_avg_pool(
    layer: L.AdaptiveAvgPool1d | L.AdaptiveAvgPool2d | L.AdaptiveAvgPool3d, x: OnnxValue, graph: OnnxGraph
) -> OnnxValue:
    """Windows that are all alike are an average pooling; others are a product with a matrix for each axis."""
    y = graph.channels_first(x)
    size, output = y.shape[1:-1], layer.output_size
    if size == output:
        return x
    if set(output) == {1}:
        y = graph.node("GlobalAveragePool", y)
    elif not any(n % m for n, m in zip(size, output, strict=True)):
        kernel = tuple(n // m for n, m in zip(size, output, strict=True))
        y = graph.node("AveragePool", y, kernel_shape=kernel, strides=kernel)
    else:
        y = _means(y, output, graph)
    return replace(y, shape=layer.output_shape(x.shape))


def _means(x: OnnxValue, output: Shape, graph: OnnxGraph) -> OnnxValue:
    """Along one axis after the other, as products: (n, front, size, back) -> (n, front, output, back)."""
    channels, *size = x.axes[1:]
    for axis, (n, m) in enumerate(zip(size, output, strict=True)):
        if n != m:
            x = graph.reshape(x, channels * math.prod(output[:axis]), n, math.prod(size[axis + 1 :]))
            x = graph.step("MatMul", graph.constant("means", _shares(n, m)), x)
    return graph.node("Reshape", x, graph.constant("shape", (0, channels, *output), np.int64))


def _shares(n: int, m: int) -> HostArray:
    """The (m, n) matrix that takes the mean of each of m parts of n elements: ⌊o n / m⌋ to ⌈(o + 1) n / m⌉."""
    first, end = np.arange(m) * n // m, -(-np.arange(1, m + 1) * n // m)
    inside = (first[:, None] <= np.arange(n)) & (np.arange(n) < end[:, None])
    return inside / (end - first)[:, None]


# Padding --------------------------------------------------------------------------------------------------------


@add_layer.register
def _pad(layer: L.Pad, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    windows = shapes.pad_windows(repr(layer), x.shape, layer.padding)
    y = _padded(graph.channels_first(x), graph, graph.node, windows.before, _lacking(windows), layer.value)
    return replace(y, shape=layer.output_shape(x.shape))


def _padded(x: OnnxValue, graph: OnnxGraph, add: Any, before: Shape, behind: Shape, value: float) -> OnnxValue:
    pads = graph.constant("pads", (0, 0, *before, 0, 0, *behind), np.int64)  # the batch and the channels have none
    result: OnnxValue = add("Pad", x, pads, graph.constant("value", value))
    return result
