"""The faulty programs: which fault, in which style, on which task, with its true cause and its healthy twin."""

from collections.abc import Callable
from functools import partial
from typing import Any

from bench.clinic import class_faults as C
from bench.clinic import data_faults as D
from bench.clinic import function_faults as F
from bench.clinic import models as M
from bench.clinic.case import Arguments, Build, Case
from bench.clinic.classes import RATE, OneHidden, ReLU, Sigmoid, network
from bench.clinic.functions import program, relu, sigmoid, tanh
from bench.clinic.tasks import DIGITS, POLYNOMIAL, SINE, Task
from xpnet import layers as L
from xpnet.initializers import normal, zeros

ALL, REGRESSIONS = (SINE, POLYNOMIAL, DIGITS), (SINE, POLYNOMIAL)
Make = Callable[..., Arguments]


def case(
    style: str,
    task: Task,
    fault: str,
    build: Build,
    twin: Build,
    *,
    also: tuple[str, ...] = (),
    note: str = "",
    **more: Any,
) -> Case:
    """A faulty program; `also` are causes that are named as rightly, `note` tells it from others of the same fault."""
    name = "/".join((style, task.name, fault)) + (f"-{note}" if note else "")
    more = {"steps": task.steps, "batch": task.batch} | more
    return Case(name, style, task.name, fault, (fault, *also), build, twin, **more)


def functions(task: Task, fault: str, make: Make, *options: Any, twin: Build | None = None, **more: Any) -> Case:
    """In the first style. The twin is the plain program, with ReLU on digits and tanh elsewhere."""
    plain = twin or partial(program, task, activation=relu if task.classes else tanh)
    return case("functions", task, fault, partial(_seed_second, make, task, options), plain, **more)


def _seed_second(make: Make, task: Task, options: tuple[Any, ...], seed: int) -> Arguments:
    return make(task, seed, *options)


def classes(task: Task, fault: str, *parts: type, healthy: tuple[type, ...] = (), **more: Any) -> Case:
    """In the second style. The twin is made of the classes in `healthy`; options of the network are passed on to it."""
    known = ("base", "points", "hidden", "rate", "gradients")
    options = {name: more.pop(name) for name in known if name in more}
    left_out = ("points", "rate") if fault.startswith("rate") else ("points",)
    right = {name: value for name, value in options.items() if name not in left_out} | more.pop("right", {})
    build = partial(_network, task, (*parts, *healthy), options)
    return case("class", task, fault, build, partial(_network, task, healthy, right), **more)


def _network(task: Task, parts: tuple[type, ...], options: dict[str, Any], seed: int) -> Arguments:
    made = {name: value(task, seed) if name == "points" else value for name, value in options.items()}
    return network(task, seed, *parts, **made)


def models(task: Task, fault: str, build: Build, twin: Build | None = None, **more: Any) -> Case:
    """In the third style. The twin is the plain perceptron."""
    return case("xpnet", task, fault, build, twin or partial(M.mlp_program, task), **more)


def _model(task: Task, seed: int, *, points: Any = None, **options: Any) -> Arguments:
    return M.mlp_program(task, seed, points=points and points(task, seed), **options)


def _data() -> list[Case]:
    few: dict[str, Any] = {"base": OneHidden, "hidden": 10, "steps": 300, "gradients": False}
    return [
        functions(DIGITS, "labels_column", F.label_column),
        classes(DIGITS, "labels_column", healthy=(ReLU,), points=D.label_column),
        models(DIGITS, "labels_column", partial(_model, DIGITS, points=D.label_column)),
        *(functions(task, "targets_broadcast", F.targets_broadcast, steps=300) for task in REGRESSIONS),
        *(
            classes(task, "targets_broadcast", C.NumericalGradient, points=D.flat_targets, **few)
            for task in REGRESSIONS
        ),
        *(models(task, "targets_broadcast", partial(_model, task, points=D.flat_targets)) for task in REGRESSIONS),
        *(functions(task, "inputs_unscaled", F.unscaled) for task in ALL),
        classes(SINE, "inputs_unscaled", healthy=(Sigmoid,), points=D.unscaled),
        classes(DIGITS, "inputs_unscaled", healthy=(Sigmoid,), points=D.unscaled, rate=1.0),
        *(models(task, "inputs_unscaled", partial(_model, task, points=D.unscaled)) for task in ALL),
        *(
            functions(task, "inputs_scaled_apart", _scaled, twin=partial(F.on_scale, task, fault=False))
            for task in REGRESSIONS
        ),
        *(
            classes(task, "inputs_scaled_apart", points=D.scaled_apart, right={"points": D.one_scale})
            for task in (SINE, DIGITS)
        ),
        *(
            models(
                *(task, "inputs_scaled_apart", partial(_model, task, points=D.scaled_apart)),
                twin=partial(_model, task, points=D.one_scale),
            )
            for task in (POLYNOMIAL, DIGITS)
        ),
        *(functions(task, "labels_shuffled", F.shuffled) for task in ALL),
        *(classes(task, "labels_shuffled", points=D.shuffled) for task in (POLYNOMIAL, DIGITS)),
        *(models(task, "labels_shuffled", partial(_model, task, points=D.shuffled)) for task in (SINE, DIGITS)),
    ]


def _scaled(task: Task, seed: int) -> Arguments:
    return F.on_scale(task, seed, fault=True)


def _outputs() -> list[Case]:
    return [
        functions(SINE, "output_range", F.sigmoid_output),
        functions(POLYNOMIAL, "output_range", F.tanh_output),
        classes(SINE, "output_range", C.ReLUOutput),
        classes(POLYNOMIAL, "output_range", C.SigmoidOutput),
        models(SINE, "output_range", lambda seed: M.with_output(SINE, seed, L.ReLU())),
        models(POLYNOMIAL, "output_range", lambda seed: M.with_output(POLYNOMIAL, seed, L.Sigmoid())),
        functions(DIGITS, "softmax_axis", F.softmax_axis),
        classes(DIGITS, "softmax_axis", C.SoftmaxOverBatch),
        functions(DIGITS, "softmax_overflow", F.softmax_overflow, also=("weights_large",)),
        classes(
            DIGITS, "softmax_overflow", C.PlainSoftmax, healthy=(ReLU,), points=D.pixels, also=("inputs_unscaled",)
        ),
        *(
            functions(task, "dropout_in_evaluation", _dropping, twin=partial(F.with_dropout, task, fault=False))
            for task in (POLYNOMIAL, DIGITS)
        ),
        classes(DIGITS, "dropout_in_evaluation", C.DropoutLeftOn, healthy=(C.Dropout,), base=OneHidden, hidden=20),
        *(
            models(
                *(task, "dropout_in_evaluation", partial(M.dropping, task, fault=True)),
                twin=partial(M.dropping, task, fault=False),
            )
            for task in (POLYNOMIAL, DIGITS)
        ),
    ]


def _dropping(task: Task, seed: int) -> Arguments:
    return F.with_dropout(task, seed, fault=True)


def _gradients() -> list[Case]:
    return [
        *(functions(task, "gradient_sign", F.gradient_sign) for task in ALL),
        *(classes(task, "gradient_sign", C.HiddenSign) for task in ALL),
        *(
            functions(task, "bias_gradient_axis", F.bias_over_all, twin=partial(F.bias_over_all, task, fault=False))
            for task in REGRESSIONS
        ),
        classes(
            *(POLYNOMIAL, "bias_gradient_axis", C.BiasOverUnits),
            healthy=(ReLU,),
            base=OneHidden,
            hidden=100,
            batch=100,  # as many examples as units
            rate=0.05,
            also=("wrong_shape",),
        ),
        classes(SINE, "bias_gradient_axis", C.BiasOverAll, healthy=(ReLU,), base=OneHidden, hidden=30, rate=0.05),
        *(functions(task, "loss_summed", F.gradient_summed, also=("gradient_scale",)) for task in ALL),
        *(functions(task, "loss_summed", F.loss_summed, also=("rate_high",), note="both") for task in ALL),
        *(classes(task, "loss_summed", C.SummedLoss, also=("rate_high",)) for task in REGRESSIONS),
        classes(DIGITS, "loss_summed", C.SummedGradient, healthy=(ReLU,), also=("gradient_scale",)),
        models(SINE, "loss_summed", partial(_model, SINE, loss=M.summed_squares), also=("rate_high",)),
        models(DIGITS, "loss_summed", partial(_model, DIGITS, loss=M.summed_cross_entropy), also=("rate_high",)),
        functions(DIGITS, "gradient_activation", F.gradient_activation),
        *(classes(task, "gradient_activation", C.ActivationsSwapped) for task in REGRESSIONS),
        classes(DIGITS, "gradient_activation", C.WrongActivation),
        *(functions(task, "gradient_argument", F.gradient_argument) for task in ALL),
        *(classes(task, "gradient_argument", C.DerivativeOfZ) for task in (SINE, DIGITS)),
        *(
            functions(task, "activation_overwritten", F.overwritten, twin=partial(program, task, activation=sigmoid))
            for task in (SINE, DIGITS)
        ),
        *(
            classes(task, "activation_overwritten", C.DerivativeInPlace, healthy=(Sigmoid,), rate=0.1)
            for task in REGRESSIONS
        ),
        classes(DIGITS, "activation_overwritten", C.DerivativeInPlace, healthy=(Sigmoid,), rate=1.0),
    ]


def _initialization() -> list[Case]:
    small: dict[str, Any] = {"activation": "sigmoid", "weight": normal(1e-4)}
    large: dict[str, Any] = {"weight": normal(20.0)}
    interval: dict[str, Any] = {"sizes": [1, 100, 1], "activation": "relu"}
    return [
        *(functions(task, "weights_zero", F.weights_zero) for task in ALL),
        *(classes(task, "weights_zero", C.ZeroWeights) for task in (SINE, DIGITS)),
        *(models(task, "weights_zero", partial(_model, task, weight=zeros)) for task in (POLYNOMIAL, DIGITS)),
        functions(DIGITS, "weights_small", F.weights_small, twin=partial(program, DIGITS, activation=sigmoid)),
        *(classes(task, "weights_small", C.SmallWeights, healthy=(Sigmoid,)) for task in REGRESSIONS),
        classes(DIGITS, "weights_small", C.SmallWeights, healthy=(Sigmoid,), rate=1.0),
        *(models(task, "weights_small", partial(_model, task, **small)) for task in (SINE, DIGITS)),
        *(functions(task, "weights_large", F.weights_large) for task in ALL),
        *(classes(task, "weights_large", C.LargeWeights) for task in (SINE, DIGITS)),
        *(models(task, "weights_large", partial(_model, task, **large)) for task in (SINE, DIGITS)),
        functions(SINE, "hinges_outside_data", _interval, twin=partial(F.on_unit_interval, SINE, fault=False)),
        functions(POLYNOMIAL, "hinges_outside_data", F.with_biases, 5.0, 0.001, note="biases", twin=_centred_biases),
        classes(
            *(SINE, "hinges_outside_data"),
            healthy=(ReLU,),
            points=D.unit_interval,
            base=OneHidden,
            hidden=100,
            rate=0.02,
            right={"points": D.centred},
        ),
        models(SINE, "hinges_outside_data", partial(_model, SINE, points=D.unit_interval, **interval)),
        models(POLYNOMIAL, "hinges_outside_data", partial(M.biased, POLYNOMIAL, bias=5.0, rate=0.001), note="biases"),
        *(functions(task, "dead_relus", F.with_biases, -10.0, also=("hinges_outside_data",)) for task in ALL),
        *(
            classes(task, "dead_relus", C.NegativeBiases, healthy=(ReLU,), also=("hinges_outside_data",))
            for task in (SINE, DIGITS)
        ),
        models(DIGITS, "dead_relus", partial(M.biased, DIGITS, bias=-10.0), also=("hinges_outside_data",)),
    ]


def _interval(task: Task, seed: int) -> Arguments:
    return F.on_unit_interval(task, seed, fault=True)


def _centred_biases(seed: int) -> Arguments:
    return F.with_biases(POLYNOMIAL, seed, 0.0, 0.03)


def _rates() -> list[Case]:
    times = {"rate_high": 100.0, "rate_low": 1e-4}
    return [
        made
        for fault, factor in times.items()
        for made in (
            *(functions(task, fault, F.with_rate, factor) for task in ALL),
            *(classes(task, fault, rate=factor * RATE[task.name]) for task in ALL),
            *(models(task, fault, partial(_model, task, rate=factor * M.RATE[task.name])) for task in ALL),
        )
    ]


def faulty() -> list[Case]:
    """All of them."""
    return [*_data(), *_outputs(), *_gradients(), *_initialization(), *_rates()]
