"""Interchange: weights as safetensors, in PyTorch's names and layouts."""

from xpnet.interchange._loading import LoadReport
from xpnet.interchange._weights import load_torch, load_weights, save_weights

__all__ = ["LoadReport", "load_torch", "load_weights", "save_weights"]
