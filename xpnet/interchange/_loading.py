"""From arrays as PyTorch has them into a model: all of them, or none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from xpnet._typing import Array
from xpnet.backend import HostArray, backend_of
from xpnet.files import Stored, counted, cut, shown
from xpnet.interchange._matching import Match, Skip, Tensor, check, layout_of, match, named_tensors, unwrapped
from xpnet.layers import Layer

_STRIP = 32
"""Elements of the last axis."""


@final
@dataclass(frozen=True)
class LoadReport:
    """What loading did; printed, it says so in a line.

    Parameters
    ----------
    loaded : paths of the model whose values were loaded.
    left : paths of the model that were left as they were: skipped, or missing in the file.
    ignored : names in the file that were not used: skipped, or unexpected.

    Examples
    --------
    >>> LoadReport(loaded=("conv.weight",), left=("fc.weight", "fc.bias"), ignored=())
    LoadReport: 1 array loaded; left as they were: fc.weight, fc.bias
    """

    loaded: tuple[str, ...]
    left: tuple[str, ...]
    ignored: tuple[str, ...]

    def __repr__(self) -> str:
        parts = [f"{counted(len(self.loaded), 'array')} loaded"]
        parts += [f"left as they were: {', '.join(cut(self.left))}"] if self.left else []
        parts += [f"ignored: {', '.join(cut([shown(name) for name in self.ignored]))}"] if self.ignored else []
        return f"LoadReport: {'; '.join(parts)}"


def load(
    what: str,
    model: Layer,
    stored: Mapping[str, Stored],
    *,
    strict: bool,
    skip: str | Iterable[str],
    allow_nonfinite: bool,
) -> LoadReport:
    """Checks names, shapes, types and values, in this order, and then assigns."""
    names = unwrapped(stored, named_tensors(model))
    theirs = {name: stored[full] for name, full in names.items()}
    found = match({name: array.shape for name, array in theirs.items()}, model, Skip(what, skip))
    check(what, found, strict=strict)
    _check_types(what, found, theirs)
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite by rounding is looked for
        new = _converted(what, found, theirs, allow_nonfinite)
    _assign(new)
    return LoadReport(
        loaded=tuple(path for path, _, _ in found.pairs),
        left=(*found.skipped, *found.missing),
        ignored=(*found.ignored, *found.unexpected),
    )


def _check_types(what: str, found: Match, theirs: Mapping[str, Stored]) -> None:
    used = [name for _, _, names in found.pairs for name in names]
    wrong = [f"{name} is {theirs[name].dtype}" for name in used if not theirs[name].is_float]
    if wrong:
        raise ValueError(
            f"{what}: expected floating-point values (float64, float32, float16 or bfloat16), but "
            f"{', '.join(cut(wrong))}; nothing was changed"
        )


def _converted(
    what: str, found: Match, theirs: Mapping[str, Stored], allow_nonfinite: bool
) -> list[tuple[Tensor, Array]]:
    """Each tensor with its new values, where it lives and in its type; one array of the file at a time."""
    new, wrong = [], []
    for path, tensor, names in found.pairs:
        backend = backend_of(tensor.data).at(tensor.data)
        values = theirs[names[0]].read(backend.dtype)
        for other in names[1:]:
            if not np.array_equal(values, theirs[other].read(backend.dtype), equal_nan=True):
                raise ValueError(
                    f"{what}: {names[0]} and {other} are one array in the model, but differ there; nothing was changed"
                )
        if not (allow_nonfinite or np.isfinite(values).all()):
            wrong.append(_not_finite(path, values))
        if not wrong:
            shape = tuple(tensor.data.shape)
            ours = layout_of(tensor).unfolded_from_torch(values, shape)
            new.append((tensor, backend.asarray(_in_order(ours).reshape(shape))))
    if wrong:
        raise ValueError(
            f"{what}: NaN or infinite values, which only allow_nonfinite=True loads; nothing was changed\n  "
            + "\n  ".join(cut(wrong))
        )
    return new


def _in_order(x: HostArray) -> HostArray:
    """The same values in C order, strip by strip: a transposed copy as a whole misses the cache at each value."""
    if x.flags.c_contiguous:
        return x
    y = np.empty(x.shape, x.dtype)
    for start in range(0, x.shape[-1], _STRIP):
        y[..., start : start + _STRIP] = x[..., start : start + _STRIP]
    return y


def _not_finite(path: str, values: HostArray) -> str:
    nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    return f"{path}: {nan} NaN and {infinite} infinite of {counted(values.size, 'value')}, in {values.dtype}"


def _assign(new: list[tuple[Tensor, Array]]) -> None:
    """Writes all; what was there is kept until all is written, and put back if that is interrupted."""
    before: list[tuple[Tensor, Array]] = []
    try:
        while new:
            tensor, values = new.pop()
            before.append((tensor, backend_of(tensor.data).copy(tensor.data)))
            tensor.data[...] = values
    except BaseException:
        for tensor, values in before:
            tensor.data[...] = values
        raise
