"""The plain healthy programs, in every style on every task."""

from functools import partial
from typing import Any

from bench.clinic import models as M
from bench.clinic.case import Arguments, Build, Case
from bench.clinic.classes import Momentum, OneHidden, ReLU, Sigmoid, TwoHidden, network
from bench.clinic.data_faults import centred
from bench.clinic.functions import initial, leaky_relu, program, relu, sigmoid, tanh
from bench.clinic.tasks import DIGITS, POLYNOMIAL, SINE, Task
from xpnet import optimizers
from xpnet.initializers import xavier_uniform

ALL, REGRESSIONS = (SINE, POLYNOMIAL, DIGITS), (SINE, POLYNOMIAL)


def control(style: str, task: Task, note: str, build: Build, *, may: tuple[str, ...] = (), **more: Any) -> Case:
    """A healthy program; `may` are causes that may be named without being a false alarm."""
    more = {"steps": task.steps, "batch": task.batch} | more
    return Case("/".join((style, task.name, f"healthy-{note}")), style, task.name, None, may, build, **more)


def plain_functions() -> list[Case]:
    """In the first style: activations, widths, inputs of mean 0."""
    rates = {
        "tanh": (tanh, {"sine": 0.03, "polynomial": 0.1, "digits": 0.5}),
        "relu": (relu, {"sine": 0.02, "polynomial": 0.05, "digits": 0.3}),
        "leaky_relu": (leaky_relu, {"sine": 0.02, "polynomial": 0.05, "digits": 0.3}),
        "sigmoid": (sigmoid, {"sine": 0.1, "polynomial": 0.2, "digits": 2.0}),
    }
    return (
        [
            control("functions", task, note, partial(program, task, activation=activation, rate=rate[task.name]))
            for note, (activation, rate) in rates.items()
            for task in ALL
        ]
        + [
            control("functions", task, f"hidden-{hidden}", partial(_of_width, task, hidden=hidden))
            for hidden in (12, 80)
            for task in ALL
        ]
        + [
            control("functions", task, f"centred-{note}", partial(_centred, task, activation=rates[note][0]))
            for note in ("tanh", "leaky_relu")
            for task in REGRESSIONS
        ]
    )


def _of_width(task: Task, seed: int, *, hidden: int) -> Arguments:
    rate = {"sine": 0.6, "polynomial": 2.0, "digits": 20.0}[task.name] / max(hidden, 40)
    return program(task, seed, parameters=initial(task, seed, hidden=hidden), rate=rate)


def _centred(task: Task, seed: int, *, activation: Any) -> Arguments:
    return program(task, seed, points=centred(task, seed), activation=activation, rate=0.03)


def net(task: Task, parts: tuple[type, ...], seed: int, **options: Any) -> Arguments:
    """A learner's class made of these parts."""
    return network(task, seed, *parts, **options)


def plain_classes() -> list[Case]:
    """In the second style: depths, activations, widths, momentum, a network that shows its steps only."""
    nets: dict[str, tuple[Any, tuple[type, ...], dict[str, float]]] = {
        "one-tanh": (OneHidden, (), {"sine": 0.03, "polynomial": 0.1, "digits": 0.2}),
        "one-relu": (OneHidden, (ReLU,), {"sine": 0.03, "polynomial": 0.1, "digits": 0.2}),
        "one-sigmoid": (OneHidden, (Sigmoid,), {"sine": 0.1, "polynomial": 0.2, "digits": 1.0}),
        "momentum-relu": (OneHidden, (Momentum, ReLU), {"sine": 0.003, "polynomial": 0.005, "digits": 0.02}),
        "steps-only-relu": (TwoHidden, (ReLU,), {"sine": 0.03, "polynomial": 0.05, "digits": 0.1}),
        "two-tanh": (TwoHidden, (), {"sine": 0.1, "polynomial": 0.1, "digits": 0.2}),
        "two-relu": (TwoHidden, (ReLU,), {"sine": 0.05, "polynomial": 0.05, "digits": 0.2}),
        "two-sigmoid": (TwoHidden, (Sigmoid,), {"sine": 0.3, "polynomial": 0.3, "digits": 1.0}),
        "momentum": (TwoHidden, (Momentum,), {"sine": 0.01, "polynomial": 0.01, "digits": 0.02}),
        "steps-only": (OneHidden, (Momentum,), {"sine": 0.005, "polynomial": 0.01, "digits": 0.03}),
    }
    return [
        control(
            *("class", task, note),
            partial(net, task, parts, base=base, rate=rate[task.name], gradients=not note.startswith("steps-only")),
        )
        for note, (base, parts, rate) in nets.items()
        for task in ALL
    ]


def plain_models() -> list[Case]:
    """In the third style: optimizers, activations, depths."""
    programs: dict[str, dict[str, Any]] = {
        "sgd-tanh": {},
        "adam-relu": {"activation": "relu", "optimizer": optimizers.Adam, "rate": 0.01},
        "adam-gelu": {"activation": "gelu", "optimizer": optimizers.Adam, "rate": 0.003},
        "momentum-leaky": {"activation": "leaky_relu", "optimizer": optimizers.Momentum, "rate": 0.01},
        "rmsprop-tanh": {"optimizer": optimizers.RMSprop, "rate": 0.003},
        "adagrad-silu": {"activation": "silu", "optimizer": optimizers.AdaGrad, "rate": 0.05},
        "adamw-tanh": {"optimizer": optimizers.AdamW, "rate": 0.005},
        "adam-softplus": {"activation": "softplus", "optimizer": optimizers.Adam, "rate": 0.01},
        "momentum-tanh": {"optimizer": optimizers.Momentum, "rate": 0.02},
        "adam-xavier": {"weight": xavier_uniform, "optimizer": optimizers.Adam, "rate": 0.005},
        "adam-sigmoid": {"activation": "sigmoid", "optimizer": optimizers.Adam, "rate": 0.02},
    }
    return [
        control("xpnet", task, note, partial(M.mlp_program, task, **options))
        for note, options in programs.items()
        for task in ALL
    ] + [
        control("xpnet", task, f"three-hidden-{activation}", partial(_three_hidden, task, activation=activation))
        for activation in ("relu", "tanh")
        for task in ALL
    ]


def _three_hidden(task: Task, seed: int, *, activation: str) -> Arguments:
    sizes = [task.inputs, 40, 40, 40, task.outputs]
    return M.mlp_program(task, seed, sizes=sizes, activation=activation, optimizer=optimizers.Adam, rate=0.003)
