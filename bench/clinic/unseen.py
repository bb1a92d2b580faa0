"""Programs written after the rules of the diagnosis were frozen again, by somebody who had not read them.

No task, network or form of a mistake is one of `faulty.py`, `controls.py` or `held_out.py`. `python -m bench.clinic
--verify --unseen` shows whether each fault hurts and each healthy program learns.
"""

from functools import partial
from typing import Any

from bench.clinic import unseen_faults as F
from bench.clinic import unseen_models as M
from bench.clinic import unseen_networks as N
from bench.clinic import unseen_tasks as T
from bench.clinic.case import Case
from bench.clinic.unseen_classes import Sigmoid, Tanh, estimator, stack
from bench.clinic.unseen_columns import columns, mean_gradients
from bench.clinic.unseen_controls import healthy
from bench.clinic.unseen_others import others
from bench.clinic.unseen_recipes import (
    CODES,
    DEEP,
    HOUSES,
    LETTERS,
    MOONS,
    SERIES,
    SURFACE,
    WAVE,
    WINE,
    fault,
    model,
    of_data,
    of_outputs,
)
from xpnet import losses, optimizers
from xpnet.initializers import normal
from xpnet.models import mlp


def _of_gradients() -> list[Case]:
    sigmoid = partial(
        N.chain, T.parity, [3, 12, 12, 2], N.CHANCES, lambda: N.nesterov(0.3), activation="sigmoid", gain=2.0
    )
    swish = partial(N.chain, T.surface, [2, 40, 1], N.HALF_SQUARE, lambda: N.descent(0.06), activation="swish")
    small = partial(N.chain, T.surface, [2, 12, 1], N.HUBER, activation="tanh")
    swing = partial(N.chain, T.wave, [1, 30, 1], N.HALF_SQUARE, lambda: N.descent(0.05), activation="elu", gain=2.0)
    square = partial(
        N.chain, T.codes, [12, 12, 12], N.HALF_SQUARE, lambda: N.descent(0.03), activation="tanh", gain=1.0
    )
    own, averaged = (
        partial(
            M.trained, T.houses, lambda: mlp([6, 30, 30, 1], "relu"), loss, optimizers.Momentum, 0.02, nesterov=True
        )
        for loss in (M.huber_sum, losses.huber)
    )
    overwritten, kept = (
        partial(stack, T.moons, [2, 20, 1], head, lambda: N.Adam(0.02), between=Tanh)
        for head in (F.OVERWRITTEN, F.PROBABILITY_SQUARE)
    )
    layers = partial(stack, T.houses, [6, 24, 24, 24, 1], N.MEAN_SQUARE, lambda: N.nesterov(0.01), between=Tanh)
    shared = Tanh()  # fault: one object for all layers keeps the last one's values
    return [
        fault(T.MOONS, "gradient_sign", "one-bias", partial(MOONS, grads=F.turned_bias(mean_gradients)), MOONS),
        fault(
            T.SERIES,
            "gradient_sign",
            "adam-climbs",
            partial(estimator, T.series, 24, 0.005, kind=F.Climbing, shown=True),
            partial(estimator, T.series, 24, 0.005, shown=True),
            "class",
        ),
        fault(T.WAVE, "bias_gradient_axis", "einsum", partial(swing, back=F.bias_of_all), swing),
        fault(
            T.HOUSES,
            "loss_summed",
            "huber",
            partial(N.chain, T.houses, [6, 40, 1], F.without_mean(N.HUBER), *HOUSES.args[3:], **HOUSES.keywords),
            HOUSES,
            also=("gradient_scale",),
        ),
        model(T.HOUSES, "loss_summed", "huber-both", own, averaged, also=("rate_high",)),
        fault(T.HOUSES, "gradient_activation", "own-output", partial(DEEP, back=F.own_output), DEEP),
        fault(T.SURFACE, "gradient_argument", "mask-behind", partial(SURFACE, back=F.mask_behind), SURFACE),
        fault(T.SURFACE, "gradient_argument", "swish", partial(swish, back=F.swish_slope_of_sum), swish),
        fault(
            T.HOUSES,
            "activation_overwritten",
            "one-buffer",
            partial(DEEP, run=F.one_buffer),
            DEEP,
            also=("gradient_activation",),
        ),
        fault(T.MOONS, "activation_overwritten", "error-in-outputs", overwritten, kept, "class"),
        fault(
            *(T.HOUSES, "activation_overwritten", "one-object", partial(layers, between=lambda: shared), layers),
            *("class",),
            also=("gradient_argument",),
        ),
        fault(T.CODES, "gradient_transposed", "einsum", partial(square, back=F.turned), square),
        fault(T.PARITY, "gradient_mask", "sigmoid", partial(sigmoid, back=F.no_slope), sigmoid),
        fault(
            T.CODES,
            "gradient_scale",
            "outputs",
            partial(
                N.chain,
                T.codes,
                CODES.args[1],
                (N.itself, N.MEAN_SQUARE[1], F.mean_of_examples),
                *CODES.args[3:],
                **CODES.keywords,
            ),
            CODES,
        ),
        fault(T.SURFACE, "gradient_stale", "table", _kept, SURFACE, also=("state_between_batches",)),
        fault(
            T.SURFACE,
            "gradient_zero",
            "last-layer-only",
            partial(small, lambda: F.of_last_layer(N.descent(0.2), 1), show=("step",)),
            partial(small, lambda: N.descent(0.2), show=("step",)),
        ),
    ]


def _kept(seed: int) -> Any:
    return SURFACE(seed, back=F.kept_activations())


def _of_initialization() -> list[Case]:
    alike, equal = partial(LETTERS, prepare=F.same_seed), partial(WINE, prepare=F.all_half, between=Tanh)
    saturated = partial(WINE, between=Sigmoid, std=5.0)
    tiny, fair = (
        partial(stack, T.wine, [13, 24, 24, 24, 3], N.CHANCES, lambda: N.descent(0.3), between=Tanh, std=std)
        for std in (1e-4, 0.2)
    )
    huge, he = (
        partial(
            M.trained,
            T.letters,
            partial(mlp, [35, 96, 96, 96, 6], "relu", weight=weight),
            losses.softmax_cross_entropy,
            optimizers.SGD,
            0.1,
        )
        for weight in (normal(1.0), None)
    )
    lifted = partial(stack, T.surface, [2, 64, 1], N.MEAN_SQUARE, lambda: N.adaptive(0.02))
    dead, awake = (
        partial(
            M.trained,
            T.bars,
            partial(M.convolution, bias),
            losses.softmax_cross_entropy,
            optimizers.Adam,
            0.003,
        )
        for bias in (-12.0, 0.0)
    )
    return [
        fault(T.LETTERS, "weights_zero", "same-seed", alike, LETTERS),
        fault(T.WINE, "weights_zero", "one-value", equal, partial(WINE, between=Tanh), "class"),
        fault(T.WINE, "weights_small", "four-layers", tiny, fair, "class"),
        fault(T.WINE, "weights_large", "five", saturated, partial(WINE, between=Sigmoid, std=1.0), "class"),
        model(T.LETTERS, "weights_large", "randn", huge, he, also=("rate_high",)),
        fault(T.WAVE, "hinges_outside_data", "time-from-0", partial(columns, T.seconds, *WAVE.args[1:]), WAVE),
        fault(T.SURFACE, "hinges_outside_data", "high-biases", partial(lifted, prepare=F.high_biases), lifted, "class"),
        fault(
            *(T.LETTERS, "dead_relus", "negative-weights", partial(LETTERS, prepare=F.negative_first), LETTERS),
            also=("hinges_outside_data",),
        ),
        model(T.BARS, "dead_relus", "convolution", dead, awake, also=("hinges_outside_data",)),
    ]


def _of_rates() -> list[Case]:
    swift, steady = (
        partial(stack, T.houses, [6, 32, 1], N.MEAN_SQUARE, partial(N.adaptive, rate, 0.9)) for rate in (0.5, 0.005)
    )
    wild, tame = (
        partial(
            M.trained,
            T.letters,
            lambda: mlp([35, 32, 32, 6], "relu"),
            losses.softmax_cross_entropy,
            optimizers.Adam,
            rate,
        )
        for rate in (1.0, 0.005)
    )
    thrown, held, fading = (
        partial(N.chain, T.surface, [2, 32, 32, 1], N.MEAN_SQUARE, update, activation=activation)
        for update, activation in (
            (lambda: N.nesterov(1.5), "tanh"),
            (lambda: N.nesterov(0.03), "tanh"),
            (lambda: N.descent(0.03, 5.0), "relu"),
        )
    )
    slow = partial(stack, T.series, [8, 24, 1], N.HALF_SQUARE, lambda: N.adaptive(1e-5), between=Tanh)
    crawling, walking = (
        partial(
            M.trained, T.surface, lambda: mlp([2, 40, 40, 1], "tanh"), losses.squared_error, optimizers.Momentum, rate
        )
        for rate in (1e-5, 0.02)
    )
    return [
        fault(T.HOUSES, "rate_high", "rmsprop", swift, steady, "class"),
        fault(T.SURFACE, "rate_high", "nesterov", thrown, held),
        model(T.LETTERS, "rate_high", "adam", wild, tame),
        fault(T.SURFACE, "rate_low", "fading", fading, SURFACE),
        fault(T.SERIES, "rate_low", "adagrad", slow, SERIES, "class"),
        model(T.SURFACE, "rate_low", "momentum", crawling, walking),
    ]


def unseen() -> list[Case]:
    """All of them."""
    return [*of_data(), *of_outputs(), *_of_gradients(), *_of_initialization(), *_of_rates(), *others(), *healthy()]
