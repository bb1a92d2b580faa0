"""Programs written after the rules of the diagnosis were frozen; they are scored apart.

Other tasks, depths, activations, losses and optimizers than those of `faulty.py` and `controls.py`, and other forms of
the same mistakes. A recipe is a `Case` like those; its first cause is a code of `xpnet.diagnostics.CAUSES`. `python -m
bench.clinic --verify --held-out` shows whether a fault hurts.
"""

from functools import partial
from typing import Any

from bench.clinic import held_out_faults as F
from bench.clinic import held_out_tasks as T
from bench.clinic.case import Arguments, Build, Case
from bench.clinic.faulty import case
from bench.clinic.functions import leaky_relu, relu, sigmoid, tanh
from bench.clinic.held_out_networks import (
    ABSOLUTE,
    CLASSIFICATION,
    PROBABILITY,
    REGRESSION,
    Head,
    Regressor,
    Update,
    adam,
    clipped,
    decayed,
    deep,
    descent,
    elu,
    momentum,
    regressor,
    run,
    softplus,
)
from bench.clinic.plain import control
from bench.clinic.tasks import Task
from xpnet import losses, optimizers
from xpnet.initializers import normal, xavier_uniform

WALKS: dict[str, Any] = {
    "gradient_transposed": F.transposed,
    "gradient_mask": F.unmasked,
    "gradient_sign": F.middle_turned,
    "gradient_scale": F.divided_twice,
    "gradient_zero": F.last_only,
    "gradient_activation": F.first_activation_for_all,
    "activation_overwritten": F.squared_in_place,
}

SPIRALS = partial(deep, T.spirals, [2, 24, 24, 24, 2], CLASSIFICATION, lambda: momentum(0.03), activation=leaky_relu)
RINGS = partial(deep, T.rings, [2, 16, 16, 1], PROBABILITY, lambda: descent(0.3), activation=relu)
XOR = partial(deep, T.xor, [2, 6, 2], CLASSIFICATION, lambda: momentum(0.1), activation=tanh)
DECAY = partial(deep, T.decay, [1, 12, 1], REGRESSION, lambda: descent(0.05), activation=softplus)
STAIRS = partial(deep, T.stairs, [1, 32, 32, 1], REGRESSION, lambda: adam(0.005), activation=relu)
FIVE = partial(deep, T.five, [5, 40, 40, 1], REGRESSION, lambda: descent(0.1), activation=tanh)
NARROW = partial(deep, T.five, [5, 5, 5, 1], REGRESSION, lambda: adam(0.01), activation=tanh)
FEW_DIGITS = partial(deep, T.few_digits, [64, 32, 32, 32, 5], CLASSIFICATION, lambda: descent(0.2), activation=tanh)


def fault(cause: str, task: Task, build: Build, twin: Build, *, style: str = "functions", **more: Any) -> Case:
    """A faulty program with its healthy twin."""
    return case(style, task, cause, build, twin, note=more.pop("note", "held-out"), **more)


def wrong_gradient(cause: str, task: Task, healthy: Any, **more: Any) -> Case:
    """A healthy program with one of `WALKS` for its backward pass."""
    return fault(cause, task, partial(healthy, back=lambda: WALKS[cause]), healthy, **more)


def careful() -> Update:
    """Momentum with clipped gradients and decaying weights."""
    return clipped(decayed(momentum(0.02), 1e-5))


def _absolute(seed: int, *, head: Head = ABSOLUTE) -> Arguments:
    return deep(T.decay, [1, 20, 1], head, lambda: momentum(0.005), seed, activation=tanh)


def _dropping(seed: int, *, wrong: bool) -> Arguments:
    """The healthy one keeps its gradients, random as they are, to itself."""
    made = deep(
        *(T.five, [5, 80, 1], REGRESSION, lambda: momentum(0.01), seed),
        activation=relu,
        forward=F.dropping(0.3, seed),
        back=lambda: F.through_dropout(0.3),
        evaluate=None if wrong else run,
    )
    return {name: value for name, value in made.items() if wrong or name != "gradients"}


def _of_data() -> list[Case]:
    output, loss, _ = REGRESSION
    averaged = partial(deep, T.flat, [5, 40, 40, 1], (output, loss, F.averaged_away), lambda: descent(0.1))
    grams, kilograms = (partial(regressor, Regressor, points, 40, 0.02) for points in (T.one_in_thousands, T.five))
    empty, full, apart, together = (
        partial(F.perceptron, points, [5, 40, 40, 1], losses.squared_error, 0.003, activation="gelu")
        for points in (T.empty_columns, T.five, T.later_scaled_apart, T.later)
    )
    half = partial(SPIRALS.func, T.half_shuffled, *SPIRALS.args[1:], **SPIRALS.keywords)
    mixed = partial(regressor, Regressor, T.all_shuffled, 40, 0.02)
    return [
        fault("targets_broadcast", T.FIVE, averaged, FIVE),
        fault("inputs_unscaled", T.FIVE, grams, kilograms, style="class"),
        fault("inputs_constant", T.FIVE, empty, full, style="xpnet"),
        fault("inputs_scaled_apart", T.FIVE, apart, together, style="xpnet"),
        fault("labels_shuffled", T.SPIRALS, half, SPIRALS, note="held-out-half"),
        fault("labels_shuffled", T.FIVE, mixed, kilograms, style="class"),
    ]


def _of_outputs() -> list[Case]:
    _, loss, delta = CLASSIFICATION
    columns = partial(deep, T.spirals, [2, 24, 24, 24, 2], (F.softmax_of_columns, loss, delta), lambda: momentum(0.03))
    return [
        fault("softmax_axis", T.SPIRALS, partial(columns, activation=leaky_relu), SPIRALS),
        fault("output_range", T.DECAY, partial(_absolute, head=F.tanh_behind(ABSOLUTE)), _absolute),
        fault("dropout_in_evaluation", T.FIVE, partial(_dropping, wrong=True), partial(_dropping, wrong=False)),
    ]


def _of_gradients() -> list[Case]:
    summed = partial(deep, T.spirals, [2, 24, 24, 24, 2], F.summed(CLASSIFICATION), lambda: momentum(0.03))
    bent, rectified = (
        partial(deep, T.five, [5, 40, 40, 1], REGRESSION, lambda: descent(0.03), activation=activation)
        for activation in (elu, relu)
    )
    return [
        wrong_gradient("gradient_transposed", T.FIVE, NARROW),
        wrong_gradient("gradient_mask", T.FIVE, rectified),
        wrong_gradient("gradient_sign", T.STAIRS, STAIRS),
        wrong_gradient("gradient_scale", T.FIVE, FIVE),
        wrong_gradient("gradient_zero", T.SPIRALS, SPIRALS),
        wrong_gradient("gradient_activation", T.STAIRS, STAIRS),
        wrong_gradient("activation_overwritten", T.FIVE, FIVE),
        fault(
            *("gradient_stale", T.FIVE, partial(FIVE, back=F.remembering), FIVE),
            also=("state_between_batches",),
        ),
        fault("loss_summed", T.SPIRALS, partial(summed, activation=leaky_relu), SPIRALS, also=("rate_high",)),
        fault("gradient_argument", T.FIVE, partial(bent, slope=F.elu_derivative_of_a), bent),
    ]


def _of_initialization() -> list[Case]:
    edge = partial(regressor, F.EverPositive, T.unit_stairs, 50, 0.05)
    spread = partial(regressor, Regressor, T.stairs, 50, 0.05)
    small, right = (
        partial(F.perceptron, T.five, [5, *4 * [30], 1], losses.squared_error, 0.05, optimizer=optimizers.SGD, weight=w)
        for w in (normal(1e-3), xavier_uniform)
    )
    return [
        fault("weights_zero", T.XOR, partial(XOR, prepare=F.all_alike), XOR, note="held-out-alike"),
        fault("weights_small", T.FIVE, small, right, style="xpnet"),
        fault("weights_large", T.FIVE, partial(FIVE, prepare=F.times("W2", 20.0)), FIVE),
        fault(
            *("dead_relus", T.STAIRS, partial(STAIRS, prepare=F.biases_of(-5.0)), STAIRS),
            also=("hinges_outside_data",),
        ),
        fault("hinges_outside_data", T.STAIRS, edge, spread, style="class"),
    ]


def _of_rates() -> list[Case]:
    high, low, middle = (
        partial(deep, T.rings, [2, 16, 16, 1], PROBABILITY, update, activation=elu)
        for update in (lambda: momentum(3.0), lambda: adam(1e-6), lambda: momentum(0.1))
    )
    swift, steady = (
        partial(F.perceptron, T.five, [5, 40, 40, 1], losses.squared_error, rate, activation="tanh")
        for rate in (0.3, 0.01)
    )
    return [
        fault("rate_high", T.RINGS, high, middle),
        fault("rate_high", T.FIVE, swift, steady, style="xpnet"),
        fault("rate_low", T.RINGS, low, middle),
    ]


def healthy() -> list[Case]:
    """Those without."""
    perceptron = partial(F.perceptron, T.few_digits, [64, 60, 5], losses.softmax_cross_entropy, 0.002)
    return [
        control("functions", T.SPIRALS, "three-leaky-momentum", SPIRALS),
        control("functions", T.RINGS, "one-probability", RINGS),
        control("functions", T.XOR, "six-units", XOR),
        control("functions", T.XOR, "noisy", partial(XOR.func, T.noisy_xor, *XOR.args[1:], **XOR.keywords)),
        control("functions", T.DECAY, "softplus", DECAY),
        control("functions", T.DECAY, "absolute-error", _absolute),
        control("functions", T.STAIRS, "adam", STAIRS),
        control(
            *("functions", T.FIVE, "clipped-decayed"),
            partial(deep, T.five, [5, 40, 40, 1], REGRESSION, careful, activation=elu),
        ),
        control("functions", T.FIVE, "dropout", partial(_dropping, wrong=False)),
        control("functions", T.FEW_DIGITS, "three-tanh", FEW_DIGITS),
        control(
            *("functions", T.FEW_DIGITS, "sigmoid-adam"),
            partial(deep, T.few_digits, [64, 20, 5], CLASSIFICATION, lambda: adam(0.01), activation=sigmoid),
        ),
        control("class", T.FIVE, "own-names", partial(regressor, Regressor, T.five, 40, 0.02)),
        control("class", T.DECAY, "steps-only", partial(regressor, Regressor, T.decay, 50, 0.02, shown=False)),
        control(
            *("xpnet", T.SPIRALS, "gelu-adam"),
            partial(F.perceptron, T.spirals, [2, 40, 40, 2], losses.softmax_cross_entropy, 0.01, activation="gelu"),
        ),
        control(
            *("xpnet", T.FIVE, "four-tanh"),
            partial(F.perceptron, T.five, [5, *4 * [30], 1], losses.squared_error, 0.003, weight=xavier_uniform),
        ),
        control(
            *("xpnet", T.FEW_DIGITS, "dropout-rmsprop"),
            partial(perceptron, activation="leaky_relu", optimizer=optimizers.RMSprop, dropout=0.2),
        ),
    ]


def held_out() -> list[Case]:
    """All of them."""
    return [*_of_data(), *_of_outputs(), *_of_gradients(), *_of_initialization(), *_of_rates(), *healthy()]
