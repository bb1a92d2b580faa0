"""Initialization: equal units, scales, saturation, dead units, and where each ReLU bends relative to the data."""

from collections.abc import Iterator

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._examine_data import standardized
from xpnet.diagnostics._examine_symmetry import equal_units, is_bias
from xpnet.diagnostics._patient import Parameters, Patient, Stage
from xpnet.diagnostics._suspicion import Attempt, Suspicion

_FEW = 0.1
"""A layer of which at most this share of the units bends inside the data is nearly linear there."""
_EDGE = 0.02
"""A unit bends inside the data where at least this share of the examples lies on either side."""


def examine_initialization(patient: Patient) -> list[Suspicion]:
    """What the parameters at the start give away."""
    found = list(equal_units(patient, _drawn_anew(patient)))
    stages = patient.look_inside(patient.parameters, patient.data[0])
    if stages is None:
        return [*found, *_scales_without_stages(patient)]
    return [*found, *_hinges(patient, stages), *_scales(patient, stages)]


def _hinges(patient: Patient, stages: list[Stage]) -> Iterator[Suspicion]:
    bends = [_bends_inside(stage) for stage in stages]
    for stage, inside in zip(stages, bends, strict=True):
        if not stage.is_relu:
            continue
        active = np.mean(stage.z > 0.0, axis=0)
        dead, units = float(np.mean(active <= _EDGE)), stage.z.shape[1]
        if inside > _FEW:
            continue
        outside = round(units * (1.0 - inside))
        evidence = {"units": units, "bend_inside_the_data": float(inside), "never_active": dead}
        if dead > 0.9 and stage.kind == "relu":  # a leaky one still gets a gradient
            yield Suspicion(
                "dead_relus",
                f"{round(dead * units)} of the {units} units of {stage.name} are zero for all examples and get no "
                "gradient",
                0.8,
                evidence,
                certain=dead == 1.0,
                strong=dead > 0.99,
                tried=_with_hinges(patient, first=stage is stages[0]),
            )
        elif max(bends) <= _FEW:  # no other layer bends either
            low, high = float(patient.data[0].min()), float(patient.data[0].max())
            yield Suspicion(
                "hinges_outside_data",
                f"{outside} of {units} ReLU hinges of {stage.name} lie at the edge of the data or outside (inputs go "
                f"from {low:.3g} to {high:.3g}): the network starts as a straight line",
                0.8,
                evidence,
                remedy="centre the inputs (x - mean) / deviation, or spread the biases so that units bend within "
                "the data",
                strong=inside < 0.01,
                tried=_with_hinges(patient, first=stage is stages[0]),
            )
        return


def _bends_inside(stage: Stage) -> float:
    """The share of a layer's units that bend inside the data; those that are smooth bend everywhere."""
    if not stage.is_relu:
        return 0.0 if stage.kind == "identity" else 1.0
    active = np.mean(stage.z > 0.0, axis=0)
    return float(np.mean((active > _EDGE) & (active < 1.0 - _EDGE)))


def _scales(patient: Patient, stages: list[Stage]) -> Iterator[Suspicion]:
    """Units that are saturated, and signals that fade or grow."""
    sizes = [float(np.sqrt(np.mean(stage.z**2))) for stage in stages]
    saturating = [stage for stage in stages if stage.kind in ("sigmoid", "tanh")]
    flat = [float(np.mean(np.abs(stage.z) > (5.0 if stage.kind == "sigmoid" else 2.5))) for stage in saturating]
    if flat and max(flat) > 0.5:
        stage = saturating[int(np.argmax(flat))]
        yield Suspicion(
            "weights_large",
            f"{100 * max(flat):.0f} % of the values before the {stage.kind} of {stage.name} lie where it is flat, so "
            "hardly any gradient passes",
            0.75,
            {"share_saturated": max(flat), "root_mean_squares": sizes},
            strong=max(flat) > 0.75,
            tried=[_drawn_anew(patient), _smaller(patient, stages)],
        )
    elif sizes and max(sizes) > 20.0:
        yield Suspicion(
            "weights_large",
            f"values before the activations reach a root mean square of {max(sizes):.3g}",
            0.75,
            {"root_mean_squares": sizes},
            tried=[_drawn_anew(patient)],
        )
    if sizes and min(sizes) < 0.1:
        fading = stages[int(np.argmin(sizes))]
        yield Suspicion(
            "weights_small",
            f"values before the activation of {fading.name} have a root mean square of {min(sizes):.2g}: signals fade, "
            "and gradients with them",
            0.75,
            {"root_mean_squares": sizes},
            strong=min(sizes) < 0.01,
            tried=[_drawn_anew(patient)],
        )


def _scales_without_stages(patient: Patient) -> Iterator[Suspicion]:
    """By the weights alone, against Xavier's deviation, where the inside cannot be seen."""
    ratios = {
        name: float(values.std() / np.sqrt(2.0 / sum(_fans(values))))
        for name, values in patient.parameters.items()
        if values.ndim >= 2 and values.dtype.kind == "f"
    }
    if not ratios:
        return
    low, high = min(ratios, key=lambda n: ratios[n]), max(ratios, key=lambda n: ratios[n])
    for name, cause, wrong in ((high, "weights_large", ratios[high] > 8.0), (low, "weights_small", ratios[low] < 0.1)):
        if wrong:
            yield Suspicion(
                cause,
                f"the weights {name} deviate {ratios[name]:.2g} times as much as Xavier's",
                0.7,
                {"deviation_over_xavier": ratios},
                tried=[_drawn_anew(patient)],
            )


def redrawn(patient: Patient, scale: float) -> Parameters:
    """The parameters with all weights drawn anew, by Xavier's or He's deviation, and biases of zero."""
    random = np.random.default_rng(0)
    stages = patient.look_inside(patient.parameters, patient.data[0][:8]) or []
    relus = {stage.weight for stage in stages if stage.is_relu}
    drawn = patient.copies()
    for name, values in drawn.items():
        if values.dtype.kind != "f":
            continue
        if (
            values.ndim >= 2
            and min(_fans(values)) > 0
            and not (values.ndim == 2 and 1 in values.shape and is_bias(patient, name))
        ):
            inputs, outputs = _fans(values)
            deviation = np.sqrt(2.0 / inputs) if name in relus else np.sqrt(2.0 / (inputs + outputs))
            drawn[name] = (scale * deviation * random.standard_normal(values.shape)).astype(values.dtype)
        elif is_bias(patient, name):
            drawn[name] = np.zeros_like(values)
    return drawn


def _drawn_anew(patient: Patient) -> Attempt:
    return Attempt("weights drawn anew", lambda trials, scale: trials.run(redrawn(patient, 1.0), scale=scale))


def _smaller(patient: Patient, stages: list[Stage]) -> Attempt:
    """A run with weights divided, layer by layer, by the size of what they give."""
    smaller = patient.copies()
    for stage in stages:
        size = max(1.0, float(np.sqrt(np.mean(stage.z**2))))
        for name in (stage.weight, stage.bias):
            if name in smaller:
                smaller[name] = np.asarray(smaller[name] / size, smaller[name].dtype)
    return Attempt("smaller weights", lambda trials, scale: trials.run(smaller, scale=scale))


def _with_hinges(patient: Patient, *, first: bool) -> list[Attempt]:
    """Centred inputs, where the units are those of the first layer; hinges within the data; weights drawn anew, too."""
    rows = patient.data[0].reshape(len(patient.data[0]), -1)
    spread = rows.std(axis=0)
    centred = standardized(patient, "centred inputs", rows.mean(axis=0), np.where(spread > 0.0, spread, 1.0))
    return [
        *([centred] if first else []),
        Attempt(
            "biases spread over the data",
            lambda trials, scale: trials.run(spread_hinges(patient, patient.parameters), scale=scale),
        ),
        Attempt(
            "weights drawn anew and biases spread over the data",
            lambda trials, scale: trials.run(spread_hinges(patient, redrawn(patient, 1.0)), scale=scale),
        ),
    ]


def spread_hinges(patient: Patient, start: Parameters) -> Parameters:
    """These parameters with biases such that each ReLU bends at some example."""
    random = np.random.default_rng(0)
    x, parameters = patient.data[0], patient.copies(start)
    stages = patient.look_inside(parameters, x) or []
    for i, stage in enumerate(stages):
        if not stage.is_relu or stage.bias is None:
            continue
        z = (patient.look_inside(parameters, x) or stages)[i].z
        bias = parameters[stage.bias]
        at = z[random.integers(0, len(z), z.shape[1]), np.arange(z.shape[1])]
        parameters[stage.bias] = (bias - at.reshape(bias.shape)).astype(bias.dtype)
    return parameters


def _fans(values: HostArray) -> tuple[int, int]:
    *kernel, inputs, outputs = values.shape
    taps = int(np.prod(kernel)) if kernel else 1
    return taps * inputs, taps * outputs
