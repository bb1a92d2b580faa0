"""Interchange: weights as safetensors, in PyTorch's names and layouts; models as ONNX graphs."""

from xpnet.interchange._loading import LoadReport
from xpnet.interchange._onnx import to_onnx
from xpnet.interchange._onnx_graph import OnnxGraph, OnnxValue, register_onnx
from xpnet.interchange._weights import load_torch, load_weights, save_weights

__all__ = [
    "LoadReport",
    "OnnxGraph",
    "OnnxValue",
    "load_torch",
    "load_weights",
    "register_onnx",
    "save_weights",
    "to_onnx",
]
