"""Mistakes that show in one parameter's gradient alone, against its true values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._report import Finding

_ORDERS = 120
"""Orders of axes that are tried: all of up to five."""


@dataclass(frozen=True)
class Wrong:
    """A gradient that differs from the differences of the loss.

    Attributes
    ----------
    name : the parameter's.
    given : the gradient as the user's function gave it.
    parameter : the parameter's values.
    places, true : places in the flat parameter, and the gradient's true values there.
    tried : how many places were looked at; where the loss bends there is no truth.
    """

    name: str
    given: HostArray
    parameter: HostArray
    places: HostArray
    true: HostArray
    tried: int = 0

    @property
    def complete(self) -> bool:
        """Whether the true gradient is known everywhere."""
        return self.places.size == self.parameter.size

    @property
    def is_bias(self) -> bool:
        """Whether the parameter is one row or one column."""
        return self.parameter.size == max(self.parameter.shape, default=1)

    def at_places(self, values: HostArray) -> HostArray:
        """Values of the parameter's shape, at the places where the truth is known."""
        taken: HostArray = np.broadcast_to(values, self.parameter.shape).reshape(-1)[self.places]
        return taken

    @property
    def shaped(self) -> HostArray | None:
        """The given gradient in the parameter's shape; None if its shape does not belong there."""
        return fitted_shape(self.given, self.parameter.shape)


@dataclass(frozen=True)
class Explained:
    """What a gradient is instead of the right one.

    Attributes
    ----------
    text : the rest of a sentence that begins with the parameters' names.
    factor : how many times the right one it is, where it is a multiple.
    """

    cause: str
    text: str
    factor: float | None = None


def fitted_shape(given: HostArray, shape: tuple[int, ...]) -> HostArray | None:
    """A gradient in a parameter's shape, where `parameter -= gradient` would take it so; else None."""
    if given.shape == shape:
        return given
    try:
        fits = np.broadcast_shapes(given.shape, shape) == shape
    except ValueError:
        return None
    return np.broadcast_to(given, shape) if fits else None


def close(a: HostArray, b: HostArray, tolerance: float) -> bool:
    """Whether two arrays are the same to a tolerance relative to the larger norm."""
    size = max(float(np.linalg.norm(a)), float(np.linalg.norm(b)))
    return float(np.linalg.norm(a - b)) <= tolerance * size


def simple_mistake(wrong: Wrong, tolerance: float, sizes: Mapping[str, int]) -> Explained | None:
    """The first of the mistakes below that gives what was given; None if none does.

    Parameters
    ----------
    sizes : numbers that a factor may be, with their names: examples, outputs.
    """
    for test in (_zero, _multiple, _transposed, _wrong_axis, _term_missing):
        found = test(wrong, tolerance, sizes)
        if found is not None:
            return found
    return None


def _zero(wrong: Wrong, tolerance: float, sizes: Mapping[str, int]) -> Explained | None:
    return None if wrong.given.any() else Explained("gradient_zero", "zero, and the loss does depend on {them}")


def _multiple(wrong: Wrong, tolerance: float, sizes: Mapping[str, int]) -> Explained | None:
    shaped = wrong.shaped
    if shaped is None or not wrong.true.any():
        return None
    given = wrong.at_places(shaped)
    factor = float(given @ wrong.true / (wrong.true @ wrong.true))
    rest = float(np.linalg.norm(given - factor * wrong.true))
    if factor == 0.0 or rest > min(tolerance * np.linalg.norm(given), 0.1 * np.linalg.norm(given - wrong.true)):
        return None
    return multiple(factor, sizes, tolerance, certain=bool(np.count_nonzero(wrong.true) > 1))


def multiple(factor: float, sizes: Mapping[str, int], tolerance: float, *, certain: bool = True) -> Explained | None:
    """A multiple of the right gradient; None for one that means nothing where it is not certain."""
    if abs(factor + 1.0) <= tolerance:
        return Explained("gradient_sign", "-1 times the right one: the sign is wrong", -1.0)
    name = factor_name(abs(factor), sizes, tolerance)
    if name is None and not certain:
        return None
    cause = "gradient_sign" if factor < 0.0 else "gradient_scale"
    meaning = f", {name}" if name else ""
    return Explained(cause, f"{factor:.6g} times the right one{meaning}", factor)


def factor_name(factor: float, sizes: Mapping[str, int], tolerance: float) -> str | None:
    """What a factor is: a number of examples or outputs, or a simple number."""
    known: dict[str, float] = {f"the number of {name}": size for name, size in sizes.items() if size > 1}
    if len(sizes) == 2:
        known["the number of examples times that of outputs"] = sizes["examples"] * sizes["outputs"]
    found = {name: float(value) for name, value in known.items()}
    found |= {f"one over {name}": 1.0 / value for name, value in known.items()}
    found |= {f"twice {name}": 2.0 * value for name, value in known.items()}
    found |= {f"two over {name}": 2.0 / value for name, value in known.items()}
    found |= {f"half {name}": value / 2.0 for name, value in known.items()}
    found = {"twice": 2.0, "a half": 0.5} | found | {"four times": 4.0, "a quarter": 0.25}
    return next(
        (name for name, value in found.items() if value != 1.0 and abs(factor - value) <= tolerance * value), None
    )


def _transposed(wrong: Wrong, tolerance: float, sizes: Mapping[str, int]) -> Explained | None:
    """Right values at other places: axes that change places, or elements in another order."""
    if wrong.parameter.ndim < 2 or wrong.is_bias or wrong.given.ndim != wrong.parameter.ndim:
        return None
    for axes in list(permutations(range(wrong.given.ndim)))[1:_ORDERS]:
        turned = wrong.given.transpose(axes)
        if turned.shape == wrong.parameter.shape and close(wrong.at_places(turned), wrong.true, tolerance):
            return Explained("gradient_transposed", "transposed" if len(axes) == 2 else f"transposed: by axes {axes}")
    if wrong.shaped is None or not wrong.complete or len(np.unique(wrong.true)) < max(4, wrong.true.size // 2):
        return None
    if close(np.sort(wrong.given.reshape(-1)), np.sort(wrong.true), min(tolerance, 1e-4)):
        return Explained("gradient_transposed", "made of the right values at other places: reshaped in another order")
    return None


def _wrong_axis(wrong: Wrong, tolerance: float, sizes: Mapping[str, int]) -> Explained | None:
    if not wrong.is_bias or not wrong.complete:
        return None
    given, true, total = wrong.given, wrong.true, float(wrong.true.sum())
    for axis in range(given.ndim) if given.size > true.size else ():
        for sums, how in ((given.sum(axis=axis), "summed"), (given.mean(axis=axis), "averaged")):
            if sums.size == true.size and close(sums.reshape(-1), true, tolerance):
                return Explained("bias_gradient_axis", f"of shape {given.shape}: not {how} over the examples")
    if true.size == 1 or not given.size or (given.size == true.size and close(given.reshape(-1), true, 0.02)):
        return None
    for value, how in ((total, "summed over all axes"), (total / true.size, "averaged over all axes")):
        off = float(np.abs(given - value).max())
        if off <= tolerance * max(abs(value), 0.01 * float(np.abs(true).max())) and np.any(given):
            return Explained("bias_gradient_axis", f"{how}: the same number for each unit")
    sizes_of_sums = float(np.abs(given).sum() + np.abs(true).sum())
    if abs(total) > 0.01 * sizes_of_sums and abs(float(given.sum()) - total) <= tolerance * sizes_of_sums / 10.0:
        return Explained("bias_gradient_axis", "summed over another axis: their total is right, the elements are not")
    return None


def _term_missing(wrong: Wrong, tolerance: float, sizes: Mapping[str, int]) -> Explained | None:
    shaped = wrong.shaped
    if shaped is None or wrong.places.size < 3:
        return None
    missing = wrong.true - wrong.at_places(shaped)
    noise = tolerance * 0.1 * float(np.linalg.norm(wrong.true))
    for term, what in ((wrong.parameter, "{name}"), (np.sign(wrong.parameter), "sign({name})")):
        values = wrong.at_places(term)
        if not values.any() or np.ptp(np.abs(missing)) == 0.0:
            continue
        factor = float(missing @ values / (values @ values))
        rest = float(np.linalg.norm(missing - factor * values))
        if rest <= max(10.0 * tolerance * float(np.linalg.norm(missing)), noise) and rest < 0.1 * float(
            np.linalg.norm(missing)
        ):
            kind = "without" if factor > 0.0 else "with"
            ends = "that the loss's penalty gives" if factor > 0.0 else "of a penalty that the loss does not have"
            return Explained("gradient_term", f"{kind} the term {abs(factor):.4g} * {what}, {ends}", factor)
    return None


def misshapen(wrong: Wrong, tolerance: float, sizes: Mapping[str, int]) -> bool:
    """Whether a gradient's shape is not the parameter's; of a bias, an axis of examples is another mistake."""
    if wrong.shaped is not None or (wrong.is_bias and sizes.get("examples", 0) in (0, *wrong.given.shape)):
        return False
    return simple_mistake(wrong, tolerance, sizes) is None


def shape_findings(wrongs: Sequence[Wrong]) -> list[Finding]:
    """A finding for each gradient of another shape than its parameter."""
    return [
        Finding(
            "wrong_shape",
            f"the gradient of {wrong.name} has shape {wrong.given.shape}, and {wrong.name} {wrong.parameter.shape}",
            {"parameter": wrong.name, "gradient": list(wrong.given.shape), "shape": list(wrong.parameter.shape)},
            weight=0.97,
        )
        for wrong in wrongs
    ]


def joined(names: Sequence[str]) -> str:
    """A, B and C."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
