"""Diagnostics: what a model computes inside."""

from xpnet.diagnostics._statistics import layer_outputs

__all__ = ["layer_outputs"]
