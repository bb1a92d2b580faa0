"""Healthy programs: the plain ones, and awkward ones that look ill and are not."""

from functools import partial
from typing import Any

import numpy as np

import xpnet
from bench.clinic import class_faults as C
from bench.clinic import data_faults as D
from bench.clinic import function_faults as F
from bench.clinic import models as M
from bench.clinic.case import Arguments, Case
from bench.clinic.classes import Learner, OneHidden, ReLU, network
from bench.clinic.functions import Array, Parameters, initial, program, relu, tanh
from bench.clinic.plain import control, net, plain_classes, plain_functions, plain_models
from bench.clinic.tasks import DIGITS, POLYNOMIAL, SINE, Data, Task, data
from xpnet import layers as L
from xpnet import optimizers
from xpnet.initializers import lecun_normal, xavier_uniform

ALL, REGRESSIONS = (SINE, POLYNOMIAL, DIGITS), (SINE, POLYNOMIAL)


def _sparse(task: Task, seed: int) -> Arguments:
    """ReLU with biases below zero: each example wakes few units, each unit some examples."""
    parameters = initial(task, seed, hidden=100)
    points = D.centred(task, seed) if not task.classes else data(task, seed)
    x = points[0][0]
    parameters["b1"] = -np.quantile(x @ parameters["W1"], 0.85, axis=0)
    return program(task, seed, points=points, parameters=parameters, activation=relu, rate=0.05)


def _late(task: Task, seed: int) -> Arguments:
    """A program that has learned already, now with a hundredth of its rate."""
    made = program(task, seed)
    (x, t), _ = made["data"]
    for _ in range(1500):
        made["step"](made["parameters"], x, t)
    rate = {"sine": 0.03, "polynomial": 0.1, "digits": 0.5}[task.name] / 100
    return program(task, seed, parameters=made["parameters"], rate=rate)


def _late_model(task: Task, seed: int) -> Arguments:
    made = M.mlp_program(task, seed)
    x, t = made["train"]
    for _ in range(1500):
        xpnet.training.train_step(made["model"], x, t, loss=made["loss"], optimizer=made["optimizer"])
    return made | {"optimizer": optimizers.SGD(made["model"], M.RATE[task.name] / 100)}


def _memorized(task: Task, seed: int) -> Data:
    """Twenty training examples."""
    (x, t), validation = data(task, seed)
    return (x[:20], t[:20]), validation


def _memorizing(task: Task, seed: int, *, validated: bool) -> Arguments:
    points = _memorized(task, seed)
    return program(task, seed, points=points, rate=0.1) | ({} if validated else {"data": points[0]})


def noisy_labels(task: Task, seed: int) -> Data:
    """One training label in ten replaced by any other; targets with noise of a tenth of their variance."""
    random = np.random.default_rng(seed + 2000)
    (x, t), validation = data(task, seed)
    if not task.classes:
        return (x, t + np.sqrt(0.1) * t.std() * random.standard_normal(t.shape)), validation
    drawn = random.random(len(t)) < 0.1
    return (x, np.where(drawn, random.integers(0, 10, len(t)), t)), validation


def _deep(task: Task, seed: int) -> Arguments:
    """Six hidden tanh layers of 10 units."""
    sizes = [task.inputs, *6 * [10], task.outputs]
    return M.mlp_program(task, seed, sizes=sizes, weight=xavier_uniform, optimizer=optimizers.Adam, rate=0.003)


class RandomWeights(Learner):
    """Weights as `randn` gives them, of deviation 1 whatever the number of inputs."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.W1 *= np.sqrt(len(self.W1))


def _imbalanced(task: Task, seed: int) -> Data:
    """Twice as many zeros as other digits."""
    (x, t), validation = data(task, seed)
    zeros = np.flatnonzero(t == 0)
    return (np.concatenate([x, x[zeros]]), np.concatenate([t, t[zeros]])), validation


def _adam_by_hand(task: Task, seed: int) -> Arguments:
    """Adam in the learner's own step; its moments are kept beside the parameters."""
    made = program(task, seed, activation=relu if task.classes else tanh)
    moments: dict[str, Any] = {"steps": 0}

    def step(parameters: Parameters, x: Array, t: Array) -> None:
        moments["steps"] += 1
        for name, g in made["gradients"](parameters, x, t).items():
            m, v = moments.get(name, (0.0, 0.0))
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            moments[name] = m, v
            first, second = m / (1 - 0.9 ** moments["steps"]), v / (1 - 0.999 ** moments["steps"])
            parameters[name] -= 0.01 * first / (np.sqrt(second) + 1e-8)

    return made | {"step": step}


def _normalized(task: Task, seed: int) -> Arguments:
    xpnet.seed(seed)
    model = xpnet.models.mlp([task.inputs, 50, 50, task.outputs], batch_norm=True, weight=lecun_normal)
    return M.arguments(task, seed, model, optimizer=optimizers.Adam, rate=0.005)


def _awkward() -> list[Case]:
    return [
        *(control("functions", task, "sparse-relu", partial(_sparse, task)) for task in ALL),
        *(control("functions", task, "late-rate", partial(_late, task), slow=True) for task in ALL),
        *(control("xpnet", task, "late-rate", partial(_late_model, task), slow=True) for task in (SINE, DIGITS)),
        *(
            control("functions", task, "memorizing", partial(_memorizing, task, validated=False), batch=None)
            for task in (POLYNOMIAL, DIGITS)
        ),
        control(
            *("functions", DIGITS, "memorizing-validated", partial(_memorizing, DIGITS, validated=True)),
            batch=None,
            may=("overfitting",),
        ),
        *(control("functions", task, "noisy-labels", partial(_with_noise, task), slow=True) for task in REGRESSIONS),
        *(control("class", task, "noisy-labels", partial(_class_with_noise, task), slow=True) for task in ALL),
        *(
            control("xpnet", task, "noisy-labels", partial(_model_with_noise, task), slow=True)
            for task in (SINE, DIGITS)
        ),
        *(control("xpnet", task, "deep-narrow", partial(_deep, task)) for task in ALL),
        *(
            control("class", task, "randn", partial(net, task, (RandomWeights,), base=OneHidden, rate=rate))
            for task, rate in ((SINE, 0.03), (POLYNOMIAL, 0.03), (DIGITS, 0.1))
        ),
        control("class", DIGITS, "imbalanced", _class_imbalanced),
        *(control("functions", task, "adam", partial(_adam_by_hand, task)) for task in ALL),
        *(control("xpnet", task, "batch-norm", partial(_normalized, task)) for task in (POLYNOMIAL, DIGITS)),
        control("class", DIGITS, "dropout", partial(net, DIGITS, (C.Dropout,), base=OneHidden)),
        control("functions", DIGITS, "dropout", partial(F.with_dropout, DIGITS, fault=False)),
        control("xpnet", DIGITS, "dropout", partial(M.dropping, DIGITS, fault=False)),
        control("xpnet", POLYNOMIAL, "dropout", partial(M.dropping, POLYNOMIAL, fault=False), slow=True),
        *(control("functions", task, "one-scale", partial(F.on_scale, task, fault=False)) for task in REGRESSIONS),
        control("xpnet", DIGITS, "one-scale", _model_on_one_scale),
        control("functions", SINE, "centred-hinges", partial(F.on_unit_interval, SINE, fault=False)),
        control("functions", SINE, "spread-hinges", _spread_hinges),
        control("class", SINE, "numerical-gradient", _by_differences, steps=800),
        control("class", DIGITS, "small-rate-many-steps", partial(net, DIGITS, (ReLU,), rate=0.02), slow=True),
        control("xpnet", DIGITS, "convolution", _convolution, steps=300),
    ]


def _with_noise(task: Task, seed: int) -> Arguments:
    return program(task, seed, points=noisy_labels(task, seed))


def _class_with_noise(task: Task, seed: int) -> Arguments:
    return network(task, seed, ReLU, points=noisy_labels(task, seed), rate={"digits": 0.2}.get(task.name, 0.03))


def _model_with_noise(task: Task, seed: int) -> Arguments:
    return M.mlp_program(task, seed, points=noisy_labels(task, seed))


def _class_imbalanced(seed: int) -> Arguments:
    return network(DIGITS, seed, points=_imbalanced(DIGITS, seed))


def _model_on_one_scale(seed: int) -> Arguments:
    return M.mlp_program(DIGITS, seed, points=D.one_scale(DIGITS, seed))


def _spread_hinges(seed: int) -> Arguments:
    """Inputs in [0, 1], and hinges all over it: steep weights, biases that put each hinge on a point."""
    points = D.unit_interval(SINE, seed)
    random = np.random.default_rng(seed)
    parameters = initial(SINE, seed, hidden=100)
    parameters["W1"] = 2.0 * np.sign(parameters["W1"])
    parameters["b1"] = -parameters["W1"][0] * random.random(100)
    return program(SINE, seed, points=points, parameters=parameters, activation=relu, rate=0.03)


def _by_differences(seed: int) -> Arguments:
    return network(SINE, seed, C.NumericalGradient, base=OneHidden, hidden=10, gradients=False)


def _convolution(seed: int) -> Arguments:
    (x, t), (x_validation, t_validation) = data(DIGITS, seed)
    points = (x.reshape(-1, 8, 8, 1), t), (x_validation.reshape(-1, 8, 8, 1), t_validation)
    xpnet.seed(seed)
    model = L.Sequential(L.Conv2d(1, 8, 3, padding=1), L.ReLU(), L.MaxPool2d(2), L.Flatten(), L.Linear(128, 10))
    return M.arguments(DIGITS, seed, model, points=points, optimizer=optimizers.Adam, rate=0.005)


def controls() -> list[Case]:
    """All of them."""
    return [*plain_functions(), *plain_classes(), *plain_models(), *_awkward()]
