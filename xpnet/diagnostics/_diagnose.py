from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xpnet.backend import HostArray, to_host
from xpnet.diagnostics._diagnosis import examined
from xpnet.diagnostics._inside import inside_of
from xpnet.diagnostics._memory import Memory
from xpnet.diagnostics._model_patient import model_patient
from xpnet.diagnostics._patient import Patient, PatientError, Stage, seeded
from xpnet.diagnostics._report import Report
from xpnet.diagnostics._trial_arrays import items_of, kept
from xpnet.layers import Layer, check_model
from xpnet.optimizers import Optimizer
from xpnet.training import Loss

_EXAMPLES = 2000


def diagnose_functions(
    *,
    forward: Callable[[Any, Any], Any],
    loss: Callable[[Any, Any], Any],
    parameters: Any,
    data: Any,
    gradients: Callable[[Any, Any, Any], Mapping[str, Any]] | None = None,
    step: Callable[[Any, Any, Any], Any] | None = None,
    progress: bool | None = None,
) -> Report:
    """Finds why a hand-written network does not learn.

    Its functions are run on copies: data, outputs, gradients, initialization and a short training are examined in
    this order, and what looks wrong is mended on a copy and trained, to see whether it helps.

    Parameters
    ----------
    forward : `forward(parameters, x) -> y`, outputs in evaluation.
    loss : `loss(y, t) -> float`.
    parameters : a dict of NumPy arrays, or an object with arrays as attributes (its `vars`).
    data : `(x, t)`, or `((x, t), (x_validation, t_validation))`.
    gradients : `gradients(parameters, x, t) -> dict`, by the parameters' names.
    step : `step(parameters, x, t)` changes the parameters in place, as the network's own training does.
    progress : whether to show a progress bar; None shows it on a terminal.

    Returns
    -------
    A `Report`. Parameters, data and random states are afterwards as they were, bit for bit.

    Raises
    ------
    TypeError, ValueError : arguments that are no functions, or data and parameters that are no arrays.

    Examples
    --------
    >>> x = np.linspace(-1.0, 1.0, 40)[:, None]
    >>> report = diagnose_functions(
    ...     forward=lambda p, x: x @ p["w"] + p["b"],
    ...     loss=lambda y, t: float(np.mean((y - t) ** 2)),
    ...     parameters={"w": np.zeros((1, 1)), "b": np.zeros(1)},
    ...     gradients=lambda p, x, t: {"w": -x.T @ (2 * (x @ p["w"] + p["b"] - t) / len(x)),
    ...                                "b": np.sum(2 * (x @ p["w"] + p["b"] - t) / len(x), axis=0)},
    ...     data=(x, 3.0 * x + 1.0),
    ...     progress=False,
    ... )
    >>> report.findings[0].cause
    'gradient_sign'
    """
    for name, function in (("forward", forward), ("loss", loss), ("gradients", gradients), ("step", step)):
        if not (callable(function) or (function is None and name in ("gradients", "step"))):
            raise TypeError(f"diagnose_functions: {name} must be a function, got {function!r}")
    known = items_of(parameters)
    arrays = {name: np.array(values) for name, values in known.items() if isinstance(values, np.ndarray)}
    if not arrays:
        raise TypeError(f"diagnose_functions: parameters must hold NumPy arrays, got {sorted(known)}")
    others = {name: values for name, values in known.items() if name not in arrays}
    train, validation = _pairs("diagnose_functions", data)
    memory = Memory(forward, loss, gradients, step)
    patient = Patient(arrays, forward, loss, train, gradients, step, validation, others=others, reset=memory.restore)
    with kept(parameters, data):
        try:
            patient.look_inside = _looking(patient)
            return examined(patient, progress)
        finally:
            memory.restore()


def diagnose(
    model: Layer,
    train: Any,
    validation: Any = None,
    *,
    loss: Loss,
    optimizer: Optimizer | None = None,
    progress: bool | None = None,
) -> Report:
    """Finds why a model does not learn.

    A copy on NumPy is examined: data, outputs, gradients, initialization and a short training, in this order. What
    looks wrong is mended on the copy and trained, to see whether it helps.

    Parameters
    ----------
    model : the model, which is not changed.
    train, validation : `(x, t)`, host arrays, or batches, of which the first 2 000 examples are taken.
    loss : such as `xpnet.losses.softmax_cross_entropy`.
    optimizer : the one it is trained with; a copy with the same settings is used. Without it, training is not examined.
    progress : whether to show a progress bar; None shows it on a terminal.

    Returns
    -------
    A `Report`.

    Raises
    ------
    TypeError, ValueError : arguments of another kind.

    Examples
    --------
    >>> import xpnet
    >>> (x, t), test = xpnet.data.sine()
    >>> model = xpnet.models.mlp([1, 8, 1], activation="tanh")
    >>> report = diagnose(model, (x, t), test, loss=xpnet.losses.squared_error,
    ...                   optimizer=xpnet.optimizers.Adam(model, 1e-9), progress=False)
    >>> report.findings[0].cause
    'rate_low'
    """
    check_model("diagnose", model)
    pairs = [
        None if pair is None else _examples("diagnose", name, pair)
        for name, pair in (("train", train), ("validation", validation))
    ]
    assert pairs[0] is not None
    patient = model_patient(model, pairs[0], pairs[1], loss, optimizer)
    with kept(train, validation):
        return examined(patient, progress)


def _examples(function: str, name: str, data: Any) -> tuple[HostArray, HostArray]:
    """The examples of a pair, or of batches, on the host."""
    if isinstance(data, tuple) and len(data) == 2:
        found = _pairs(function, data)[0]
    else:
        taken: list[tuple[HostArray, HostArray]] = []
        for x, t in data:
            taken.append((to_host(x), to_host(t)))
            if sum(len(x) for x, _ in taken) >= _EXAMPLES:
                break
        if not taken:
            raise ValueError(f"{function}: {name} has no batch")
        found = np.concatenate([x for x, _ in taken]), np.concatenate([t for _, t in taken])
        _check_numbers(function, *found)
    return found[0][:_EXAMPLES], found[1][:_EXAMPLES]


def _pairs(function: str, data: Any) -> tuple[tuple[Any, Any], tuple[Any, Any] | None]:
    """Training and validation pairs of host arrays."""
    if not (isinstance(data, (tuple, list)) and len(data) == 2):
        raise TypeError(f"{function}: data must be (x, t) or ((x, t), (x_validation, t_validation)), got {type(data)}")
    pairs = data if isinstance(data[0], (tuple, list)) and len(data[0]) == 2 else (data, None)
    found = [None if pair is None else (np.asarray(pair[0]), np.asarray(pair[1])) for pair in pairs]
    for pair in found:
        if pair is not None and (pair[0].ndim == 0 or len(pair[0]) == 0 or pair[1].ndim == 0):
            raise ValueError(
                f"{function}: data must have examples in rows, got shapes {pair[0].shape}, {pair[1].shape}"
            )
        if pair is not None:
            _check_numbers(function, *pair)
    assert found[0] is not None
    return found[0], found[1]


def _check_numbers(function: str, x: HostArray, t: HostArray) -> None:
    for name, values in (("x", x), ("t", t)):
        if values.dtype.kind not in "fiub":
            raise TypeError(f"{function}: data must be numbers, got {name} of type {values.dtype}")
    bad = int(np.count_nonzero(~np.isfinite(x)))
    if bad:
        raise ValueError(f"{function}: inputs must be finite, and {bad} of {x.size} values of x are NaN or infinite")


def _looking(patient: Patient) -> Callable[..., list[Stage] | None]:
    """Looks inside a chain of affine layers and activations, whose form is found once."""
    with seeded(0):
        try:
            inside = inside_of(patient.parameters, patient.forward, patient.data[0][:64])
        except PatientError:
            inside = None
    if inside is None:
        return lambda parameters, x: None
    patient.last_activation = inside.layers[-1].activation
    patient.inside = inside

    def look(parameters: Any, x: Any) -> list[Stage]:
        zs, hs = inside.run(parameters, x)
        return [
            Stage(layer.weight, layer.activation, z, h, layer.weight, layer.bias)
            for layer, z, h in zip(inside.layers[:-1], zs, hs, strict=False)
        ]

    return look
