"""Programs written after the rules of the diagnosis were made more general, by somebody who had not read them.

Each of `FAULTS` twice, in two forms. No task, and no form of a mistake, is one of the other sets. `python -m
bench.clinic --verify --fresh` shows whether each fault hurts and each healthy program learns.
"""

from functools import partial
from typing import Any

import numpy as np

from bench.clinic import fresh_classes as C
from bench.clinic import fresh_faults as F
from bench.clinic import fresh_lists as K
from bench.clinic import fresh_networks as N
from bench.clinic import fresh_tasks as T
from bench.clinic import unseen_networks as U
from bench.clinic.case import Build, Case
from bench.clinic.faulty import case
from bench.clinic.fresh_controls import healthy
from bench.clinic.tasks import Task
from bench.clinic.unseen_models import trained
from xpnet import losses, optimizers
from xpnet.models import mlp

IRIS = partial(N.closures, T.iris, [4, 16, 3], F.CRAMMER, lambda: U.descent(0.05))
JUMP = partial(N.closures, T.jump, [1, 24, 1], F.FITTED, lambda: U.Adam(0.01))
RIPPLE = partial(N.closures, T.ripple, [2, 24, 1], U.MEAN_SQUARE, lambda: U.descent(0.05))
BUMP = partial(N.closures, T.bump, [1, 16, 1], U.HALF_SQUARE, lambda: U.descent(0.1), bend="gaussian")
ARMS = partial(N.closures, T.arms, [2, 32, 3], U.LOGITS, lambda: U.Adam(0.02), show=("step",))
FOUR = partial(N.closures, T.four, [64, 20, 20, 20, 20, 20, 4], U.CHANCES, lambda: U.nesterov(0.02))
CONCRETE = partial(N.closures, T.concrete, [8, 24, 24, 1], U.HALF_SQUARE, lambda: U.descent(0.03))
STRIPES = partial(N.closures, T.stripes, [24, 32, 32, 3], U.LOGITS, lambda: U.descent(0.1), bend="relu", draw=N.he)
LOOPS = partial(N.looped, T.concrete, 8, 0.1)
LAYERS = partial(K.lists, T.concrete, [8, 8, 8, 8, 1], 0.1)


def fault(task: Task, cause: str, form: str, build: Build, twin: Build, style: str = "functions", **more: Any) -> Case:
    """A faulty program, the form of its fault in a few words, and its healthy twin."""
    return case(style, task, cause, build, twin, note=f"fresh-{form}", **more)


def of_class(task: Task, cause: str, form: str, build: Build, twin: Build, **more: Any) -> Case:
    """One written as a class."""
    return fault(task, cause, form, build, twin, "class", **more)


def model(task: Task, cause: str, form: str, build: Build, twin: Build, **more: Any) -> Case:
    """One of xpnet."""
    return fault(task, cause, form, build, twin, "xpnet", **more)


def on(points: U.Points, program: Any, **more: Any) -> Any:
    """The same program on other data."""
    return partial(program.func, points, *program.args[1:], **program.keywords | more)


def _of_data() -> list[Case]:
    picked, rows = (
        partial(trained, points, lambda: mlp([64, 24, 4], "tanh"), F.picked, optimizers.Adam, 0.005)
        for points in (T.DIGITS_IN_COLUMN, T.four)
    )
    spread, paired = (partial(K.gaussians, points, 12, 0.1) for points in (T.FLAT_BUMP, T.bump))
    years, centred = (
        partial(trained, points, lambda: mlp([1, 32, 1], "tanh"), losses.mean_squared_error, optimizers.Adam, 0.01)
        for points in (T.YEARS, T.bump)
    )
    own, common = (
        partial(C.module, partial(T.robust, apart=apart), [8, 24, 1], U.HALF_SQUARE, lambda: C.Optimizer(0.02))
        for apart in (True, False)
    )
    apart, together = (on(partial(T.by_largest, apart=apart), RIPPLE) for apart in (True, False))
    turned, right = (
        partial(trained, points, lambda: mlp([64, 30, 4], "relu"), losses.softmax_cross_entropy, optimizers.SGD, 0.1)
        for points in (T.REVERSED, T.four)
    )
    return [
        fault(T.IRIS, "labels_column", "crammer", on(T.LABELS_IN_COLUMN, IRIS), IRIS),
        model(T.FOUR, "labels_column", "picked", picked, rows),
        fault(T.JUMP, "targets_broadcast", "absolute", on(T.FLAT_JUMP, JUMP), JUMP),
        of_class(T.BUMP, "targets_broadcast", "first-column", spread, paired),
        fault(T.RIPPLE, "inputs_unscaled", "one-in-grams", on(T.GRAMS, RIPPLE), RIPPLE),
        model(T.BUMP, "inputs_unscaled", "years", years, centred),
        fault(T.RIPPLE, "inputs_scaled_apart", "largest", apart, together),
        of_class(T.CONCRETE, "inputs_scaled_apart", "quartiles", own, common),
        fault(T.CONCRETE, "labels_shuffled", "sorted-columns", on(T.SORTED_COLUMNS, CONCRETE), CONCRETE),
        model(T.FOUR, "labels_shuffled", "reversed", turned, right),
    ]


def _of_outputs() -> list[Case]:
    positive, linear = (
        partial(N.closures, T.bump, [1, 24, 1], head, lambda: U.Adam(0.02)) for head in (F.POSITIVE, U.MEAN_SQUARE)
    )
    squashed, free = (
        partial(K.lists, T.TENS, [8, 16, 1], 0.05, kind=kind, shown=False) for kind in (F.Squashed, K.Lists)
    )
    columns, rows = (
        partial(N.closures, T.stripes, [24, 40, 3], F.log_softmax_head(axis), lambda: U.descent(0.2)) for axis in (0, 1)
    )
    narrow: dict[str, Any] = {"bend": "square", "draw": N.standard, "number": np.float32}
    total, each = (partial(K.lists, T.arms, [2, 24, 24, 3], 0.3, kind=kind) for kind in (F.OverAll, K.Classifier))
    squares, stable = (
        partial(N.closures, T.ROUNDED_STRIPES, [24, 32, 3], F.chances(function), lambda: U.Adam(0.01), **narrow)
        for function in (F.plain_softmax, U.softmax)
    )
    sharp, shifted = (partial(K.lists, T.four, [64, 4], 2e-5, kind=kind) for kind in (F.SharpPlain, F.Sharp))
    noisy, clean = (
        partial(C.module, T.four, [64, 40, 4], U.LOGITS, lambda: C.Optimizer(0.02, 0.9), kind=kind, shown=shown)
        for kind, shown in ((C.EverNoisyInputs, True), (C.NoisyInputs, False))
    )
    whole, switched = (partial(F.dropping_units, wrong=wrong) for wrong in (True, False))
    return [
        fault(T.BUMP, "output_range", "exponential", positive, linear),
        of_class(T.CONCRETE, "output_range", "tens-of-megapascals", squashed, free),
        fault(T.STRIPES, "softmax_axis", "logarithm", columns, rows),
        of_class(T.ARMS, "softmax_axis", "over-all", total, each),
        fault(T.STRIPES, "softmax_overflow", "squares", squares, stable, also=("weights_large",)),
        of_class(T.FOUR, "softmax_overflow", "sharp", sharp, shifted),
        fault(T.CONCRETE, "dropout_in_evaluation", "whole-units", whole, switched),
        of_class(T.FOUR, "dropout_in_evaluation", "inputs", noisy, clean),
    ]


def _of_gradients() -> list[Case]:
    climbing, likely = (
        partial(C.module, T.words, [40, 1], head, lambda: C.Optimizer(0.5), shown=False)
        for head in (F.LIKELIHOOD, U.BINARY)
    )
    tens = partial(C.module, T.TENS, [8, 20, 1], U.MEAN_SQUARE, lambda: C.Optimizer(0.03))
    waves = partial(C.module, T.ripple, [2, 24, 1], U.HALF_SQUARE, lambda: C.Optimizer(0.05), activation=C.Sine)
    high = on(T.HIGH_TARGETS, RIPPLE)
    summed, mean = (
        partial(trained, T.PAIRS_TO_THREE, lambda: mlp([128, 32, 1], "relu"), loss, optimizers.SGD, 0.1)
        for loss in (F.log_cosh_sum, F.log_cosh_mean)
    )
    skipping = partial(N.skipping, T.concrete, 10, 0.1)
    return [
        fault(T.RIPPLE, "gradient_sign", "slope", on(T.ripple, RIPPLE, bend=F.TURNED), RIPPLE),
        of_class(T.WORDS, "gradient_sign", "likelihood", climbing, likely),
        fault(T.RIPPLE, "bias_gradient_axis", "nested-sums", partial(high, layer=F.nested_sums), high),
        of_class(T.CONCRETE, "bias_gradient_axis", "resized", partial(tens, linear=F.SumOverUnits), tens),
        fault(T.CONCRETE, "loss_summed", "loop", partial(LOOPS, mean=False), LOOPS, also=("gradient_scale",)),
        model(T.PAIRS, "loss_summed", "log-cosh", summed, mean, also=("rate_high",)),
        fault(T.CONCRETE, "gradient_activation", "loop", partial(LOOPS, one=F.hidden_for_inputs), LOOPS),
        of_class(T.CONCRETE, "gradient_activation", "reversed", partial(LAYERS, kind=F.Backwards), LAYERS),
        fault(T.BUMP, "gradient_argument", "gaussian", on(T.bump, BUMP, bend=F.OF_VALUE), BUMP),
        of_class(T.RIPPLE, "gradient_argument", "sine", partial(waves, activation=F.SineOfValue), waves),
        fault(
            T.CONCRETE,
            "activation_overwritten",
            "skip",
            partial(skipping, in_place=True),
            skipping,
            also=("gradient_activation",),
        ),
        of_class(T.CONCRETE, "activation_overwritten", "out", partial(LAYERS, kind=F.OneArray), LAYERS),
    ]


def _of_initialization() -> list[Case]:
    constant, drawn = (
        partial(
            trained,
            T.cross,
            partial(mlp, [4, 32, 32, 2], "relu", weight=weight),
            losses.softmax_cross_entropy,
            optimizers.Adam,
            0.005,
        )
        for weight in (lambda _, shape: np.full(shape, 0.1, np.float32), None)
    )
    deep = partial(C.module, T.stripes, [24, 32, 32, 32, 32, 3], U.LOGITS, lambda: C.Optimizer(0.05))
    steps = partial(C.module, T.lags, [6, 24, 24, 1], U.MEAN_SQUARE, lambda: C.Optimizer(0.02), activation=C.Sigmoid)
    edge, within = (
        partial(trained, points, lambda: mlp([1, 60, 1], "relu"), losses.mean_squared_error, optimizers.SGD, 0.03)
        for points in (T.BEFORE_ZERO, T.bump)
    )
    level = partial(C.module, T.ripple, [2, 24, 1], U.MEAN_SQUARE, lambda: C.Optimizer(0.002), weight=F.gentle)
    lively = partial(level, bias=lambda r, out: r.uniform(3.0, 4.0, out))
    counts = partial(C.module, T.words, [40, 24, 1], U.BINARY, lambda: C.Optimizer(0.1), shown=False)
    return [
        fault(T.ARMS, "weights_zero", "tiled", on(T.arms, ARMS, prepare=F.tiled), ARMS),
        model(T.CROSS, "weights_zero", "constant", constant, drawn),
        fault(T.FOUR, "weights_small", "hundredths", on(T.four, FOUR, draw=F.hundredths), FOUR),
        of_class(T.STRIPES, "weights_small", "by-inputs", partial(deep, weight=F.by_inputs), deep),
        fault(T.CONCRETE, "weights_large", "times-root", on(T.concrete, CONCRETE, draw=F.times_root), CONCRETE),
        of_class(T.LAGS, "weights_large", "integers", partial(steps, weight=F.integers), steps),
        model(T.BUMP, "hinges_outside_data", "before-zero", edge, within),
        of_class(T.RIPPLE, "hinges_outside_data", "lively", lively, level, steps=6000),
        fault(
            *(T.STRIPES, "dead_relus", "second-layer", on(T.stripes, STRIPES, prepare=F.drowned), STRIPES),
            also=("hinges_outside_data",),
        ),
        of_class(
            *(T.WORDS, "dead_relus", "counts", partial(counts, weight=F.below_zero), counts),
            also=("hinges_outside_data",),
        ),
    ]


def _of_rates() -> list[Case]:
    thrown, least = (
        partial(N.closures, T.concrete, [8, 1], U.HALF_SQUARE, partial(U.descent, rate)) for rate in (3.0, 0.1)
    )
    leaping, walking = (
        partial(C.module, T.bump, [1, 24, 1], U.MEAN_SQUARE, partial(C.Rprop, lr), activation=C.Tanh)
        for lr in (0.5, 0.002)
    )
    short, fair = (
        partial(N.closures, T.lags, [6, 16, 1], U.HALF_SQUARE, partial(_clipped, length), show=("step",))
        for length in (1e-3, 1.0)
    )
    creeping, quick = (
        partial(
            trained,
            T.four,
            lambda: mlp([64, 32, 4], "silu"),
            losses.softmax_cross_entropy,
            optimizers.RMSprop,
            rate,
        )
        for rate in (1e-6, 2e-3)
    )
    return [
        fault(T.CONCRETE, "rate_high", "least-squares", thrown, least),
        of_class(T.BUMP, "rate_high", "signs", leaping, walking),
        fault(T.LAGS, "rate_low", "clipped", short, fair),
        model(T.FOUR, "rate_low", "rmsprop", creeping, quick),
    ]


def _clipped(length: float) -> U.Update:
    return N.clipped(U.descent(0.05), length)


def fresh() -> list[Case]:
    """All of them."""
    return [*_of_data(), *_of_outputs(), *_of_gradients(), *_of_initialization(), *_of_rates(), *healthy()]
