"""Numbers for the pictures of a report: where units bend, how often they are active, what values they get."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._patient import Patient, PatientError, Stage
from xpnet.diagnostics._report import Finding, Report
from xpnet.diagnostics._trials import Trial

_POINTS = 200
_EXAMPLES = 1000
_UNITS = 512
_STEEP = {"sigmoid": [-5.0, 5.0], "tanh": [-2.5, 2.5]}
"""Where an activation still follows its input."""


def illustrated(report: Report, patient: Patient) -> Report:
    """The same report with what pictures need in the evidence."""
    try:
        findings = [_illustrated(finding, patient) for finding in report.findings]
    except PatientError:
        return report
    return Report(findings, checked=report.checked, unchecked=report.unchecked)


def curves(course: Trial, remedy: Trial) -> dict[str, list[tuple[float, float]]]:
    """The losses of both runs with the steps at which they were looked at."""
    return {"as it is": _curve(course), "with the remedy": _curve(remedy)}


def _curve(trial: Trial) -> list[tuple[float, float]]:
    steps = np.linspace(0, trial.steps, len(trial.losses)).round()
    return [(float(step), float(loss)) for step, loss in zip(steps, trial.losses, strict=True)]


def _illustrated(finding: Finding, patient: Patient) -> Finding:
    x = patient.data[0]
    more: Mapping[str, Any] = {}
    if finding.cause in ("hinges_outside_data", "dead_relus"):
        more = _bends(patient, places=finding.cause == "hinges_outside_data")
    elif finding.cause in ("weights_large", "weights_small"):
        stages = patient.look_inside(patient.parameters, x[:_EXAMPLES]) or []
        more = _histograms({f"before the {stage.kind} of {stage.name}": stage.z for stage in stages[:4]})
        kinds = {stage.kind for stage in stages[:4]}
        if more and len(kinds) == 1 and kinds <= set(_STEEP):
            more = {**more, "steep": _STEEP[kinds.pop()]}
    elif finding.cause in ("inputs_unscaled", "inputs_scaled_apart"):
        sets = {"training inputs": x}
        if patient.validation is not None:
            sets["validation inputs"] = patient.validation[0]
        more = _histograms(sets)
    return dataclasses.replace(finding, evidence={**finding.evidence, **more}) if more else finding


def _bends(patient: Patient, *, places: bool) -> dict[str, Any]:
    """Of the layer of ReLUs of which fewest bend inside the data: how often they are active, and where they bend."""
    x, t = patient.data[0][:_EXAMPLES], patient.data[1][:_EXAMPLES]
    stages = patient.look_inside(patient.parameters, x) or []
    relus = [stage for stage in stages if stage.is_relu]
    if not relus:
        return {}
    stage = min(relus, key=_bending)
    found: dict[str, Any] = {"active_shares": np.mean(stage.z > 0.0, axis=0)[:_UNITS].tolist()}
    if places and stage is stages[0] and x.size == len(x) == len(stage.z):
        found |= _hinges(x.reshape(-1).astype(float), t, stage.z.astype(float))
    return found


def _bending(stage: Stage) -> float:
    active = np.mean(stage.z > 0.0, axis=0)
    return float(np.mean((active > 0.0) & (active < 1.0)))


def _hinges(x: HostArray, t: HostArray, z: HostArray) -> dict[str, Any]:
    """Where z = slope x + offset is zero, from its values at two examples."""
    low, high = int(np.argmin(x)), int(np.argmax(x))
    rise = z[high] - z[low]
    bends = np.abs(rise) > 1e-12 * np.abs(z).max()
    if x[high] == x[low] or not bends.any():
        return {}
    at = x[low] - z[low, bends] * (x[high] - x[low]) / rise[bends]
    rows = np.argsort(x)[:: max(1, len(x) // _POINTS)]
    found = {"at": np.sort(at)[:_UNITS].tolist(), "inputs": x[rows].tolist()}
    if t.size == len(t) == len(x):
        found["targets"] = t.reshape(-1)[rows].astype(float).tolist()
    return {"hinges": found}


def _histograms(values: Mapping[str, HostArray]) -> dict[str, Any]:
    """Counts over the same bins."""
    finite = {name: each[np.isfinite(each)].astype(float) for name, each in values.items()}
    finite = {name: each for name, each in finite.items() if each.size}
    if not finite:
        return {}
    low, high = min(each.min() for each in finite.values()), max(each.max() for each in finite.values())
    edges = np.linspace(low, high if high > low else low + 1.0, 31)
    counts = {name: np.histogram(each, edges)[0].tolist() for name, each in finite.items()}
    return {"histograms": {name: {"counts": each, "edges": edges.tolist()} for name, each in counts.items()}}
