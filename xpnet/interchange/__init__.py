"""Interchange: weights as safetensors, in PyTorch's names and layouts."""

from xpnet.interchange._weights import load_weights, save_weights

__all__ = ["load_weights", "save_weights"]
