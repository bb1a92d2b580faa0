"""What xpnet aims at on a GPU, and what was measured of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.contenders import EAGER, GRAPHED
from bench.results import Record


@dataclass(frozen=True)
class Aim:
    """A training step of a network takes `others`, the fastest of them, at least `factor` times as long as xpnet."""

    network: str
    precision: str
    others: tuple[str, ...]
    called: str
    factor: float


AIMS = (
    Aim("784-1024-1024-10", "float32", EAGER, "PyTorch eager", 3.0),
    Aim("784-1024-1024-10", "float32", GRAPHED, "PyTorch's CUDA graph", 1.0),
    Aim("simple_cnn", "float32", EAGER, "PyTorch eager", 3.0),
    Aim("simple_cnn", "float32", GRAPHED, "PyTorch's CUDA graph", 1.0),
    Aim("resnet50-224", "float32", EAGER, "PyTorch eager", 0.9),
    Aim("resnet50-224", "tf32", EAGER, "PyTorch eager", 0.9),
)


@dataclass(frozen=True)
class Verdict:
    """An aim with the records that decide it; None where one is missing."""

    aim: Aim
    ours: Record | None
    theirs: Record | None

    @property
    def ratio(self) -> float | None:
        """Their time by ours."""
        return self.theirs.seconds / self.ours.seconds if self.ours and self.theirs else None

    @property
    def met(self) -> bool | None:
        """Whether the aim was reached; None where it was not measured."""
        return None if self.ratio is None else self.ratio >= self.aim.factor


def judge(aim: Aim, records: Sequence[Record]) -> Verdict:
    """The fastest way to run xpnet against the fastest of the others, in training steps."""
    suffix = "" if aim.precision == "float32" else f"-{aim.precision}"
    names = {name + suffix for name in aim.others}
    steps = [r for r in records if (r.network, r.precision, r.name) == (aim.network, aim.precision, "step")]
    ours = min((r for r in steps if r.ours), key=lambda r: r.seconds, default=None)
    theirs = min((r for r in steps if r.contender in names), key=lambda r: r.seconds, default=None)
    return Verdict(aim, ours, theirs)
