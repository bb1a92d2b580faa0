"""Diagnostics: what a model computes inside, and what it costs."""

from xpnet.diagnostics._multiplications import multiplications
from xpnet.diagnostics._statistics import layer_outputs
from xpnet.diagnostics._summary import LayerSummary, Summary, summary

__all__ = ["LayerSummary", "Summary", "layer_outputs", "multiplications", "summary"]
