"""What many of the unseen programs have in common, and those of them that are faulty at an end of the network."""

from functools import partial
from typing import Any

import numpy as np

from bench.clinic import unseen_faults as F
from bench.clinic import unseen_models as M
from bench.clinic import unseen_networks as N
from bench.clinic import unseen_tasks as T
from bench.clinic.case import Build, Case
from bench.clinic.faulty import case
from bench.clinic.tasks import Task
from bench.clinic.unseen_classes import Dropping, Switched, Tanh, estimator, stack
from bench.clinic.unseen_columns import columns, linear
from xpnet import layers as L
from xpnet import losses, optimizers
from xpnet.models import mlp

MOONS = partial(columns, T.moons, [2, 16, 1], "sigmoid", 0.3)
BLOBS = partial(columns, T.blobs, [2, 20, 20, 4], "softmax", 0.3)
WAVE = partial(columns, T.wave, [1, 60, 1], "linear", 0.05)
SURFACE = partial(N.chain, T.surface, [2, 32, 32, 1], N.MEAN_SQUARE, lambda: N.descent(0.03))
DEEP = partial(N.chain, T.houses, [6, 6, 6, 6, 1], N.MEAN_SQUARE, lambda: N.descent(0.1), activation="leaky")
HOUSES = partial(N.chain, T.houses, [6, 40, 1], N.HUBER, lambda: N.descent(0.1), activation="tanh", gain=1.0)
CODES = partial(N.chain, T.codes, [12, 16, 5, 16, 12], N.MEAN_SQUARE, lambda: N.nesterov(0.2), activation="tanh")
SERIES = partial(stack, T.series, [8, 24, 1], N.HALF_SQUARE, lambda: N.descent(0.05), between=Tanh)
WINE = partial(stack, T.wine, [13, 32, 32, 3], N.CHANCES, lambda: N.adaptive(0.05))
LETTERS = partial(N.chain, T.letters, [35, 40, 6], N.LOGITS, lambda: N.descent(0.2))


def fault(task: Task, cause: str, form: str, build: Build, twin: Build, style: str = "functions", **more: Any) -> Case:
    """A faulty program, the form of its fault in a few words, and its healthy twin."""
    return case(style, task, cause, build, twin, note=f"unseen-{form}", **more)


def model(task: Task, cause: str, form: str, build: Build, twin: Build, **more: Any) -> Case:
    """One of xpnet."""
    return fault(task, cause, form, build, twin, "xpnet", **more)


def of_data() -> list[Case]:
    """What is wrong with the examples."""
    column, row = (
        partial(linear, points, head, 0.5, outputs=3)
        for points, head in ((T.label_column, F.COLUMN), (T.wine, N.CHANCES))
    )
    cloud, late = (
        partial(
            M.trained, points, lambda: mlp([2, 30, 4], "gelu"), losses.softmax_cross_entropy, optimizers.RMSprop, 0.005
        )
        for points in (T.blobs, T.one_late)
    )
    cnn, dark = (
        partial(M.trained, points, M.convolution, losses.softmax_cross_entropy, optimizers.SGD, 0.1)
        for points in (T.bars, T.grey)
    )
    young, mixed = (
        partial(
            M.trained,
            partial(T.young_wine, apart=apart),
            lambda: mlp([13, 24, 24, 3], "silu"),
            losses.softmax_cross_entropy,
            optimizers.AdamW,
            0.005,
        )
        for apart in (False, True)
    )
    own, common = (
        partial(N.chain, points, [6, 32, 1], N.MEAN_SQUARE, lambda: N.Adam(0.01), activation="elu", gain=1.0)
        for points in (T.two_rulers, T.one_ruler)
    )
    named, lonely = (
        partial(N.chain, points, [2, 16, 2], N.LOGITS, lambda: N.descent(0.3), activation="tanh")
        for points in (T.labelled_moons, T.rare)
    )
    few, many = (
        partial(N.chain, partial(T.noisy_surface, n), [2, 128, 1], N.MEAN_SQUARE, lambda: N.Adam(0.01))
        for n in (12, 300)
    )
    spread, paired = (
        partial(M.trained, points, lambda: mlp([8, 24, 1], "softplus"), loss, optimizers.Adam, 0.005)
        for points, loss in ((T.flat, M.row_square), (T.series, losses.mean_squared_error))
    )
    return [
        fault(T.WINE, "labels_column", "one-hot", column, row),
        fault(
            T.HOUSES,
            "targets_broadcast",
            "flat-outputs",
            partial(N.chain, T.houses, [6, 40, 1], F.FLAT, lambda: N.descent(0.1), activation="tanh", gain=1.0),
            HOUSES,
            also=("wrong_shape",),
        ),
        model(T.SERIES, "targets_broadcast", "own-loss", spread, paired),
        fault(
            T.HOUSES,
            "inputs_unscaled",
            "raw-table",
            partial(estimator, T.raw_houses_priced, 30, 0.01),
            partial(estimator, T.houses, 30, 0.01),
            "class",
        ),
        model(T.BARS, "inputs_unscaled", "grey-values", dark, cnn),
        fault(T.HOUSES, "inputs_scaled_apart", "own-minimum", own, common),
        model(T.WINE, "inputs_scaled_apart", "two-kinds", mixed, young),
        fault(
            T.HOUSES,
            "inputs_constant",
            "filled",
            partial(estimator, T.stuck, 30, 0.01, shown=True),
            partial(estimator, T.houses, 30, 0.01, shown=True),
            "class",
        ),
        fault(T.MOONS, "labels_imbalanced", "three", lonely, named),
        fault(
            T.HOUSES,
            "labels_shuffled",
            "sorted-prices",
            partial(N.chain, T.sorted_prices, *HOUSES.args[1:], **HOUSES.keywords),
            HOUSES,
        ),
        model(T.BLOBS, "labels_shuffled", "header", late, cloud),
        fault(T.SURFACE, "overfitting", "twelve", few, many),
    ]


def of_outputs() -> list[Case]:
    """What is wrong behind the last layer."""
    naive, stable = (
        partial(linear, T.rounded_letters, head, 2.0, outputs=6, start=20.0, number=np.float32)
        for head in (F.NAIVE, (N.itself, N.logits_loss, F.narrow_delta))
    )
    dropping, switched = (
        partial(stack, T.houses, [6, 64, 1], N.HALF_SQUARE, lambda: N.descent(0.05, 0.001), kind=kind)
        for kind in (Dropping, Switched)
    )
    squashed, free = (
        partial(M.trained, T.codes, partial(M.bottleneck, *last), losses.mean_squared_error, optimizers.Adam, 0.005)
        for last in ((L.Sigmoid(),), ())
    )
    return [
        fault(
            T.SURFACE,
            "output_range",
            "softplus",
            partial(N.chain, T.surface, [2, 32, 32, 1], F.POSITIVE, lambda: N.descent(0.03)),
            SURFACE,
        ),
        model(T.CODES, "output_range", "decoder", squashed, free),
        fault(T.BLOBS, "softmax_axis", "columns", partial(BLOBS, output=F.softmax_of_rows), BLOBS),
        fault(T.LETTERS, "softmax_overflow", "sum", naive, stable, also=("weights_large",)),
        fault(T.HOUSES, "dropout_in_evaluation", "flag", dropping, partial(switched, shown=False), "class"),
        fault(
            T.MOONS,
            "output_constant",
            "softmax-of-one",
            partial(N.chain, T.moons, [2, 16, 1], F.ONE_CLASS, lambda: N.descent(0.3)),
            partial(N.chain, T.moons, [2, 16, 1], N.BINARY, lambda: N.descent(0.3)),
            also=("nothing_computed", "output_range"),
        ),
        fault(T.BLOBS, "nothing_computed", "captured", partial(F.captured, BLOBS), BLOBS),
    ]
