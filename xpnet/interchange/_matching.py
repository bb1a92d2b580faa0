"""Which array of a file belongs to which of the model: by name, in PyTorch's shapes."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from os.path import commonprefix
from typing import final

from xpnet._typing import Shape
from xpnet.files import cut, shown, shown_shape
from xpnet.layers import Buffer, Layer, Parameter, TorchLayout

_WRAPPERS = re.compile(r"(?:module\.|_orig_mod\.)*+")
"""What `DataParallel`, `DistributedDataParallel` and `torch.compile` put before every name."""

_STATISTICS, _COUNT = "running_var", "num_batches_tracked"
"""PyTorch counts the batches beside running statistics. It uses the count only without a momentum, which xpnet always
has; so it is written as 0, and passed over in reading."""

Tensor = Parameter | Buffer


def named_tensors(layer: Layer, prefix: str = "") -> dict[str, Tensor]:
    """All parameters and buffers by path, a shared one under each of its paths, as PyTorch's state dicts have them."""
    found: dict[str, Tensor] = {}
    for name, member in layer.members().items():
        path = ".".join(part for part in (prefix, name) if part)
        found |= named_tensors(member, path) if isinstance(member, Layer) else {path: member}
    return found


def layout_of(tensor: Tensor) -> TorchLayout:
    """How PyTorch arranges the values."""
    return tensor.layout if isinstance(tensor, Parameter) else TorchLayout()


def torch_shape(tensor: Tensor) -> Shape:
    """The shape of PyTorch's array."""
    return layout_of(tensor).shape(tuple(tensor.data.shape))


def counts_beside(names: Iterable[str]) -> set[str]:
    """The names of the counts that PyTorch keeps beside the running statistics among these."""
    return {name.removesuffix(_STATISTICS) + _COUNT for name in names if name.rpartition(".")[2] == _STATISTICS}


def unwrapped(theirs: Iterable[str], ours: Iterable[str]) -> dict[str, str]:
    """Their names, without what wraps a whole network in PyTorch and ours is not wrapped in, and as they were."""
    names = list(theirs)
    extra = _wrapping(names).removesuffix(_wrapping(list(ours)))
    return {name.removeprefix(extra): name for name in names}


def _wrapping(names: list[str]) -> str:
    """The wrappers that all of the names begin with."""
    wrapping = _WRAPPERS.match(commonprefix(names))  # noqa: RUF071  # by characters is what is meant
    return wrapping[0] if wrapping else ""


@final
class Skip:
    """Names to pass over: whole names, paths above them, and shell patterns of either."""

    def __init__(self, what: str, patterns: str | Iterable[str]) -> None:
        self.what = what
        if not isinstance(patterns, Iterable):
            raise TypeError(f"{what}: skip must be a name or several, got {patterns!r}")
        self.patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
        for pattern in self.patterns:
            if not isinstance(pattern, str):
                raise TypeError(f"{what}: skip must hold names, got {pattern!r}")

    def __contains__(self, name: str) -> bool:
        return any(_covers(pattern, name) for pattern in self.patterns)

    def check_used(self, names: Iterable[str]) -> None:
        """Each pattern covers one of the names.

        Raises
        ------
        ValueError : one does not, so it is misspelt.
        """
        known = list(names)
        for pattern in self.patterns:
            if not any(_covers(pattern, name) for name in known):
                tops = list(dict.fromkeys(name.partition(".")[0] for name in known))
                raise ValueError(
                    f"{self.what}: skip has {pattern!r}, which is no name or path of the model or the file; they begin "
                    f"with {', '.join(cut([shown(name) for name in tops]))}; nothing was changed"
                )


def _covers(pattern: str, name: str) -> bool:
    path = pattern.removesuffix(".")
    return fnmatchcase(name, path) or fnmatchcase(name, f"{path}.*")


@final
@dataclass(frozen=True)
class Match:
    """What fits, and what does not.

    Parameters
    ----------
    pairs : each tensor to be loaded, its path, and its names in the file, of which a shared one may have several.
    missing, unexpected : names of the model that the file lacks, with their shapes, and the other way round.
    misshaped : names with the file's shape and the model's.
    skipped : names of the model passed over.
    ignored : names of the file passed over.
    """

    pairs: list[tuple[str, Tensor, list[str]]]
    missing: dict[str, Shape]
    unexpected: dict[str, Shape]
    misshaped: dict[str, tuple[Shape, Shape]]
    skipped: list[str]
    ignored: list[str]


def match(theirs: Mapping[str, Shape], model: Layer, skip: Skip) -> Match:
    """Pairs the arrays of a file with those of a model.

    Raises
    ------
    ValueError : something to be skipped is in neither.
    """
    ours = named_tensors(model)
    skip.check_used([*ours, *theirs])
    skipped = {id(tensor) for name, tensor in ours.items() if name in skip}
    passed = {name for name in theirs if name in skip or (name in ours and id(ours[name]) in skipped)}
    asked = theirs.keys() - passed - counts_beside(theirs) - counts_beside(ours)
    found = Match(
        [],
        {},
        {n: s for n, s in theirs.items() if n in asked and n not in ours},
        {},
        [],
        [n for n in theirs if n in passed],
    )
    for name, (tensor, names) in _grouped(ours):
        shape, there = torch_shape(tensor), [other for other in names if other in asked]
        wrong = {other: (theirs[other], shape) for other in there if theirs[other] != shape}
        found.misshaped.update(wrong)
        if id(tensor) in skipped:
            found.skipped.append(name)
        elif not there:
            found.missing[name] = shape
        elif not wrong:
            found.pairs.append((name, tensor, there))
    return found


def _grouped(ours: Mapping[str, Tensor]) -> Iterator[tuple[str, tuple[Tensor, list[str]]]]:
    """Each tensor once, by its first path, with all of its paths."""
    groups: dict[int, list[str]] = {}
    for name, tensor in ours.items():
        groups.setdefault(id(tensor), []).append(name)
    for names in groups.values():
        yield names[0], (ours[names[0]], names)


def check(what: str, found: Match, *, strict: bool) -> None:
    """All fits; or, where that is not asked for, something does and nothing is of another shape.

    Raises
    ------
    ValueError : one readable list of what is missing, unexpected or of another shape.
    """
    fits = len(found.pairs)
    missing, unexpected = found.missing.items(), found.unexpected.items()
    lines = [
        *cut([f"missing: {name} {shown_shape(shape)}" for name, shape in missing]),
        *cut([f"unexpected: {shown(name)} {shown_shape(shape)}" for name, shape in unexpected]),
        *cut(
            [f"shape: {n} {shown_shape(there)} → {shown_shape(here)}" for n, (there, here) in found.misshaped.items()]
        ),
        *_hints(found),
    ]
    if found.misshaped or (lines and strict) or (found.missing and not fits):
        total = fits + len(found.missing) + len(found.misshaped)
        raise ValueError(
            f"{what}: the names or shapes (theirs → the model's, in PyTorch's order) do not fit, {fits} of {total} do; "
            "nothing was changed\n  " + "\n  ".join(lines)
        )


def _hints(found: Match) -> Iterator[str]:
    """Where half of what is missing is there under a longer name, or the other way round: what it begins with."""
    for longer, shorter, whose in (
        (found.unexpected, found.missing, "their"),
        (found.missing, found.unexpected, "our"),
    ):
        most = max(map(len, shorter), default=0)
        ends = ((name, dot + 1) for name in longer for dot in _dots(name, most))
        beginnings = Counter(name[:end] for name, end in ends if name[end:] in shorter)
        for beginning, number in beginnings.most_common(1):
            if 2 * number >= len(found.missing):
                yield f"hint: {number} of {whose} names fit without {shown(beginning)}"


def _dots(name: str, most: int) -> Iterator[int]:
    """Where the dots are that at most so many characters stand behind: a file's name may be of a million dots."""
    return (i for i in range(max(len(name) - most - 1, 0), len(name)) if name[i] == ".")
