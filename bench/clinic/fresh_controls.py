"""The healthy ones among the fresh programs: many look suspicious, and all learn."""

from collections.abc import Callable
from functools import partial
from typing import Any

from bench.clinic import fresh_classes as C
from bench.clinic import fresh_faults as F
from bench.clinic import fresh_lists as K
from bench.clinic import fresh_networks as N
from bench.clinic import fresh_tasks as T
from bench.clinic import unseen_networks as U
from bench.clinic.case import Case
from bench.clinic.plain import control
from bench.clinic.tasks import Task
from bench.clinic.unseen_faults import PROBABILITY_SQUARE
from bench.clinic.unseen_models import trained
from xpnet import layers as L
from xpnet import losses, optimizers
from xpnet.models import mlp

RELU: dict[str, Any] = {"bend": "relu", "draw": N.he}
CLOSURES: dict[str, tuple[Task, U.Points, list[int], U.Head, Callable[[], U.Update], dict[str, Any]]] = {
    # name: task, points, sizes, head, update, options
    "small-rate": (T.RIPPLE, T.ripple, [2, 24, 1], U.MEAN_SQUARE, lambda: U.descent(0.02), {}),
    "centimetres": (T.IRIS, T.CENTIMETRES, [4, 12, 3], U.CHANCES, lambda: U.Adam(0.02), {}),
    "small-inputs": (T.IRIS, T.SMALL_INPUTS, [4, 12, 3], U.LOGITS, lambda: U.descent(0.3), {}),
    "some-dead": (
        T.STRIPES,
        T.stripes,
        [24, 48, 3],
        U.LOGITS,
        lambda: U.descent(0.1),
        RELU | {"prepare": F.partly_dead},
    ),
    "seventy-thirty": (T.CROSS, T.seventy, [4, 40, 2], U.LOGITS, lambda: U.Adam(0.01), {}),
    "noisy-labels": (T.ARMS, T.noisy_arms, [2, 32, 3], U.CHANCES, lambda: U.Adam(0.01), RELU),
    "decay": (T.CONCRETE, T.concrete, [8, 24, 1], U.HALF_SQUARE, lambda: N.decaying(U.descent(0.05), 5e-4), {}),
    "border": (T.STRIPES, T.FRAMED, [30, 32, 3], U.CHANCES, lambda: U.nesterov(0.02), RELU),
    "one-unit": (T.JUMP, T.jump, [1, 1, 1], U.HALF_SQUARE, lambda: U.Adam(0.05), {}),
    "linear": (T.LAGS, T.lags, [6, 1], U.MEAN_SQUARE, lambda: U.descent(0.02), {}),
    "clipped": (T.LAGS, T.lags, [6, 16, 1], U.HALF_SQUARE, lambda: N.clipped(U.descent(0.1), 0.5), RELU),
    "halving": (T.JUMP, T.jump, [1, 20, 20, 1], U.MEAN_SQUARE, lambda: N.halving(0.2, 500), {}),
    "high-targets": (T.RIPPLE, T.HIGH_TARGETS, [2, 32, 1], U.MEAN_SQUARE, lambda: U.descent(0.05), {}),
    "doubled": (T.IRIS, T.DOUBLED, [8, 10, 3], U.LOGITS, lambda: U.descent(0.1), {"bend": "softsign"}),
    "fitting-range": (T.JUMP, T.UNIT_TARGETS, [1, 16, 1], PROBABILITY_SQUARE, lambda: U.Adam(0.03), {}),
    "absolute": (T.CONCRETE, T.concrete, [8, 32, 1], N.ABSOLUTE, lambda: U.Adam(0.005), RELU),
    "log-cosh": (T.CONCRETE, T.concrete, [8, 32, 1], N.LOG_COSH, lambda: U.nesterov(0.02), {}),
    "large-adam": (T.CHECKER, T.checker, [2, 32, 1], U.BINARY, lambda: U.Adam(0.05), {}),
    "hinge": (T.WORDS, T.words, [40, 1], N.MARGIN, lambda: U.descent(0.1), {}),
    "gaussian": (T.BUMP, T.bump, [1, 16, 1], U.HALF_SQUARE, lambda: U.descent(0.1), {"bend": "gaussian"}),
    "large-weights": (T.RIPPLE, T.ripple, [2, 40, 1], U.MEAN_SQUARE, lambda: U.descent(0.02), {"draw": N.standard}),
    "plateau": (T.CHECKER, T.checker, [2, 24, 1], U.BINARY, lambda: U.nesterov(0.3), {"bend": "sigmoid"}),
    "softmax-only": (T.FOUR, T.four, [64, 4], U.CHANCES, lambda: U.descent(0.1), {}),
    "crammer": (T.FOUR, T.four, [64, 16, 4], F.CRAMMER, lambda: U.descent(0.05), {}),
}


def healthy() -> list[Case]:
    """Closures and other functions; classes; models."""
    closures = [
        control("functions", task, f"fresh-{note}", partial(N.closures, points, sizes, head, update, **options))
        for note, (task, points, sizes, head, update, options) in CLOSURES.items()
    ]
    return [*closures, *_of_functions(), *_of_classes(), *_of_models()]


def _of_functions() -> list[Case]:
    fours = partial(N.closures, T.ripple, [2, 24, 1], U.MEAN_SQUARE, lambda: U.descent(0.02, 1e-3))
    return [
        control("functions", T.RIPPLE, "fresh-fours", fours, batch=4),
        control("functions", T.RIPPLE, "fresh-skip", partial(N.skipping, T.ripple, 10, 0.05)),
        control("functions", T.LAGS, "fresh-loop", partial(N.looped, T.lags, 8, 0.1, show=("step",))),
        control(
            *("functions", T.STRIPES, "fresh-kernels"),
            partial(N.kernels, T.stripes, 8, U.LOGITS, lambda: U.Adam(0.02)),
        ),
    ]


def _of_classes() -> list[Case]:
    noisy = partial(C.module, T.four, [64, 40, 4], U.LOGITS, lambda: C.Optimizer(0.02, 0.9))
    signs = partial(C.module, T.bump, [1, 24, 1], U.MEAN_SQUARE, lambda: C.Rprop(0.002), activation=C.Tanh)
    sines = partial(C.module, T.ripple, [2, 24, 1], U.HUBER, lambda: C.Optimizer(0.05), activation=C.Sine)
    logistic = partial(C.module, T.words, [40, 1], U.BINARY, lambda: C.Optimizer(0.2), shown=False)
    programs: list[tuple[Task, str, Any]] = [
        (T.BUMP, "gaussians", partial(K.gaussians, T.bump, 12, 0.1)),
        (T.FOUR, "noisy-inputs", partial(noisy, kind=C.NoisyInputs, shown=False)),
        (T.CONCRETE, "lists", partial(K.lists, T.concrete, [8, 8, 8, 1], 0.1)),
        (T.ARMS, "lists", partial(K.lists, T.arms, [2, 24, 24, 3], 0.3, kind=K.Classifier)),
        (T.BUMP, "signs", signs),
        (T.WORDS, "logistic", logistic),
        (T.RIPPLE, "sines", sines),
    ]
    return [control("class", task, f"fresh-{note}", build) for task, note, build in programs]


def _line() -> L.Layer:
    """A convolution along a line of 24 pixels, (n, 24, 1)."""
    return L.Sequential(
        *(L.Conv1d(1, 12, 5), L.BatchNorm(12), L.ReLU(), L.MaxPool1d(2), L.Flatten(), L.Linear(120, 3)),
    )


MODELS: dict[str, tuple[Task, U.Points, Callable[[], L.Layer], Any, Any, float]] = {
    # name: task, points, model, loss, optimizer, rate
    "norm": (T.STRIPES, T.LINES, _line, losses.softmax_cross_entropy, optimizers.Adam, 0.003),
    "dropout": (
        *(T.FOUR, T.four, lambda: mlp([64, 48, 4], "relu", dropout=0.5)),
        *(losses.softmax_cross_entropy, optimizers.Adam, 0.003),
    ),
    "logit": (
        *(T.CHECKER, T.checker, lambda: mlp([2, 32, 32, 1], "gelu")),
        *(losses.binary_cross_entropy, optimizers.AdamW, 0.01),
    ),
    "huber": (
        *(T.PAIRS, T.PAIRS_TO_THREE, lambda: mlp([128, 32, 1], "relu")),
        *(losses.huber, optimizers.Momentum, 0.01),
    ),
    "noisy-targets": (
        *(T.RIPPLE, T.noisy_ripple, lambda: mlp([2, 32, 1], "silu")),
        *(losses.squared_error, optimizers.SGD, 0.05),
    ),
    "adagrad": (
        *(T.CROSS, T.cross, lambda: mlp([4, 48, 2], "relu")),
        *(losses.softmax_cross_entropy, optimizers.AdaGrad, 0.05),
    ),
}


def _of_models() -> list[Case]:
    return [
        control(
            *("xpnet", task, f"fresh-{note}"),
            partial(trained, points, build, loss, optimizer, rate),
            slow=note == "noisy-targets",
        )
        for note, (task, points, build, loss, optimizer, rate) in MODELS.items()
    ]
