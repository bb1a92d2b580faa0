"""Whether contenders compute the same, so that their times may be compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.passes import Passes

LOGITS_TOLERANCE, LOSS_TOLERANCE, CHANGE_TOLERANCE = 1e-3, 1e-4, 2e-2
"""What float32 and Winograd's convolution allow, as parts of the largest logit, the loss and its change by a step."""


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


def check_outputs(network: str, outputs: Mapping[str, Outputs]) -> None:
    """Compares everyone's outputs with those of the first.

    Raises
    ------
    Mismatch : it names the contender, what differs and by how much.
    """
    if not outputs:
        return
    first, expected = next(iter(outputs.items()))
    for title, found in outputs.items():
        for what, difference, allowed in _differences(expected, found):
            if not difference <= allowed:
                raise Mismatch(
                    f"{network}: {title} and {first} do not compute the same: {what} differs by {difference:.2g}, "
                    f"allowed is {allowed:.2g}"
                )


def _differences(expected: Outputs, found: Outputs) -> list[tuple[str, float, float]]:
    """What is compared, the relative difference, and what is allowed."""
    differences: list[tuple[str, float, float]] = []
    if expected.logits is not None and found.logits is not None:
        one, other = _log_softmax(expected.logits), _log_softmax(found.logits)
        same_shape = one.shape == other.shape
        largest = float(np.abs(one - other).max() / np.abs(one).max()) if same_shape else np.inf
        differences.append(("the forward pass", largest, LOGITS_TOLERANCE))
    names = ("the loss of the backward pass", "the loss before a step")
    for name, ours, theirs in zip(names, expected.losses, found.losses, strict=False):
        if ours is not None and theirs is not None:
            differences.append((name, abs(ours - theirs) / abs(ours), LOSS_TOLERANCE))
    first = expected.losses[1]
    for name, ours, theirs in zip(("a step", "two steps"), expected.losses[2:], found.losses[2:], strict=True):
        if first is not None and ours is not None and theirs is not None:
            change = abs(ours - theirs) / abs(ours - first)
            differences.append((f"the change of the loss by {name}", change, CHANGE_TOLERANCE))
    return differences


def _log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Logits and log-probabilities in one form."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
