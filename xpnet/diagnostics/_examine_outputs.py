"""Outputs: what they can reach, what they sum to, and whether they follow the inputs."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._examine_data import classes, is_labels
from xpnet.diagnostics._patient import Parameters, Patient
from xpnet.diagnostics._suspicion import Suspicion


def examine_outputs(patient: Patient, y: HostArray) -> list[Suspicion]:
    """What the outputs at the start, and of many other parameters, give away."""
    return [*_softmax(patient, y), *_range(patient, y), *_constant(patient, y)]


def baseline(patient: Patient, y: HostArray) -> float:
    """The loss of the best outputs that are the same for all examples; infinite where it cannot be told."""
    t = patient.data[1]
    guesses = []
    if is_labels(t, y):
        counts = np.bincount(classes(t), minlength=y.shape[1]) + 0.5
        share = (counts / counts.sum()).astype(y.dtype)
        guesses = [np.log(share), share] if not _sums_to_one(y, 1) else [share]
    elif t.size == y.size:
        guesses = [t.reshape(y.shape).mean(axis=0).astype(y.dtype)]
    losses = [patient.loss_of(np.broadcast_to(guess, y.shape), t) for guess in guesses]
    return min((loss for loss in losses if np.isfinite(loss)), default=float("inf"))


def _sums_to_one(y: HostArray, axis: int) -> bool:
    return bool(y.ndim == 2 and np.all(y >= 0.0) and np.allclose(y.sum(axis=axis), 1.0, atol=1e-4))


def _softmax(patient: Patient, y: HostArray) -> list[Suspicion]:
    found = []
    for what, shares in _shares(y):
        over = _summed_over(patient, shares, what) if min(shares.shape) > 1 and not _sums_to_one(shares, 1) else ""
        if over:
            found.append(
                Suspicion(
                    "softmax_axis",
                    f"{over}, and rows do not: softmax is taken over the batch",
                    0.97,
                    {"rows_sum_to": [float(shares.sum(axis=1).min()), float(shares.sum(axis=1).max())]},
                    certain=True,
                )
            )
            break
    if not np.all(np.isfinite(y)):
        found.append(_overflow(patient, y, patient.parameters))
    return [*found, *_overflow_in_loss(patient, y)]


def _shares(y: HostArray) -> Iterator[tuple[str, HostArray]]:
    """What may be probabilities: the outputs, or what they are logarithms of."""
    if y.ndim == 2 and np.all(np.isfinite(y)):
        yield "the outputs", y
        if np.all(y <= 0.0):
            yield "exp of the outputs", np.exp(y)


def _summed_over(patient: Patient, shares: HostArray, what: str) -> str:
    """What sums to 1 in place of the rows, if anything does; all together only if it stays so with other weights."""
    rows, columns = shares.shape
    if _sums_to_one(shares, 0):
        return f"each of the {columns} columns of {what} sums to 1 over the {rows} examples"
    together = [shares]
    if _sum_to_one(shares):
        random = np.random.default_rng(0)
        drawn = {name: _drawn(random, values, 0.1) for name, values in patient.parameters.items()}
        together = [y for name, y in _shares(patient.forward(drawn, patient.data[0])) if name == what]
    return f"{what} sum to 1 all together" if together and all(map(_sum_to_one, together)) else ""


def _sum_to_one(shares: HostArray) -> bool:
    return bool(np.all(shares >= 0.0) and abs(float(shares.sum()) - 1.0) < 1e-4)


def _overflow_in_loss(patient: Patient, y: HostArray) -> list[Suspicion]:
    """A loss of finite logits that is not finite, and is for smaller ones."""
    t = patient.data[1]
    if not (np.all(np.isfinite(y)) and is_labels(t, y)) or np.isfinite(patient.loss_of(y, t)):
        return []
    if np.abs(y).max() < 50.0 or not np.isfinite(patient.loss_of(1e-3 * y, t)):
        return []
    return [
        Suspicion(
            "softmax_overflow",
            f"the loss is not finite for logits that reach {np.abs(y).max():.3g}, and is for a thousandth of them: "
            "exp overflows, or gives a zero of which the logarithm is taken",
            0.95,
            {"largest": float(np.abs(y).max())},
            certain=True,
        )
    ]


def overflow_later(patient: Patient, parameters: Parameters) -> list[Suspicion]:
    """Whether outputs stopped being finite while the parameters still were."""
    y = patient.forward(parameters, patient.data[0])
    if np.all(np.isfinite(y)):
        return [dataclasses.replace(found, weight=0.7) for found in _overflow_in_loss(patient, y)]
    found = _overflow(patient, y, parameters)
    return [dataclasses.replace(found, weight=0.7)] if found.cause == "softmax_overflow" else []


def _overflow(patient: Patient, y: HostArray, parameters: Parameters) -> Suspicion:
    """Outputs that are not finite, and are with smaller weights: exp of something large."""
    small = {name: 1e-3 * values if values.dtype.kind == "f" else values for name, values in parameters.items()}
    tame = patient.forward(small, patient.data[0])
    share = 100.0 * float(np.mean(~np.isfinite(y)))
    if np.all(np.isfinite(tame)) and (_sums_to_one(tame, 1) or _sums_to_one(np.exp(np.minimum(tame, 9.0)), 1)):
        return Suspicion(
            "softmax_overflow",
            f"{share:.0f} % of the outputs are not finite, and with weights a thousand times smaller all are and rows "
            "sum to 1: exp overflows for large logits",
            0.95,
            {"share_not_finite": share / 100.0},
            certain=True,
        )
    return Suspicion("weights_large", f"{share:.0f} % of the outputs are not finite at the start", 0.9, certain=True)


def _range(patient: Patient, y: HostArray) -> list[Suspicion]:
    """Whether some targets lie where no parameters bring the outputs."""
    t = patient.data[1]
    if t.size != y.size or is_labels(t, y) or not np.all(np.isfinite(y)):
        return []
    t = t.reshape(y.shape).astype(float)
    low, high = _reach(patient)
    width = float(t.max() - t.min())
    below, above = t < low - 0.02 * width, t > high + 0.02 * width
    share = float(np.mean(below | above))
    if share < 0.02:
        return []
    return [
        Suspicion(
            "output_range",
            f"outputs stay between {low:.3g} and {high:.3g} whatever the weights, and {100 * share:.0f} % of the "
            f"targets, which go from {t.min():.3g} to {t.max():.3g}, lie outside",
            0.96,
            {"reach": [low, high], "targets": [float(t.min()), float(t.max())], "share_outside": share},
            certain=True,
        )
    ]


def _reach(patient: Patient) -> tuple[float, float]:
    """The lowest and highest outputs over many parameters, which the last activation bounds or nothing does."""
    random = np.random.default_rng(0)
    x = patient.data[0][:64]
    low, high = np.inf, -np.inf
    for size in (1.0, 10.0, 100.0, 1000.0):
        for _ in range(4):
            drawn = {name: _drawn(random, values, size) for name, values in patient.parameters.items()}
            y = patient.forward(drawn, x)
            y = y[np.isfinite(y)]
            if y.size:
                low, high = min(low, float(y.min())), max(high, float(y.max()))
    return low, high


def _drawn(random: np.random.Generator, values: HostArray, size: float) -> HostArray:
    if values.dtype.kind != "f":
        return values
    return np.asarray(size * random.standard_normal(values.shape), values.dtype)


def _constant(patient: Patient, y: HostArray) -> list[Suspicion]:
    if len(y) < 2 or not np.all(np.isfinite(y)) or np.ptp(y, axis=0).max() > 1e-9 * (np.abs(y).max() + 1e-30):
        return []
    if _depends(patient):
        return []
    return [
        Suspicion(
            "output_constant",
            "outputs are the same for all inputs, also with other weights: the inputs are not used",
            0.95,
            certain=True,
        )
    ]


def _depends(patient: Patient) -> bool:
    """Whether, with weights drawn at random, outputs of different inputs differ."""
    random = np.random.default_rng(1)
    for size in (0.5, 1e-2, 1e-4, 1e-6):  # of large inputs, large weights make units that are all saturated
        drawn: Parameters = {name: _drawn(random, values, size) for name, values in patient.parameters.items()}
        y = patient.forward(drawn, patient.data[0])
        if not np.all(np.isfinite(y)) or np.ptp(y, axis=0).max() > 1e-9 * (np.abs(y).max() + 1e-30):
            return True
    return False
