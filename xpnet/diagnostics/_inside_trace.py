"""Which mistakes, from the output backwards, give the gradients that a program gives."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._inside import Inside
from xpnet.diagnostics._inside_backward import RIGHT, Mistake, Pass, backward
from xpnet.diagnostics._inside_mistakes import mistakes
from xpnet.diagnostics._simple_mistakes import multiple

_SECONDS = 8.0


@dataclass(frozen=True)
class Traced:
    """What was found on the way back.

    Attributes
    ----------
    mistakes : from the output to the input.
    stuck : the layer, from 0, whose gradients nothing gives; None if all are explained.
    last : the last layer, from 0.
    """

    mistakes: tuple[Mistake, ...]
    stuck: int | None
    last: int = 0


class Tracer:
    """Follows given gradients from the output back to the input.

    Parameters
    ----------
    given : the gradients of the program by parameter, those that are to be explained.
    penalties : what penalties add to the right gradients.
    sizes : numbers of examples and outputs, for the names of factors.
    """

    def __init__(
        self,
        inside: Inside,
        here: Pass,
        other: Pass | None,
        given: Mapping[str, HostArray],
        penalties: Mapping[str, HostArray],
        tolerance: float,
        sizes: Mapping[str, int],
    ) -> None:
        self.inside, self.here, self.other = inside, here, other
        self.given, self.penalties, self.tolerance, self.sizes = given, penalties, tolerance, sizes
        self.all = list(mistakes(inside, here, other))

    def trace(self) -> Traced:
        """One mistake after the other, until all gradients are given."""
        if self.other is not None and max(self.errors(RIGHT, self.other).values(), default=1.0) <= self.tolerance:
            return Traced((Mistake("gradient_stale", "the gradients are those of another batch"),), None)
        found: list[Mistake] = []
        ways: list[list[Mistake]] = []
        deadline = time.monotonic() + _SECONDS
        for k in reversed(range(len(self.inside.layers))):
            if self._explains(_together(found), k):
                continue
            best = self._best(found, k, deadline) or self._unknown_activation(found, k)
            if not best:
                return Traced(_alike(ways), k, len(self.inside.layers) - 1)
            found.append(best[0])
            ways.append(best)
        return Traced(_alike(ways), None, len(self.inside.layers) - 1)

    def _unknown_activation(self, found: Sequence[Mistake], k: int) -> list[Mistake]:
        """Where a bias's gradient is right and its weight's is not, what was multiplied by it was another array."""
        layer, names = self.inside.layers[k], self._names(k)
        if len(names) < 2 or self.errors(_together(found))[names[1]] > self.tolerance:
            return []
        self.given = {name: given for name, given in self.given.items() if name != layer.weight}
        what = f"layer {k}'s activation" if k else "the inputs"
        return [
            Mistake(
                "activation_overwritten",
                f"the gradient of {layer.weight} is not made of {what} as it was in the forward pass, though that of "
                f"{layer.bias} is right",
            )
        ]

    def errors(self, mistake: Mistake, start: Pass | None = None) -> dict[str, float]:
        """How far the mistake's gradients lie from the given ones, relative to the larger, by parameter."""
        with np.errstate(all="ignore"):
            made = backward(self.inside, self.here if start is None else start, mistake)
            return {name: self._error(name, made[name]) for name in made if name in self.given}

    def _error(self, name: str, made: HostArray) -> float:
        given, penalty = self.given[name], self.penalties.get(name)
        ways = [made] if penalty is None or made.shape != penalty.shape else [made + penalty, made]
        return min(_distance(given, way) for way in ways)

    def _names(self, k: int) -> list[str]:
        layer = self.inside.layers[k]
        return [name for name in (layer.weight, layer.bias) if name is not None and name in self.given]

    def _explains(self, mistake: Mistake, k: int) -> bool:
        errors = self.errors(mistake)
        return all(errors[name] <= self.tolerance for name in self._names(k))

    def _best(self, found: Sequence[Mistake], k: int, deadline: float) -> list[Mistake]:
        """Of what gives layer k's gradients, all that gives the layers' below it best."""
        best, least = list[Mistake](), np.inf
        for mistake in (*self._multiples(found, k), *self._updates(found, k), *self.all):
            if time.monotonic() > deadline:
                break
            errors = self.errors(_together([*found, mistake]))
            above = [name for j in range(k, len(self.inside.layers)) for name in self._names(j)]
            if any(errors[name] > self.tolerance for name in above):
                continue
            score = sum(error > self.tolerance for error in errors.values()) + 1e-3 * min(
                max(errors.values(), default=0.0), 1.0
            )
            if score < least - 1e-6:
                best, least = [mistake], score
            elif score <= least + 1e-6:
                best.append(mistake)
        return best

    def _multiples(self, found: Sequence[Mistake], k: int) -> list[Mistake]:
        """The whole gradient by layer k's pre-activation, times a number."""
        made = backward(self.inside, self.here, _together(found))
        name = next(iter(self._names(k)), None)
        if name is None or made[name].shape != self.given[name].shape or not made[name].any():
            return []
        factor = float(np.sum(made[name] * self.given[name]) / np.sum(made[name] ** 2))
        explained = multiple(factor, self.sizes, 1e-3, certain=made[name].size > 2)
        if explained is None or factor == 0.0:
            return []
        exact = float(np.round(factor)) if abs(factor - np.round(factor)) < 1e-5 and np.round(factor) else factor
        sentence = f"from layer {k + 1} back to the inputs, gradients are {explained.text}"
        return [Mistake(explained.cause, sentence, {("delta", k): lambda delta: exact * delta})]

    def _updates(self, found: Sequence[Mistake], k: int) -> list[Mistake]:
        """Weights above layer k that were updated before the gradient went through them."""
        before = _together(found)
        name = self.inside.layers[k].weight
        if name not in self.given or k + 1 == len(self.inside.layers) or before.update:
            return []
        right = backward(self.inside, self.here, before)[name]
        moved = backward(self.inside, self.here, replace(before, update=1e-3))[name] - right
        if right.shape != self.given[name].shape or not moved.any():
            return []
        off = self.given[name] - self.penalties.get(name, 0.0) - right
        rate = 1e-3 * float(np.sum(off * moved) / np.sum(moved * moved))
        above = self.inside.layers[k + 1].weight
        sentence = f"the gradient goes back through {above} after its update (with a rate of {rate:.3g})"
        return [Mistake("gradient_after_update", sentence, {}, rate)] if rate > 0.0 else []


def _alike(ways: Sequence[Sequence[Mistake]]) -> tuple[Mistake, ...]:
    """One mistake of each layer's, of the cause that most layers have in common; the first of equals."""
    causes = [cause for way in ways for cause in {mistake.cause for mistake in way}]
    return tuple(max(way, key=lambda mistake: causes.count(mistake.cause)) for way in ways)


def _together(found: Sequence[Mistake]) -> Mistake:
    """All mistakes in one program."""
    swaps = {place: swap for mistake in found for place, swap in mistake.swaps.items()}
    return Mistake("gradient_wrong", "", swaps, max((mistake.update for mistake in found), default=0.0))


def _distance(given: HostArray, made: HostArray) -> float:
    if given.shape != made.shape:
        return np.inf
    size = max(float(np.linalg.norm(given)), float(np.linalg.norm(made)))
    return float(np.linalg.norm(given - made)) / size if size > 0.0 else 0.0
