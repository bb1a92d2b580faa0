"""Steps of adaptive optimizers, of which only the direction of each element is known: whether it is downhill.

From its start, Adam, RMSprop and AdaGrad move each element by the rate against the sign of its gradient. That does not
show the gradient's size, but most mistakes change signs, too.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._examine_initialization import redrawn
from xpnet.diagnostics._inside import Inside
from xpnet.diagnostics._inside_backward import Mistake, Pass, backward
from xpnet.diagnostics._inside_mistakes import mistakes
from xpnet.diagnostics._known_losses import known_loss, target_rows
from xpnet.diagnostics._patient import Parameters, Patient, PatientError
from xpnet.diagnostics._suspicion import Suspicion

_SAME = 0.02
"""Elements move equally far if their moves differ by this share."""
_SEEN = 1e-3
"""Gradients below this share of a parameter's largest do not tell a sign."""
_WEIGHT = 0.94
_AGREE = 0.98
_DIFFER = 0.95
"""Directions with fewer right signs are wrong."""


def examine_signs(patient: Patient, x: HostArray, t: HostArray) -> list[Suspicion] | None:
    """What is wrong with the directions of a step; None where it follows no signs, or the network is not known."""
    inside = patient.inside
    if inside is None:
        return None
    for parameters in (patient.parameters, redrawn(patient, 3.0)):  # large weights tell z from tanh(z)
        patient.reset()
        try:
            new = patient.step(parameters, x, t)
        except PatientError:
            return None
        moves = {name: parameters[name].astype(float) - new[name] for name in inside.names()}
        start = start_of(patient, parameters, x, t)
        if start is None or not _along_signs(moves):
            return None if parameters is patient.parameters else []
        right = _agreement(backward(inside, start), moves)
        if min(right.values()) < _DIFFER:
            return [_told(inside, start, moves, right)]
    return []


def _told(inside: Inside, start: Pass, moves: Parameters, right: Mapping[str, float]) -> Suspicion:
    """Which mistake gives these directions."""
    wrong = [name for name, share in right.items() if share < _DIFFER]
    still = [name for name in wrong if not moves[name].any()]
    if still:
        return Suspicion(
            "gradient_zero",
            f"a step leaves {', '.join(still)} as they are, and the loss does depend on them",
            _WEIGHT,
            {"parameters": still},
            certain=True,
        )
    every = list(mistakes(inside, start))
    found = next((each for each in (*every, *_in_all_layers(every)) if _explains(each, inside, start, moves)), None)
    how = "" if found is None else f": {found.sentence}"
    names = ", ".join(f"{name} ({100 * right[name]:.0f} %)" for name in wrong)
    return Suspicion(
        "gradient_wrong" if found is None else found.cause,
        f"a step along the signs of the gradients goes in the right direction in too few elements of {names}{how}",
        _WEIGHT,
        {"right_signs": dict(right)},
        certain=True,
    )


def _in_all_layers(mistakes_of_one: Sequence[Mistake]) -> Iterator[Mistake]:
    """The same mistake in each layer in which it can be made."""
    groups: dict[str, list[Mistake]] = {}
    for mistake in mistakes_of_one:
        groups.setdefault(re.sub(r"\d+", "", mistake.sentence), []).append(mistake)
    for group in groups.values():
        if len(group) > 1:
            swaps = {place: swap for mistake in group for place, swap in mistake.swaps.items()}
            yield Mistake(group[0].cause, "; ".join(mistake.sentence for mistake in group), swaps)


def _along_signs(moves: Parameters) -> bool:
    """Whether nearly all elements that move do so equally far."""
    sizes = np.concatenate([np.abs(move).reshape(-1) for move in moves.values()])
    sizes = sizes[sizes > 0.0]
    return bool(sizes.size) and float(np.mean(np.abs(sizes / np.median(sizes) - 1.0) < _SAME)) > 0.8


def _agreement(gradients: Mapping[str, HostArray], moves: Parameters) -> dict[str, float]:
    """The share of elements, by parameter, that move against the sign of these gradients."""
    found = {}
    for name, move in moves.items():
        gradient = np.asarray(gradients[name])
        if gradient.size != move.size:
            found[name] = 0.0
            continue
        gradient, move = gradient.reshape(-1), move.reshape(-1)
        seen = np.abs(gradient) > _SEEN * np.abs(gradient).max(initial=0.0)
        found[name] = float(np.mean(np.sign(gradient[seen]) == np.sign(move[seen]))) if seen.any() else 1.0
    return found


def _explains(mistake: Mistake, inside: Inside, start: Pass, moves: Parameters) -> bool:
    with np.errstate(all="ignore"):
        made = backward(inside, start, mistake)
    return min(_agreement(made, moves).values()) >= _AGREE


def start_of(patient: Patient, parameters: Parameters, x: HostArray, t: HostArray) -> Pass | None:
    """A batch run forwards, with the gradient of the loss by the outputs, if the loss is a known one."""
    inside = patient.inside
    assert inside is not None
    at = {name: values.astype(float) for name, values in parameters.items() if values.dtype.kind == "f"}
    z, h = inside.run(at, x)
    targets = target_rows(t, h[-1].shape, inside.examples_last)
    if targets is None:
        return None
    known = known_loss(lambda p: patient.loss(dict(p), x, t), inside, at, x, targets, coarse=False)
    return None if known is None else Pass(at, inside.inputs(x), z, h, known.dy(h[-1], targets), targets)
