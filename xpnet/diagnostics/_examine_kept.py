"""Gradients that are kept from earlier calls, or made of what was kept."""

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._examine_initialization import redrawn
from xpnet.diagnostics._patient import Parameters, Patient, PatientError
from xpnet.diagnostics._suspicion import Suspicion

_WEIGHT = 0.94
_SAME = 1e-6


def examine_kept(patient: Patient, size: int) -> list[Suspicion]:
    """Whether gradients are those of an earlier batch, as a whole or in part.

    Parameters
    ----------
    size : of the batches.
    """
    patient.reset()
    first = patient.gradients(patient.parameters, *batch_of(patient, 0, size))
    later = [patient.gradients(redrawn(patient, 0.5 * k), *batch_of(patient, k, size)) for k in (1, 2)]
    names = [
        name
        for name, slope in first.items()
        if slope.size > 2 and np.any(slope) and all(_same(each, name, slope) for each in later)
    ]
    if names:
        how = f"the gradients of {', '.join(names)} stay those of the first batch, for other examples and parameters"
        return [_stale(names, f"{how}: they are kept, and not computed anew")]
    names = _after_another(patient, size)
    if not names:
        return []
    how = f"the gradients of {', '.join(names)} are others if those of another batch are computed before"
    return [_stale(names, f"{how}: something of the earlier batch is kept, and used again")]


def _stale(names: list[str], sentence: str) -> Suspicion:
    return Suspicion("gradient_stale", sentence, _WEIGHT, {"parameters": names}, certain=True)


def _same(gradients: Parameters, name: str, slope: HostArray) -> bool:
    return name in gradients and np.array_equal(gradients[name], slope)


def _after_another(patient: Patient, size: int) -> list[str]:
    """Whose gradients depend on the batch before, by batches of a size that is new to the program, if it takes one."""
    if "gradients" in patient.random_calls or "forward" in patient.random_calls:
        return []
    size = size - 1 if size > 4 and _takes(patient, size - 1) else size
    parameters, here, before = patient.parameters, batch_of(patient, 3, size), batch_of(patient, 4, size)
    patient.reset()
    alone = patient.gradients(parameters, *here)
    patient.reset()
    patient.gradients(parameters, *before)
    behind = patient.gradients(parameters, *here)
    patient.reset()
    return [
        name
        for name in alone
        if name in behind and np.all(np.isfinite(alone[name])) and not _close(alone[name], behind[name])
    ]


def _takes(patient: Patient, size: int) -> bool:
    try:
        patient.gradients(patient.parameters, *batch_of(patient, 3, size))
    except PatientError:
        return False
    return True


def _close(a: HostArray, b: HostArray) -> bool:
    return a.shape == b.shape and float(np.abs(a - b).max(initial=0.0)) <= _SAME * float(np.abs(a).max(initial=0.0))


def batch_of(patient: Patient, start: int, size: int) -> tuple[HostArray, HostArray]:
    """Examples drawn at random, by a number."""
    x, t = patient.data
    rows = np.random.default_rng(start).permutation(len(x))[:size]
    return x[rows], t[rows]
