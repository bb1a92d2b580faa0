"""Slopes of a function by differences of its values, and whether a gradient agrees with them.

(L(p + h v) - L(p - h v)) / 2h = g · v    for a parameter p, its gradient g, and a direction v
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from xpnet.backend import Generator, HostArray
from xpnet.diagnostics._trial import Values

_STEPS = (1e-5, 1e-6, 1e-4, 1e-7, 1e-3, 1e-2, 1e-1)
_COARSE_STEPS = (3e-3, 1e-2, 1e-3, 3e-2, 1e-1)
_TINY = 1e-36
"""Slopes below this are zero in float32."""
_SINGLE_NOISE = 1e-11
"""Relative noise above which a loss was computed in float32."""


class Slope(NamedTuple):
    """One central difference: the slope, those of its two halves, and the displacement by which h was divided."""

    value: float
    ahead: float
    behind: float
    along: HostArray

    @property
    def gap(self) -> float:
        """How far the slopes of the two halves differ: by a bend, or by curvature."""
        return abs(self.ahead - self.behind)


class _Try(NamedTuple):
    """One step along a direction: how far the slope lies from the gradient's, and what rounding and types excuse."""

    step: float
    slope: Slope
    error: float
    noise: float
    allowance: float


@dataclass(frozen=True)
class Verdict:
    """Whether a gradient agrees with differences of the loss.

    Attributes
    ----------
    kind : `"right"`; `"wrong"`; `"flat"`: the loss does not depend on it and the gradient is zero; `"kink"`: the
        loss bends here in each direction that was tried; `"unresolved"`: differences are too noisy.
    error : the largest |difference - g · v|, relative to the gradient's norm.
    """

    kind: str
    error: float


@final
class Differences:
    """Differences of a loss around one point.

    Parameters
    ----------
    loss : a function of values by name.
    at : the point.
    seen : what the function sees of values by name, as types round them.

    Attributes
    ----------
    noise : how far rounding moves the loss.
    coarse : whether the loss was computed in float32.
    """

    def __init__(
        self,
        loss: Callable[[Values], float],
        at: Values,
        seen: Callable[[str, HostArray], HostArray],
        random: Generator,
    ) -> None:
        self.loss, self.at, self.seen, self.random = loss, dict(at), seen, random
        self.value = loss(self.at)
        self.evaluations = 1
        self.scales = {name: _scale(values) for name, values in self.at.items()}
        self.noise = self._noise()
        self.coarse = self.noise > _SINGLE_NOISE * max(abs(self.value), 1e-300)
        self.steps = _COARSE_STEPS if self.coarse else _STEPS

    def moved(self, moves: Values, step: float) -> dict[str, HostArray]:
        """The point with some values moved, as the function sees it."""
        return self.at | {name: self.seen(name, self.at[name] + step * move) for name, move in moves.items()}

    def _value(self, values: Values) -> float:
        self.evaluations += 1
        return self.loss(values)

    def _noise(self) -> float:
        """By fourth differences over tiny steps a little beside the point, in which everything smooth cancels."""
        found, values = [], [self.value]
        for _ in range(3):
            aside, along = ({name: scale * self._normal(name) for name, scale in self.scales.items()} for _ in range(2))
            moves = ({name: aside[name] + 1e-3 * i * along[name] for name in aside} for i in (-2, -1, 0, 1, 2))
            a, b, c, d, e = losses = [self._value(self.moved(move, 1e-3)) for move in moves]
            values += losses
            found.append(abs(a - 4.0 * b + 6.0 * c - 4.0 * d + e) / math.sqrt(70.0))
        single = all(float(np.float32(value)) == value for value in values) and len(set(values)) > 1
        largest = max(map(abs, values))
        return max(float(np.median(found)), (6e-8 if single else 2.2e-16) * largest, _TINY)

    def _normal(self, name: str) -> HostArray:
        return np.asarray(self.random.standard_normal(self.at[name].shape))

    def slope(self, name: str, direction: HostArray, step: float) -> Slope:
        """The slope along a direction of one parameter."""
        ahead, behind = (self.moved({name: direction}, sign * step) for sign in (1.0, -1.0))
        high, low = self._value(ahead), self._value(behind)
        halves = (high - self.value) / step, (self.value - low) / step
        return Slope((high - low) / (2.0 * step), *halves, (ahead[name] - behind[name]) / (2.0 * step))

    # A whole gradient -------------------------------------------------------------------------------------------

    def verdict(self, name: str, gradient: HostArray, tolerance: float, floor: float = 0.0) -> Verdict:
        """Whether the gradient agrees along random directions.

        Parameters
        ----------
        tolerance, floor : what it may be off, relative to its norm, and for each element.
        """
        norm, scale = float(np.linalg.norm(gradient)), self.scales[name]
        directions = [scale * self._normal(name) for _ in range(3)]
        if norm > 0.0:
            directions.append(scale * gradient * (math.sqrt(gradient.size) / norm))
        allowed = tolerance, floor * math.sqrt(gradient.size)
        found = [self._along(name, direction, gradient, allowed) for direction in directions]
        kinds = [each.kind for each in found]
        error = max(each.error for each in found)
        for kind in ("kink", "wrong", "unresolved"):
            if kind in kinds and ("wrong" in kinds or kinds.count("right") < 2):
                return Verdict(kind, error)
        return Verdict("right" if "right" in kinds else "flat", error)

    def _along(self, name: str, direction: HostArray, gradient: HostArray, allowed: tuple[float, float]) -> Verdict:
        scale = self.scales[name]
        size = float(np.linalg.norm(gradient)) * scale
        loose = 0.1 if allowed[0] > 1e-3 else 2e-3
        tried: list[_Try] = []
        for step in self.steps:
            slope = self.slope(name, direction, step)
            if not math.isfinite(slope.value):
                continue
            whole, noise = max(size, abs(slope.value)), 10.0 * self.noise / step
            error = abs(slope.value - float(np.sum(gradient * slope.along)))
            unsure = allowed[1] * scale + noise
            if whole > 0.0 and error <= allowed[0] * whole + unsure and unsure <= loose * whole:
                return Verdict("right", error / whole)
            tried.append(_Try(step, slope, error, noise, allowed[0] * whole + unsure))
        return self._judged(tried, size)

    def _judged(self, tried: Sequence[_Try], size: float) -> Verdict:
        """Wrong only where two steps agree on a slope that lies apart from the gradient's."""
        if not tried:
            return Verdict("unresolved", math.inf)
        largest = max(abs(each.slope.value) for each in tried)
        error = min(each.error for each in tried) / max(size, largest, 1e-300)
        clear = [each for each in tried if each.error > max(5.0 * each.noise, each.allowance)]
        if size < _TINY and (not clear or largest < _TINY):
            return Verdict("kink" if self._bends(tried) else "flat", 0.0)
        if self._bends(clear):
            return Verdict("kink", error)
        for i, one in enumerate(clear):
            if any(abs(one.slope.value - other.slope.value) <= 0.1 * one.error for other in clear[i + 1 :]):
                return Verdict("wrong", error)
        return Verdict("kink" if clear else "unresolved", error)

    def _bends(self, tried: Sequence[_Try]) -> bool:
        """Whether the two halves stay apart however short the step is."""
        apart = [each for each in tried if each.slope.gap > 2.0 * each.noise]
        if len(apart) < 2:
            return False
        short, long = (choose(apart, key=lambda each: each.step) for choose in (min, max))
        return short.slope.gap > max(math.sqrt(short.step / long.step) * long.slope.gap, 3e-3 * short.error)

    # Element by element -----------------------------------------------------------------------------------------

    def element(self, name: str, index: int) -> float:
        """One element of the gradient; nan where the loss bends."""
        direction = np.zeros(self.at[name].size)
        direction[index] = self.scales[name]
        direction = direction.reshape(self.at[name].shape)
        slopes = [self.slope(name, direction, step) for step in ((1e-2, 3e-3) if self.coarse else (1e-5, 1e-6))]
        first, second = (slope.value / max(float(slope.along.sum()), 1e-300) for slope in slopes)
        step = 3e-3 if self.coarse else 1e-6
        noise = 20.0 * self.noise / step
        allowed = (0.05 if self.coarse else 1e-3) * abs(first) + noise / self.scales[name]
        long, short = (slope.gap for slope in slopes)
        bent = short > max(0.3 * long, 0.01 * abs(slopes[1].value), noise)
        return first if abs(first - second) <= allowed and not bent else math.nan

    def elements(self, name: str, indices: Sequence[int]) -> HostArray:
        """Some elements of the gradient, by their places in the flat array; nan where the loss bends."""
        return np.asarray([self.element(name, index) for index in indices])


def _scale(values: HostArray) -> float:
    """How far a parameter may be moved to see a change: its root mean square, but not below 0.01."""
    return max(float(np.sqrt(np.mean(values * values))) if values.size else 0.0, 0.01)
