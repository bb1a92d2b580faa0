"""The healthy ones among the unseen programs."""

from functools import partial
from typing import Any

from bench.clinic import unseen_models as M
from bench.clinic import unseen_networks as N
from bench.clinic import unseen_tasks as T
from bench.clinic.case import Case
from bench.clinic.plain import control
from bench.clinic.unseen_classes import Sigmoid, Switched, Tanh, estimator, stack
from bench.clinic.unseen_columns import columns, linear
from xpnet import losses, optimizers
from xpnet.models import mlp

CHAINS: dict[str, tuple[Any, ...]] = {
    # name: task, points, sizes, head, update, activation
    "swish-adam": (T.MOONS, T.moons, [2, 12, 12, 1], N.BINARY, lambda: N.Adam(0.01), "swish"),
    "gelu-rmsprop": (T.SURFACE, T.surface, [2, 48, 1], N.MEAN_SQUARE, lambda: N.adaptive(0.003, 0.95), "gelu"),
    "elu-nesterov": (T.SERIES, T.series, [8, 20, 20, 1], N.HALF_SQUARE, lambda: N.nesterov(0.01), "elu"),
    "leaky-adagrad": (T.LETTERS, T.letters, [35, 24, 6], N.LOGITS, lambda: N.adaptive(0.03), "leaky"),
    "sigmoid-nesterov": (T.PARITY, T.parity, [3, 8, 2], N.CHANCES, lambda: N.nesterov(0.2), "sigmoid"),
    "huber-relu": (T.HOUSES, T.houses, [6, 32, 1], N.HUBER, lambda: N.descent(0.1), "relu"),
    "wide-relu": (T.BLOBS, T.blobs, [2, 256, 4], N.LOGITS, lambda: N.descent(0.1), "relu"),
    "autoencoder": (T.CODES, T.codes, [12, 8, 12], N.HALF_SQUARE, lambda: N.Adam(0.01), "tanh"),
    "fading-rate": (T.SURFACE, T.surface, [2, 30, 30, 1], N.MEAN_SQUARE, lambda: N.descent(0.1, 1e-3), "tanh"),
    "five-layers": (T.WINE, T.wine, [13, 12, 12, 12, 12, 3], N.CHANCES, lambda: N.Adam(0.01), "elu"),
    "uneven": (T.MOONS, T.uneven_moons, [2, 16, 2], N.LOGITS, lambda: N.descent(0.3), "leaky"),
    "framed": (T.LETTERS, T.framed_letters, [63, 32, 6], N.CHANCES, lambda: N.nesterov(0.02), "relu"),
    "four-units": (T.MOONS, T.labelled_moons, [2, 4, 4, 2], N.LOGITS, lambda: N.Adam(0.02), "tanh"),
}


def healthy() -> list[Case]:
    """Chains, columns, no hidden layer; classes; models."""
    chains = [
        control(
            "functions", task, f"unseen-{note}", partial(N.chain, points, sizes, head, update, activation=activation)
        )
        for note, (task, points, sizes, head, update, activation) in CHAINS.items()
    ]
    return [*chains, *_of_functions(), *_of_classes(), *_of_models()]


def _of_functions() -> list[Case]:
    return [
        control("functions", T.MOONS, "unseen-columns", partial(columns, T.moons, [2, 10, 10, 1], "sigmoid", 0.5)),
        control("functions", T.WAVE, "unseen-columns", partial(columns, T.wave, [1, 80, 1], "linear", 0.03)),
        control("functions", T.LINE, "unseen-least-squares", partial(linear, T.line, N.HALF_SQUARE, 0.01)),
        control("functions", T.LINE, "unseen-noise", partial(linear, T.noisy_line, N.HALF_SQUARE, 0.005), slow=True),
        control(
            *("functions", T.PARITY, "unseen-steps-only"),
            partial(
                N.chain, T.parity, [3, 12, 2], N.LOGITS, lambda: N.nesterov(0.05), activation="gelu", show=("step",)
            ),
        ),
        control("functions", T.SIDES, "unseen-hinge", partial(linear, T.sides, N.HINGE, 0.1)),
        control("functions", T.WINE, "unseen-softmax", partial(linear, T.wine, N.CHANCES, 0.5, outputs=3)),
    ]


def _of_classes() -> list[Case]:
    dropout = partial(stack, T.letters, [35, 48, 6], N.CHANCES, lambda: N.descent(0.2), kind=Switched, shown=False)
    return [
        control(
            "class", T.WINE, "unseen-adagrad", partial(stack, T.wine, [13, 20, 3], N.CHANCES, lambda: N.adaptive(0.05))
        ),
        control(
            "class",
            T.PARITY,
            "unseen-sigmoid",
            partial(stack, T.parity, [3, 16, 2], N.LOGITS, lambda: N.Adam(0.03), between=Sigmoid, std=1.0),
        ),
        control(
            "class",
            T.SERIES,
            "unseen-tanh",
            partial(stack, T.series, [8, 32, 16, 1], N.MEAN_SQUARE, lambda: N.descent(0.1, 1e-3), between=Tanh),
        ),
        control("class", T.LETTERS, "unseen-dropout", dropout),
        control("class", T.HOUSES, "unseen-estimator", partial(estimator, T.houses, 24, 0.01)),
    ]


def _of_models() -> list[Case]:
    return [
        control(
            "xpnet",
            T.BARS,
            "unseen-norm",
            partial(
                M.trained,
                T.bars,
                lambda: M.convolution(norm=True),
                losses.softmax_cross_entropy,
                optimizers.Adam,
                0.005,
            ),
        ),
        control(
            "xpnet",
            T.MOONS,
            "unseen-logit",
            partial(
                M.trained,
                T.moons,
                lambda: mlp([2, 20, 20, 1], "silu"),
                losses.binary_cross_entropy,
                optimizers.AdamW,
                0.01,
            ),
        ),
        control(
            "xpnet",
            T.SURFACE,
            "unseen-residual",
            partial(M.trained, T.surface, M.residual, losses.mean_squared_error, optimizers.Adam, 0.003),
        ),
        control(
            "xpnet",
            T.LETTERS,
            "unseen-dropout",
            partial(
                M.trained,
                T.letters,
                lambda: mlp([35, 64, 6], "relu", dropout=0.3),
                losses.softmax_cross_entropy,
                optimizers.RMSprop,
                0.002,
            ),
        ),
        control(
            "xpnet",
            T.CODES,
            "unseen-autoencoder",
            partial(M.trained, T.codes, M.bottleneck, losses.squared_error, optimizers.Adam, 0.005),
        ),
        control(
            "xpnet",
            T.SERIES,
            "unseen-huber",
            partial(
                M.trained,
                T.series,
                lambda: mlp([8, 32, 1], "leaky_relu"),
                losses.huber,
                optimizers.Momentum,
                0.02,
                nesterov=True,
            ),
        ),
    ]
