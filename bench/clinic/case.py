"""What the clinic knows of one program, and the list of faults that it must hold."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Arguments: TypeAlias = dict[str, Any]
Build: TypeAlias = Callable[[int], Arguments]

STYLES = ("functions", "class", "xpnet")

FAULTS = (
    "labels_column",
    "targets_broadcast",
    "gradient_sign",
    "bias_gradient_axis",
    "loss_summed",
    "gradient_activation",
    "gradient_argument",
    "weights_zero",
    "weights_small",
    "weights_large",
    "hinges_outside_data",
    "dead_relus",
    "inputs_unscaled",
    "inputs_scaled_apart",
    "output_range",
    "rate_high",
    "rate_low",
    "softmax_axis",
    "softmax_overflow",
    "dropout_in_evaluation",
    "labels_shuffled",
    "activation_overwritten",
)


@dataclass(frozen=True)
class Case:
    """One program.

    Attributes
    ----------
    name : such as `"class/sine/gradient_sign"`; names are unique.
    style : `"functions"`: a dict of arrays and functions; `"class"`: attributes and methods; `"xpnet"`: an xpnet model.
    task : `"sine"`, `"polynomial"` or `"digits"`.
    fault : what was done to it; None for a healthy program.
    causes : codes of `xpnet.diagnostics.CAUSES`: what a diagnosis should name. The first is the fault itself, the
        others are names for it that are as right. Of a healthy program: causes that are no false alarm.
    build : from a seed to keyword arguments, for `diagnose` in the style `"xpnet"` (`model`, `train`, `validation`,
        `loss`, `optimizer`), else for `diagnose_functions`. Each call builds the program anew.
    twin : the same program without the fault; None for a healthy one.
    steps, batch : how long the learner trains it, and the examples in a batch (None: all). Only `verify` uses them.
    slow : a healthy program that is meant to improve slowly, or from an error that is small already.
    """

    name: str
    style: str
    task: str
    fault: str | None
    causes: tuple[str, ...]
    build: Build
    twin: Build | None = None
    steps: int = 1000
    batch: int | None = None
    slow: bool = False


def right(case: Case, cause: str) -> bool:
    """Whether a diagnosis that names this cause is right about this program."""
    return cause in case.causes
