"""The program itself: functions that raise, change their arguments, draw at random, or remember."""

from collections.abc import Callable
from typing import Any

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._patient import Parameters, Patient, PatientError, seeded
from xpnet.diagnostics._suspicion import Suspicion


def examine_program(patient: Patient) -> list[Suspicion]:
    """What calls of the functions give away, before anything is concluded from their values.

    Raises
    ------
    PatientError : a function raises.
    """
    return [*_mutations(patient), *_randomness(patient), *_memory(patient), *_nothing(patient)]


def raised(patient: Patient, error: PatientError) -> Suspicion:
    """A function that raises, or gives what is of no use, as a finding."""
    return Suspicion(error.cause, str(error), 0.9, {"function": error.function}, certain=True)


def check_outputs(patient: Patient, y: HostArray) -> list[Suspicion]:
    """Outputs are numbers, one row for each example."""
    n = len(patient.data[0])
    if y.dtype.kind in "fiub" and y.ndim >= 1 and len(y) == n:
        return []
    return [
        Suspicion(
            "wrong_shape",
            f"forward gives outputs of shape {y.shape} and type {y.dtype} for {n} examples",
            1.0,
            {"outputs": y.shape, "examples": n},
            certain=True,
        )
    ]


def _mutations(patient: Patient) -> list[Suspicion]:
    """Whether a function that should only look changes what it is given."""
    x, t = patient.data
    found = []
    y = patient.forward(patient.parameters, x)
    calls: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [
        ("forward", patient.call_forward, (patient.copies(), np.array(x))),
        ("loss", patient.call_loss, (np.array(y), np.array(t))),
    ]
    if patient.call_gradients is not None:
        calls.append(("gradients", patient.call_gradients, (patient.copies(), np.array(x), np.array(t))))
    for role, function, arguments in calls:
        before = [_bytes(argument) for argument in arguments]
        patient._call(role, function, *arguments)
        changed = [i for i, argument in enumerate(arguments) if _bytes(argument) != before[i]]
        if changed:
            names = ("the parameters", "x", "t") if role != "loss" else ("the outputs", "the targets")
            found.append(
                Suspicion(
                    "function_mutates",
                    f"{role} changes {' and '.join(names[i] for i in changed)} that it is given",
                    0.85,
                    {"function": role},
                    certain=True,
                )
            )
    return found


def _bytes(value: Any) -> Any:
    return {name: a.tobytes() for name, a in value.items()} if isinstance(value, dict) else value.tobytes()


def _randomness(patient: Patient) -> list[Suspicion]:
    """Whether the same call gives something else the next time."""
    x, t = patient.data
    y, again = (patient.forward(patient.parameters, x) for _ in "ab")
    if y.shape == again.shape and not np.array_equal(y, again, equal_nan=True):
        patient.random_calls.add("forward")
        with seeded(0):
            first = patient.forward(patient.parameters, x)
        with seeded(0):
            second = patient.forward(patient.parameters, x)
        drawn = np.array_equal(first, second, equal_nan=True)
        apart = float(np.mean(np.abs(y - again)) / (np.mean(np.abs(y)) + 1e-300))
        return [
            Suspicion(
                "dropout_in_evaluation",
                f"forward gives other outputs each time, {100 * apart:.0f} % apart"
                + (", drawn from NumPy's generator" if drawn else "")
                + ": what is measured is a network with some of its units dropped",
                0.9,
                {"relative_difference": apart, "follows_the_seed": drawn},
                certain=True,
            )
        ]
    if patient.loss_of(y, t) != patient.loss_of(y, t) and np.isfinite(patient.loss_of(y, t)):
        patient.random_calls.add("forward")
        sentence = "loss gives other values each time for the same outputs and targets"
        return [Suspicion("function_random", sentence, 0.9, {"function": "loss"}, certain=True)]
    if patient.call_gradients is not None:
        a, b = (patient.gradients(patient.parameters, x, t) for _ in "ab")
        if any(not np.array_equal(a[name], b[name], equal_nan=True) for name in a.keys() & b.keys()):
            patient.random_calls.add("gradients")
    return []


def _memory(patient: Patient) -> list[Suspicion]:
    """Whether outputs depend on the calls before."""
    if "forward" in patient.random_calls:
        return []
    x = patient.data[0]
    half = max(1, len(x) // 2)
    first = patient.forward(patient.parameters, x[:half])
    patient.forward(patient.parameters, x[-half:])
    again = patient.forward(patient.parameters, x[:half])
    if np.array_equal(first, again, equal_nan=True):
        return []
    return [
        Suspicion(
            "state_between_batches",
            "forward gives other outputs for the same inputs after a call with others: something is kept in between",
            0.85,
            certain=True,
        )
    ]


def _nothing(patient: Patient) -> list[Suspicion]:
    """Whether the loss follows the parameters at all."""
    x = patient.data[0]
    random = np.random.default_rng(0)
    with seeded(0):
        y = patient.forward(patient.parameters, x)
    for size in (0.1, 1.0):
        moved: Parameters = {
            name: v if v.dtype.kind != "f" else (v + size * random.standard_normal(v.shape)).astype(v.dtype)
            for name, v in patient.parameters.items()
        }
        with seeded(0):
            if not np.array_equal(patient.forward(moved, x), y, equal_nan=True):
                return []
    return [
        Suspicion(
            "nothing_computed",
            "outputs do not change with any of the parameters: forward uses others than those it is given",
            1.0,
            certain=True,
        )
    ]
