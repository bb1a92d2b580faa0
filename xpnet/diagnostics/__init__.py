"""Diagnostics: what a model computes inside, what it costs, and whether its gradients are right."""

from xpnet.diagnostics._causes import CAUSES, Cause
from xpnet.diagnostics._check_gradients import check_gradients
from xpnet.diagnostics._check_model import check_model, check_pullback
from xpnet.diagnostics._diagnose import diagnose, diagnose_functions
from xpnet.diagnostics._multiplications import multiplications
from xpnet.diagnostics._report import Finding, Report
from xpnet.diagnostics._statistics import layer_outputs
from xpnet.diagnostics._summary import LayerSummary, Summary, summary

__all__ = [
    "CAUSES",
    "Cause",
    "Finding",
    "LayerSummary",
    "Report",
    "Summary",
    "check_gradients",
    "check_model",
    "check_pullback",
    "diagnose",
    "diagnose_functions",
    "layer_outputs",
    "multiplications",
    "summary",
]
