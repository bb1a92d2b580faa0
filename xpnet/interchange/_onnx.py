from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from xpnet.backend import get_backend
from xpnet.files import replacing, target
from xpnet.interchange import _onnx_operators, _onnx_windows  # noqa: F401 - they register xpnet's layers
from xpnet.interchange._onnx_file import onnx_file
from xpnet.interchange._onnx_graph import INPUT, OnnxGraph, OnnxValue, add_layer
from xpnet.layers import Layer, check_model, check_shape


def to_onnx(
    model: Layer, input_shape: Sequence[int], path: str | PathLike[str], *, channels_first: bool = False
) -> None:
    """Writes a model's inference as an ONNX file, which onnxruntime and other programs run without xpnet.

    The graph is made of ONNX's own operators: `Conv`, `BatchNormalization`, `Gemm`, … Its input is named "input", its
    output "output", its nodes by the paths of layers, its weights by the paths of parameters and in PyTorch's layouts
    (but (inputs, outputs) for a `MatMul`). The batch may be of any size; all other axes are fixed. ONNX's operators
    want channels first, so a graph for images begins with a `Transpose`; a `Flatten` needs none, for the weights behind
    it are put in its order. Dropout is left out.

    The file is written under another name first and then moved, so an interrupted call leaves an older file whole.

    Parameters
    ----------
    model : the model, in float32 or float64. onnxruntime has no convolutions and some other operators in float64: write
        `model.to("numpy")`, which is float32, for it.
    input_shape : of a batch as the model takes it, (n, height, width, channels) or (n, features); any n will do.
    path : the file.
    channels_first : whether the file's input (and its output, if that is an image) is (n, channels, height, width), as
        in PyTorch, with no `Transpose`; otherwise it is as the model's.

    Raises
    ------
    ImportError : `onnx` is not installed.
    ValueError : a shape that the model does not take, or a model too large for one file (2 GiB).
    TypeError : a layer of the user's own without operators (see `register_onnx`), or parameters of other types; no
        model, or no path.
    OSError : the file cannot be written; there is no such folder, or the path is one.

    Examples
    --------
    >>> import xpnet
    >>> to_onnx(xpnet.models.mlp([2, 1]), (1, 3), "model.onnx")
    Traceback (most recent call last):
    ...
    ValueError: layer '0': Linear(2, 1): expected 2 features in the last axis, got 3 (shape (1, 3))

    With onnxruntime: `InferenceSession("model.onnx").run(["output"], {"input": x})`.

    References
    ----------
    https://onnx.ai/onnx/operators, opset 20.
    """
    check_model("to_onnx", model)
    x, path = _input(input_shape, channels_first), target("to_onnx", path)
    graph = OnnxGraph(model, _dtype(model))
    model.output_shape(x.shape)
    y = add_layer(model, x, graph)
    y = graph.channels_first(y) if channels_first and not y.image else graph.channels_last(y)
    if y.name == x.name:
        y = graph.node("Identity", y)
    try:
        written = onnx_file(graph, x, y)
    except ImportError as error:
        raise ImportError("to_onnx needs onnx: pip install 'xpnet[onnx]'") from error
    with replacing(path) as file:
        file.write(written)


def _input(input_shape: Sequence[int], channels_first: bool) -> OnnxValue:
    shape = check_shape("to_onnx", "input_shape", input_shape)
    if len(shape) < 2:
        raise ValueError(
            f"to_onnx: expected input_shape (n, …, channels) of a batch, with at least 2 axes, got {shape}"
        )
    return OnnxValue(INPUT, shape, channels_first=channels_first and len(shape) > 2)


def _dtype(model: Layer) -> "np.dtype[Any]":
    """The one type of all its numbers."""
    tensors = model.tensors()
    types = {name: str(tensor.data.dtype).rpartition(".")[2] for name, tensor in tensors.items()}
    found = set(types.values()) or {get_backend().dtype}
    if len(found) > 1 or not found <= {"float32", "float64"}:
        listed = ", ".join(f"{name} is {kind}" for name, kind in types.items() if kind != "float32")
        raise TypeError(f"to_onnx: expected all of the model in float32 or all of it in float64, but {listed}")
    return np.dtype(found.pop())
