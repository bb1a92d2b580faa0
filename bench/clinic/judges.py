"""Those who say what is wrong with a program: xpnet's diagnosis, and the baselines beside it.

A judge gets a case's style and what its builder returned, and gives codes of causes, the likeliest first; none if all
is well. What a baseline says in words of its own is given the code that comes closest.
"""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from bench.clinic.case import Arguments, Case
from bench.clinic.classes import Learner
from bench.clinic.tasks import CLASSES
from bench.clinic.training import batches, own_loss, predict, sets, step

Array = Any
Judge: TypeAlias = Callable[[Case, Arguments], list[str]]


def diagnosis(case: Case, made: Arguments) -> list[str]:
    """`xpnet.diagnostics.diagnose`, or `diagnose_functions`."""
    diagnostics: Any = importlib.import_module("xpnet.diagnostics")
    if case.style == "xpnet":
        rest = {name: made[name] for name in ("loss", "optimizer")}
        report = diagnostics.diagnose(made["model"], made["train"], made["validation"], **rest)
    else:
        report = diagnostics.diagnose_functions(**made)
    return [finding.cause for finding in report.findings]


def gradient_check(case: Case, made: Arguments) -> list[str]:
    """Central differences of the loss against the gradients: for each array, five elements (xpnet: a direction).

    It can tell that a gradient is wrong, and no more.
    """
    (x, t), _ = sets(made)
    try:
        wrong = _of_model(made, x, t) if "model" in made else _of_functions(made, x, t)
    except (ValueError, TypeError, IndexError):
        return ["function_raises"]
    return ["gradient_wrong"] if wrong else []


def _of_functions(made: Arguments, x: Array, t: Array) -> bool:
    if "gradients" not in made:
        return False
    random = np.random.default_rng(0)
    parameters = {name: array.astype(np.float64) for name, array in made["parameters"].items()}
    found = {name: np.array(array) for name, array in made["gradients"](parameters, x, t).items()}
    for name, array in parameters.items():
        if found[name].shape != array.shape:
            return True
        for number in random.choice(array.size, min(5, array.size), replace=False):
            place = np.unravel_index(number, array.shape)
            kept, losses = array[place], []
            for moved in (kept + 1e-6, kept - 1e-6):
                array[place] = moved
                losses.append(made["loss"](made["forward"](parameters, x), t))
            array[place] = kept
            slope = (losses[0] - losses[1]) / 2e-6
            if not abs(slope - found[name][place]) <= 1e-3 * max(abs(slope), abs(found[name][place])) + 1e-6:
                return True
    return False


def _of_model(made: Arguments, x: Array, t: Array) -> bool:
    random, model = np.random.default_rng(0), made["model"]
    y, pullback = model.forward(x)
    loss, dloss = made["loss"](y, t)
    pullback(dloss())
    for parameter in model.parameters().values():
        gradient = parameter.grad.copy()
        direction = random.standard_normal(gradient.shape).astype(np.float32)
        direction /= np.linalg.norm(direction)
        kept, losses = parameter.data.copy(), []
        for moved in (kept + 1e-2 * direction, kept - 1e-2 * direction):
            parameter.data[...] = moved
            losses.append(float(made["loss"](model.forward(x)[0], t)[0]))
        parameter.data[...] = kept
        slope, expected = (losses[0] - losses[1]) / 2e-2, float(np.sum(direction * gradient))
        if not abs(slope - expected) <= 0.1 * max(abs(slope), abs(expected)) + 1e-3 * abs(float(loss)):
            return True
    return False


def loss_curve(case: Case, made: Arguments) -> list[str]:
    """Rules over the losses of 500 steps: not finite, rising, swinging, flat, at the mean predictor, overfitted."""
    (x, t), validation = sets(made)
    losses: list[float] = []
    try:
        for one_x, one_t in batches(x, t, case.batch, min(case.steps, 500), seed=0):
            losses.append(step(made, one_x, one_t, record=True))
            if not np.isfinite(losses[-1]):
                return ["rate_high"]
    except ArithmeticError:
        return ["rate_high"]  # xpnet's NonFiniteError
    except (ValueError, TypeError, IndexError):
        return ["function_raises"]
    return curve_rules(losses, own_loss(made, x, t), own_loss(made, *validation), _constant_loss(case, t))


def _constant_loss(case: Case, t: Array) -> float:
    """The loss of the best constant output."""
    if case.task not in CLASSES:
        return float(np.var(t)) * (0.5 if case.style == "xpnet" else 1.0)
    shares = np.unique(t, return_counts=True)[1] / np.size(t)
    return float(-np.sum(shares * np.log(shares)))


def curve_rules(losses: list[float], train: float, validation: float, constant: float) -> list[str]:
    """What a curve of losses shows, with the losses on all data at its end and the best constant's loss."""
    curve = np.asarray(losses)
    tenth = max(1, len(curve) // 10)
    first, last = float(np.mean(curve[:tenth])), float(np.mean(curve[-tenth:]))
    late = curve[len(curve) // 2 :]
    turns = float(np.mean(np.diff(np.sign(np.diff(late))) != 0)) if len(late) > 3 else 0.0
    found = []
    if last > 1.2 * first:
        found.append("rate_high")
    elif last > 0.97 * first:
        found.append("rate_low")
    elif last > constant and np.mean(np.diff(late) < 0.0) > 0.95:
        found.append("rate_low")  # still far from learned, still falling
    if abs(last / constant - 1.0) < 0.05:
        found.append("no_fit")
    if turns > 0.6 and np.std(late) > 0.5 * np.mean(late) and last > 0.1 * constant:
        found.append("rate_high")
    if not validation <= 5.0 * train + 0.2 * constant:
        found.append("overfitting")
    return list(dict.fromkeys(found))


INSIGHTS = {
    "nan": "rate_high",
    "exploding": "rate_high",
    "lr_high": "rate_high",
    "lr_low": "rate_low",
    "vanishing": "weights_small",
    "dead": "dead_relus",
    "saturated": "weights_large",
    "overfit": "overfitting",
}
"""nnscope's kinds of insights, as causes."""


def nnscope(case: Case, made: Arguments) -> list[str]:
    """The insights of nnscope (PyPI) after 200 steps, each logged; it reads arrays and runs nothing itself.

    It gets weights, biases, gradients, both losses, and hidden activations where the program keeps them (attributes of
    a class). Convolutions are beyond it and are left out.
    """
    scope = importlib.import_module("nnscope").Scope(live=False, quiet=True, snapshot_every=10**9)
    (x, t), validation = sets(made)
    try:
        for number, (one_x, one_t) in enumerate(batches(x, t, case.batch, min(case.steps, 200), seed=0)):
            step(made, one_x, one_t)
            found = {"weights": [], "biases": [], "grads": []} if "model" in made else _arrays(made, one_x, one_t)
            for name, parameter in made["model"].parameters().items() if "model" in made else ():
                if parameter.data.ndim == 1 and not name.endswith("bias"):
                    continue  # batch normalization's scale
                place = "biases" if parameter.data.ndim == 1 else "weights"
                if parameter.data.ndim <= 2:
                    found[place].append(parameter.data)
                    found["grads"] += [parameter.grad] if place == "weights" else []
            if "model" in made:
                found["biases"] = found["biases"][-len(found["weights"]) :]
            losses = own_loss(made, x, t), own_loss(made, *validation)
            scope.log(number, loss=losses[0], metrics={"val_loss": losses[1]}, **found)
    except ArithmeticError:
        return ["rate_high"]
    except (ValueError, TypeError, IndexError):
        return ["function_raises"]
    return list(dict.fromkeys(INSIGHTS[insight["kind"]] for insight in scope.insights if insight["kind"] in INSIGHTS))


def _arrays(made: Arguments, x: Array, t: Array) -> dict[str, Any]:
    parameters = made["parameters"]
    weights = [name for name, array in parameters.items() if array.ndim == 2]
    found: dict[str, Any] = {
        "weights": [parameters[name] for name in weights],
        "biases": [array for array in parameters.values() if array.ndim == 1],
    }
    if "gradients" in made:
        gradients = made["gradients"](parameters, x, t)
        found["grads"] = [np.asarray(gradients[name]) for name in weights]
    net = getattr(getattr(made["forward"], "__self__", None), "net", None)
    if isinstance(net, Learner):
        predict(made, x)
        found["activations"] = [getattr(net, f"a{layer}") for layer in range(1, len(weights))] + [None]
    return found


JUDGES: dict[str, Judge] = {
    "diagnosis": diagnosis,
    "gradient check": gradient_check,
    "loss curve": loss_curve,
    "nnscope": nnscope,
}


def missing(name: str) -> str:
    """Why a judge cannot be asked here; empty if it can."""
    if name == "nnscope" and importlib.util.find_spec("nnscope") is None:
        return "not installed: pip install nnscope"
    if name == "diagnosis" and not hasattr(importlib.import_module("xpnet.diagnostics"), "diagnose_functions"):
        return "xpnet.diagnostics has no diagnose_functions"
    return ""
