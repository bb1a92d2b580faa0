import itertools
import math
from collections.abc import Iterator
from typing import Any, final

import numpy as np

from xpnet.interchange._onnx_graph import OUTPUT, OnnxGraph, OnnxValue, Weight

OPSET, IR_VERSION = 20, 9
"""The oldest opset that has GELU, and the version of the file format that belongs to it: read by onnxruntime from 1.17
on. Pinned, so that the same model gives the same file whichever `onnx` is installed."""

_LARGEST = 2**31 - 1
"""Bytes: protobuf reads no larger message."""


def encode(graph: OnnxGraph, x: OnnxValue, y: OnnxValue) -> Iterator[bytes | memoryview]:
    """The graph from x to y as an ONNX file, piece by piece: no more than one weight is in memory twice.

    Protobuf writes a message as fields one after the other, each with its number and its length. So everything but the
    weights is written by `onnx`, and they follow as fields of their own.

    Raises
    ------
    ImportError : `onnx` is not installed.
    ValueError : the file would be larger than protobuf allows.

    References
    ----------
    https://protobuf.dev/programming-guides/encoding and `onnx.proto`.
    """
    import onnx

    head = _skeleton(graph, x, y)
    body = head.graph.SerializeToString()
    head.ClearField("graph")
    fields = [_WeightField(name, weight, graph.dtype) for name, weight in graph.weights.items()]
    length = len(body) + sum(field.length for field in fields)
    if length > _LARGEST:
        raise ValueError(f"to_onnx: the model takes {length / 2**30:.1f} GiB, and an ONNX file can hold 2 GiB")
    start = head.SerializeToString() + _field(onnx.ModelProto.GRAPH_FIELD_NUMBER, length) + body
    return itertools.chain([start], *(field.pieces() for field in fields))


@final
class _WeightField:
    """A weight as a field of ONNX's `GraphProto`: what stands before its numbers is made at once, they are not."""

    def __init__(self, name: str, weight: Weight, dtype: "np.dtype[Any]") -> None:
        from onnx import GraphProto, TensorProto, helper

        self._weight, self._dtype = weight, dtype.newbyteorder("<")
        nbytes = math.prod(weight.shape) * dtype.itemsize
        kind = helper.np_dtype_to_tensor_dtype(dtype)
        about = TensorProto(name=name, dims=weight.shape, data_type=kind).SerializeToString()
        about += _field(TensorProto.RAW_DATA_FIELD_NUMBER, nbytes)
        self._start = _field(GraphProto.INITIALIZER_FIELD_NUMBER, len(about) + nbytes) + about
        self.length = len(self._start) + nbytes

    def pieces(self) -> Iterator[bytes | memoryview]:
        yield self._start
        yield np.ascontiguousarray(self._weight.values(), self._dtype).data


def _skeleton(graph: OnnxGraph, x: OnnxValue, y: OnnxValue) -> Any:
    """The model without its weights."""
    from onnx import helper, numpy_helper

    import xpnet

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
    constants = [numpy_helper.from_array(values, name) for name, values in graph.constants.items()]
    return helper.make_model(
        helper.make_graph(nodes, "xpnet", ends[:1], ends[1:], constants),
        producer_name="xpnet",
        producer_version=xpnet.__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )


def _field(number: int, length: int) -> bytes:
    """What stands before a field of that many bytes: its number, its kind, its length."""
    return _varint(number << 3 | 2) + _varint(length)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth tells that more follow."""
    digits = []
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])
