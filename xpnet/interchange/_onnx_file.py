import math
from typing import Any

import numpy as np

from xpnet.interchange._onnx_graph import OUTPUT, OnnxGraph, OnnxValue

OPSET, IR_VERSION = 20, 9
"""The oldest opset that has GELU, and the version of the file format that belongs to it: read by onnxruntime from 1.17
on. Pinned, so that the same model gives the same file whichever `onnx` is installed."""

_LARGEST = 2**31 - 1
"""Bytes: protobuf reads no larger message."""


def onnx_file(graph: OnnxGraph, x: OnnxValue, y: OnnxValue) -> bytes:
    """The graph from x to y as the bytes of an ONNX file.

    Raises
    ------
    ImportError : `onnx` is not installed.
    ValueError : the file would be larger than protobuf allows.
    """
    from onnx import helper, numpy_helper

    import xpnet

    _check_size(sum(math.prod(weight.shape) for weight in graph.weights.values()) * graph.dtype.itemsize)
    names = {y.name: OUTPUT}
    nodes = [
        helper.make_node(
            node.operator,
            [names.get(name, name) for name in node.inputs],
            [names.get(node.name, node.name)],
            name=node.name,
            **node.attributes,
        )
        for node in graph.nodes
    ]
    kind = helper.np_dtype_to_tensor_dtype(graph.dtype)
    ends = [
        helper.make_tensor_value_info(names.get(value.name, value.name), kind, ["batch", *value.axes[1:]])
        for value in (x, y)
    ]
    arrays: dict[str, Any] = graph.constants | {name: weight.values() for name, weight in graph.weights.items()}
    tensors = [numpy_helper.from_array(np.asarray(values, order="C"), name) for name, values in arrays.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "xpnet", ends[:1], ends[1:], tensors),
        producer_name="xpnet",
        producer_version=xpnet.__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    _check_size(model.ByteSize())
    written: bytes = model.SerializeToString()
    return written


def _check_size(nbytes: int) -> None:
    if nbytes > _LARGEST:
        raise ValueError(f"to_onnx: the model takes {nbytes / 2**30:.1f} GiB, and an ONNX file can hold 2 GiB")
