"""Whether contenders compute the same, so that their times may be compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.passes import Passes


class Tolerances(NamedTuple):
    """What rounding may change, as parts of the largest logit, of the loss, and of its change by a step."""

    logits: float
    loss: float
    change: float


TOLERANCES = {"float32": Tolerances(1e-3, 1e-4, 2e-2), "tf32": Tolerances(3e-2, 1e-2, 2e-1)}
"""By the precision of products. In float32, Winograd's convolution is the coarsest; TF32 rounds to ten bits."""


@dataclass(frozen=True)
class Outputs:
    """What a contender computes from the initial weights; None for a pass that it has not.

    The losses are that of the backward pass alone, and those before the first, the second and the third step.
    """

    logits: NDArray[Any] | None
    losses: tuple[float | None, ...]


class Mismatch(Exception):
    """Two contenders do not compute the same."""


def outputs_of(contender: Passes) -> Outputs:
    """Runs each pass of a contender that has just been built."""

    def result(name: str) -> NDArray[Any] | None:
        run = contender.run.get(name)
        return None if run is None else np.asarray(contender.to_host(run()))

    logits = result("forward")
    losses = [result(name) for name in ("backward", "step", "step", "step")]
    return Outputs(logits, tuple(None if loss is None else float(loss) for loss in losses))


def check_outputs(network: str, outputs: Mapping[str, Outputs], precision: str = "float32") -> None:
    """Compares everyone's outputs with those of the first.

    Raises
    ------
    Mismatch : it names the contender, what differs and by how much.
    """
    if not outputs:
        return
    first, expected = next(iter(outputs.items()))
    for title, found in outputs.items():
        difference = _difference(expected, found, TOLERANCES[precision])
        if difference:
            raise Mismatch(f"{network}: {title} and {first} do not compute the same: {difference}")


def outliers(outputs: Mapping[str, Outputs], precision: str = "float32") -> dict[str, str]:
    """Those that differ from the one with which most agree (the first of such), and how."""
    allowed = TOLERANCES[precision]

    def agreeing(title: str) -> int:
        return sum(_difference(outputs[title], found, allowed) is None for found in outputs.values())

    if not outputs:
        return {}
    middle = max(outputs, key=agreeing)
    found = {title: _difference(outputs[middle], theirs, allowed) for title, theirs in outputs.items()}
    return {title: f"compared with {middle}, {difference}" for title, difference in found.items() if difference}


def _difference(expected: Outputs, found: Outputs, allowed: Tolerances) -> str | None:
    """The first of what is compared that differs too much."""
    for what, difference, most in _differences(expected, found, allowed):
        if not difference <= most:
            return f"{what} differs by {difference:.2g}, allowed is {most:.2g}"
    return None


def _differences(expected: Outputs, found: Outputs, allowed: Tolerances) -> list[tuple[str, float, float]]:
    """What is compared, the relative difference, and what is allowed."""
    differences: list[tuple[str, float, float]] = []
    if expected.logits is not None and found.logits is not None:
        one, other = _log_softmax(expected.logits), _log_softmax(found.logits)
        same_shape = one.shape == other.shape
        largest = float(np.abs(one - other).max() / np.abs(one).max()) if same_shape else np.inf
        differences.append(("the forward pass", largest, allowed.logits))
    names = ("the loss of the backward pass", "the loss before a step")
    for name, ours, theirs in zip(names, expected.losses, found.losses, strict=False):
        if ours is not None and theirs is not None:
            differences.append((name, abs(ours - theirs) / abs(ours), allowed.loss))
    first = expected.losses[1]
    for name, ours, theirs in zip(("a step", "two steps"), expected.losses[2:], found.losses[2:], strict=True):
        if first is not None and ours is not None and theirs is not None:
            change = abs(ours - theirs) / abs(ours - first)
            differences.append((f"the change of the loss by {name}", change, allowed.change))
    return differences


def _log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Logits and log-probabilities in one form."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
