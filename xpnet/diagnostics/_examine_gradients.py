"""Gradients: those that the network gives, or those that its step follows, against differences of the loss."""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._check_gradients import check_gradients
from xpnet.diagnostics._examine_data import standardize
from xpnet.diagnostics._examine_examples import told_by_examples
from xpnet.diagnostics._examine_initialization import redrawn
from xpnet.diagnostics._examine_kept import batch_of, examine_kept
from xpnet.diagnostics._examine_signs import examine_signs
from xpnet.diagnostics._patient import Parameters, Patient, PatientError
from xpnet.diagnostics._report import Finding, Report
from xpnet.diagnostics._suspicion import Suspicion

Gradients: TypeAlias = Callable[[Parameters, HostArray, HostArray], Parameters]

_EXAMPLES = 24
"""Examples that gradients are checked on; an odd batch size shows factors."""
_WEIGHT = 0.94
_VAGUE = {"gradient_wrong", "gradient_scale"}
_REPEATS = 60
_NEAR_ONE = 0.01
_ALONG = 0.3
"""A step whose cosine with the gradient is above this goes uphill; one along its elements' signs has 0.5 to 0.9."""
_PLACES = 300
"""Elements of a parameter that differences are taken of."""


def examine_gradients(patient: Patient) -> tuple[list[Suspicion], list[str]]:
    """What is wrong with the gradients, and what could not be checked."""
    if "forward" in patient.random_calls or "gradients" in patient.random_calls:
        return [], ["gradients: forward or gradients draw at random"]
    size = _EXAMPLES if patient.check is not None else patient.batch_size(min(_EXAMPLES, len(patient.data[0])))
    x, t = batch_of(patient, 0, size)
    if patient.check is not None:
        report = patient.check(x, t)
        return _suspicions(report), list(report.unchecked)
    if patient.call_gradients is not None:
        stale = examine_kept(patient, len(x))
        if stale:
            return stale, []
        report = _checked(patient, lambda p: patient.gradients(p, x, t), x, t)
        found = [_more_of(patient, each) for each in _confirmed(patient, report, patient.gradients, x, t)]
        found += [*_against(patient, x, t), *_left_out(patient, x, t)]
        return found, list(report.unchecked)
    if patient.call_step is None:
        return [], ["gradients: neither gradients nor a step was given"]
    rate = _rate(patient, x, t)
    upwards = _upwards(patient, x, t) if rate is None else []
    if upwards:
        return [_uphill(upwards)], []
    if rate is None:
        signs = examine_signs(patient, x, t)
        if signs is not None:
            return signs, ["gradients: only the step's directions were compared; give gradients= to have them checked"]
        return [], ["gradients: the step is no plain gradient descent; give gradients= to have them checked"]

    def followed(parameters: Parameters, x: HostArray, t: HostArray) -> Parameters:
        """What a step at these parameters goes against."""
        patient.reset()
        new = patient.step(parameters, x, t)
        return {name: (values - new[name]) / rate for name, values in parameters.items() if values.dtype.kind == "f"}

    report = _checked(patient, lambda p: followed(p, x, t), x, t)
    return _confirmed(patient, report, followed, x, t), list(report.unchecked)


def _confirmed(patient: Patient, report: Report, gradients: Gradients, x: HostArray, t: HostArray) -> list[Suspicion]:
    """What is wrong in no known way has to be so with other weights too: a loss is flat where it is clipped."""
    causes = {finding.cause for finding in report.findings}
    if not causes & _VAGUE:
        return _suspicions(report)
    rows = x.reshape(len(x), -1)
    tame = standardize(rows.mean(axis=0), rows.std(axis=0) + 1e-6)(x)
    again = _checked(patient, lambda p: gradients(p, tame, t), tame, t, redrawn(patient, 0.5))
    return _suspicions(report if causes - _VAGUE and not again.healthy else again)


def _more_of(patient: Patient, found: Suspicion) -> Suspicion:
    """A wrong gradient that no known mistake gives, with what single examples tell."""
    return (told_by_examples(patient, found) if found.cause == "gradient_wrong" else None) or found


def _against(patient: Patient, x: HostArray, t: HostArray) -> list[Suspicion]:
    """Whether the step goes along the gradients, where they are given, instead of against them."""
    if patient.call_step is None:
        return []
    patient.reset()
    slopes = patient.gradients(patient.parameters, x, t)
    for _ in range(_REPEATS):  # what a step remembers of others, such as momentum, is of this one then
        new = patient.step(patient.parameters, x, t)
    along = [
        name
        for name, slope in slopes.items()
        if name in new
        and slope.shape == new[name].shape
        and np.any(slope)
        and _cosine(new[name] - patient.parameters[name].astype(float), slope) > 0.9
    ]
    along = [name for name in along if not _against_one(patient, name, x[:1], t[:1])]
    return [_uphill(along)] if along else []


def _uphill(along: list[str]) -> Suspicion:
    return Suspicion(
        "gradient_sign",
        f"the step moves {', '.join(along)} along the gradient, where the loss rises, instead of against it",
        _WEIGHT,
        {"along": along},
        remedy="subtract the gradient: w -= rate * dw",
        certain=True,
    )


def _upwards(patient: Patient, x: HostArray, t: HostArray) -> list[str]:
    """Parameters that a step, of a batch and of one example, moves along the gradient, however far."""
    names = [name for name, values in patient.parameters.items() if values.dtype.kind == "f"]
    for rows in (slice(None), slice(0, 1)):
        try:
            patient.reset()
            new = patient.step(patient.parameters, x[rows], t[rows])
        except PatientError:  # it raises, or is made for batches of one size
            continue
        slopes = {name: _numeric(patient, name, x[rows], t[rows]) for name in names if name in new}
        names = [
            name
            for name, (places, slope) in slopes.items()
            if _cosine(_moved(patient, new, name)[places], slope) > _ALONG
        ]
    return names


def _moved(patient: Patient, new: Parameters, name: str) -> HostArray:
    return (new[name].astype(float) - patient.parameters[name]).reshape(-1)


def _left_out(patient: Patient, x: HostArray, t: HostArray) -> list[Suspicion]:
    """Weights and biases that get no gradient, and that the step, if there is one, leaves as they are."""
    given = patient.gradients(patient.parameters, x, t)
    names = [name for name in (patient.inside.names() if patient.inside else ()) if name not in given]
    if names and patient.call_step is not None:
        patient.reset()
        new = patient.step(patient.parameters, x, t)
        names = [name for name in names if np.array_equal(new[name], patient.parameters[name])]
    if not names:
        return []
    return [
        Suspicion(
            "gradient_zero",
            f"no gradient is given for {', '.join(names)}, which outputs depend on: training leaves them as they are",
            _WEIGHT,
            {"parameters": names},
            certain=True,
        )
    ]


def _against_one(patient: Patient, name: str, x: HostArray, t: HostArray) -> bool:
    """Whether, for one example, a step moves a parameter in another direction than along its gradient.

    A step that goes through several batches ends where the last ones bring it; of one example, it has one.
    """
    try:
        patient.reset()
        slope = patient.gradients(patient.parameters, x, t)[name]
        for _ in range(_REPEATS):
            new = patient.step(patient.parameters, x, t)
    except PatientError:  # it is made for batches of one size
        return False
    return bool(np.any(slope)) and _cosine(new[name] - patient.parameters[name].astype(float), slope) <= 0.9


def _checked(
    patient: Patient, gradients: object, x: HostArray, t: HostArray, parameters: Parameters | None = None
) -> Report:
    return check_gradients(
        lambda p: patient.loss(p, x, t),
        patient.copies(parameters),
        gradients,
        forward=patient.forward,
        x=x,
        t=t,
        other=batch_of(patient, 1, len(x)),
    )


def _suspicions(report: Report) -> list[Suspicion]:
    return [_suspicion(finding) for finding in report.findings if not _guards_log(finding)]


def _guards_log(finding: Finding) -> bool:
    """Whether a factor is so near 1 that it comes from an epsilon, as in log(y + 1e-9), and hinders no learning."""
    errors = finding.evidence.get("relative errors", {})
    return finding.cause == "gradient_scale" and max(errors.values(), default=1.0) < _NEAR_ONE


def _suspicion(finding: Finding) -> Suspicion:
    return Suspicion(finding.cause, finding.sentence, _WEIGHT, finding.evidence, finding.remedy, certain=True)


def _rate(patient: Patient, x: HostArray, t: HostArray) -> float | None:
    """The rate of a step that is a plain descent, with one rate for most parameters."""
    rates, names, tell = _rates(patient, x, t)
    if rates and not tell:  # a step along signs is as long for other examples, where gradients are not
        others = _rates(patient, x[::2], t[::2])[0]
        tell = any(abs(others.get(name, 0.0) / rate - 1.0) < 1e-3 for name, rate in rates.items())
    if not rates or not tell:
        return None
    rate = float(np.median(list(rates.values())))
    agree = sum(abs(each / rate - 1.0) < 0.01 for each in rates.values())
    return rate if math.isfinite(rate) and agree * 2 >= names else None


def _rates(patient: Patient, x: HostArray, t: HostArray) -> tuple[dict[str, float], int, bool]:
    """The rates of parameters that move against their gradients, of how many, and whether it is not along signs."""
    rates, names, tell = dict[str, float](), 0, False
    try:
        patient.reset()
        new = patient.step(patient.parameters, x, t)
    except PatientError:
        return rates, names, tell
    for name in (name for name, values in patient.parameters.items() if values.dtype.kind == "f"):
        places, slope = _numeric(patient, name, x, t)
        moved = -_moved(patient, new, name)[places]
        if not slope.any():
            continue
        names += 1
        if _cosine(moved, slope) > 0.9999:
            rates[name] = float((moved * slope).sum() / (slope * slope).sum())
            sizes = np.abs(slope)[np.abs(slope) > 1e-3 * np.abs(slope).max()]
            tell |= bool(np.ptp(sizes) > 0.05 * sizes.max())
    return rates, names, tell


def _cosine(a: HostArray, b: HostArray) -> float:
    return float((a * b).sum() / max(math.sqrt(float((a * a).sum()) * float((b * b).sum())), 1e-300))


def _numeric(patient: Patient, name: str, x: HostArray, t: HostArray) -> tuple[HostArray, HostArray]:
    """Central differences of the loss by each element of a parameter, of large ones only some; with their places."""
    base = {n: v.astype(float) if v.dtype.kind == "f" else v for n, v in patient.copies().items()}
    flat = base[name].reshape(-1)
    places = np.sort(np.random.default_rng(0).permutation(flat.size)[:_PLACES])
    slope = np.zeros(len(places))
    for k, i in enumerate(places):
        kept, h = flat[i], 1e-6 * max(1.0, abs(flat[i]))
        flat[i] = kept + h
        ahead = patient.loss(base, x, t)
        flat[i] = kept - h
        slope[k] = (ahead - patient.loss(base, x, t)) / (2 * h)
        flat[i] = kept
    return places, slope
