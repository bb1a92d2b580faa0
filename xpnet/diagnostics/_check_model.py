"""Gradient checks of xpnet's own: of models, and of functions that return a value and a pullback."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from xpnet._typing import Array
from xpnet.backend import Backend, backend_of, open_backend, use_backend
from xpnet.diagnostics._check_gradients import check_gradients
from xpnet.diagnostics._report import Finding, Report
from xpnet.diagnostics._trial import CannotCheck, guarded
from xpnet.diagnostics._trial_arrays import is_array, is_float, kept
from xpnet.layers import Layer
from xpnet.layers import check_model as check_is_model


def check_model(model: Layer, x: Any, t: Any, loss: Callable[..., tuple[Array, Any]]) -> Report:
    """Compares the gradients of all parameters of a model, and of its input, with differences of the loss.

    The check runs in training mode on a copy in float64: dropout keeps one mask throughout, batch normalization uses
    the batch's statistics. The model itself, its buffers and gradients are not touched.

    Parameters
    ----------
    model : any layer.
    x : (n, ...) inputs, one small batch; t : its targets.
    loss : `loss(y, t) -> (value, pullback)`, such as `xpnet.losses.squared_error`.

    Returns
    -------
    A `Report`, in which `x` stands for the input's gradient.

    Raises
    ------
    TypeError : `model` is no layer.

    Examples
    --------
    >>> import numpy as np
    >>> import xpnet
    >>> model = xpnet.models.mlp([2, 4, 1])
    >>> check_model(model, np.ones((5, 2)), np.zeros((5, 1)), xpnet.losses.squared_error).healthy
    True
    """
    check_is_model("check_model", model)
    backend = _double(model.backend)
    with use_backend(backend), kept(x, t):
        copied = model.to(backend)
        batch = _Batch(copied, backend, loss, backend.asarray(t))
        inputs = backend.asarray(x)
        arrays: dict[str, Array] = {path: parameter.data for path, parameter in copied.parameters().items()}
        differentiable = backend.is_float(inputs)
        if differentiable:
            arrays["x"] = inputs
        else:
            batch.fixed_x = inputs
        if not arrays:
            raise ValueError(
                "check_model: the model has no parameters, and x is of integers: there is nothing to check"
            )
        report = check_gradients(batch.loss, arrays, batch.gradients)
    lines = () if differentiable else ("x: integers have no gradient",)
    return Report(report.findings, checked=report.checked, unchecked=(*report.unchecked, *lines))


def check_pullback(function: Callable[..., tuple[Array, Any]], *arrays: Array) -> Report:
    """Compares a pullback with differences of its function.

        (dy · f(a + h v) - dy · f(a - h v)) / 2h = pullback(dy) · v    for each array a, some directions v, a random dy

    Parameters
    ----------
    function : `y, pullback = function(*arrays)`, as those of `xpnet.functional`; `pullback(dy)` gives one gradient, or
        a tuple with one for each array.
    arrays : its arguments; those of integers are passed as they are. They are checked in float64.

    Returns
    -------
    A `Report`, in which `argument 1` stands for the first array.

    Raises
    ------
    ValueError : no argument is a floating-point array.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.functional import linear, tanh
    >>> x, weight = np.asarray([[1.0, 2.0]]), np.asarray([[0.5], [1.5]])
    >>> check_pullback(tanh, x).healthy, check_pullback(linear, x, weight).healthy
    (True, True)
    """
    named = {f"argument {i + 1}": array for i, array in enumerate(arrays) if is_array(array) and is_float(array)}
    if not named:
        raise ValueError("check_pullback: none of the arguments is a floating-point array")
    backend = _double(backend_of(*named.values()))
    with use_backend(backend), kept(*arrays):
        try:
            tried = _Function(function, arrays, backend)
        except CannotCheck as stop:
            return Report([stop.finding])
        return check_gradients(tried.loss, named, tried.gradients)


class _Batch:
    """One batch of a model, as a loss and gradients of a dict of arrays."""

    def __init__(self, model: Layer, backend: Backend, loss: Callable[..., tuple[Array, Any]], t: Array) -> None:
        self.model, self.backend, self.criterion, self.t = model, backend, loss, t
        self.buffers = {path: backend.copy(buffer.data) for path, buffer in model.buffers().items()}
        self.fixed_x: Array | None = None

    @contextmanager
    def _at(self, arrays: dict[str, Array]) -> Iterator[tuple[Array, Any]]:
        for path, parameter in self.model.parameters().items():
            parameter.data = arrays[path]
        try:
            yield self.model.forward(arrays.get("x", self.fixed_x))
        finally:
            for path, buffer in self.model.buffers().items():
                buffer.data[...] = self.buffers[path]

    def loss(self, arrays: dict[str, Array]) -> float:
        with self._at(arrays) as (y, _):
            return float(self.criterion(y, self.t)[0])

    def gradients(self, arrays: dict[str, Array]) -> dict[str, Array]:
        self.model.clear_gradients()
        with self._at(arrays) as (y, pullback):
            dx = pullback(self.criterion(y, self.t)[1](), input_gradient="x" in arrays)
        zeros = self.backend.xp.zeros_like
        found = {
            path: zeros(parameter.data) if parameter.grad is None else self.backend.copy(parameter.grad)
            for path, parameter in self.model.parameters().items()
        }
        return found | ({"x": zeros(arrays["x"]) if dx is None else dx} if "x" in arrays else {})


class _Function:
    """A function and its pullback, as a loss and gradients: the loss is the product with a random dy."""

    def __init__(self, function: Callable[..., Any], arrays: tuple[Any, ...], backend: Backend) -> None:
        self.function, self.arrays, self.backend = function, arrays, backend
        first = {f"argument {i + 1}": _as_double(array, backend) for i, array in enumerate(arrays)}
        value = self._run(first)[0]
        self.dy = backend.asarray(np.random.default_rng(271828).standard_normal(tuple(value.shape)))

    def _run(self, named: dict[str, Array]) -> tuple[Array, Any]:
        arguments = [named.get(f"argument {i + 1}", array) for i, array in enumerate(self.arrays)]
        made = guarded("function(*arrays)", self.function, *arguments)
        if not isinstance(made, tuple) or len(made) < 2 or not is_array(made[0]) or not callable(made[1]):
            got = ", ".join(type(each).__name__ for each in made) if isinstance(made, tuple) else type(made).__name__
            sentence = f"function(*arrays) should return a value and a pullback, and returns {got}"
            raise CannotCheck(Finding("wrong_shape", sentence, weight=1.0))
        return made[0], made[1]

    def loss(self, named: dict[str, Array]) -> float:
        y, _ = self._run(named)
        return float(self.backend.xp.sum(y * self.dy))

    def gradients(self, named: dict[str, Array]) -> dict[str, Array]:
        found = self._run(named)[1](self.dy)
        found = found if isinstance(found, tuple) else (found,)
        names = [key for key in (f"argument {i + 1}" for i in range(len(self.arrays))) if key in named]
        if len(found) == len(self.arrays):
            found = tuple(g for i, g in enumerate(found) if f"argument {i + 1}" in named)
        return {key: gradient for key, gradient in zip(names, found, strict=False) if gradient is not None}


def _double(backend: Backend) -> Backend:
    return open_backend(backend.name, device=backend.device, dtype="float64")


def _as_double(value: Any, backend: Backend) -> Any:
    return backend.asarray(value) if is_array(value) and is_float(value) else value
