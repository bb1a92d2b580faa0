"""An xpnet model as a patient: a copy on NumPy, behind functions of a dict of host arrays."""

import inspect
from typing import Any, final

import numpy as np

from xpnet.backend import HostArray, open_backend
from xpnet.diagnostics._check_model import check_model
from xpnet.diagnostics._patient import Parameters, Patient, Stage
from xpnet.diagnostics._report import Report
from xpnet.layers import Layer, observe
from xpnet.optimizers import NonFiniteError, Optimizer
from xpnet.training import Loss, train_step

_KINDS = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus"}
_ROWS = 4000
"""Values that are kept of each unit: pixels of a convolution's channel count as examples."""


def model_patient(
    model: Layer,
    train: tuple[HostArray, HostArray],
    validation: tuple[HostArray, HostArray] | None,
    loss: Loss,
    optimizer: Optimizer | None,
) -> Patient:
    """The patient for a model, which itself is not touched."""
    body = _Body(model.to(open_backend("numpy")), loss, optimizer)
    return Patient(
        body.parameters(),
        body.forward,
        body.loss,
        train,
        None,
        None if optimizer is None else body.step,
        validation,
        body.stages,
        body.last_activation(),
        reset=body.reset,
        check=body.check,
    )


@final
class _Body:
    """The copy of the model, with its optimizer."""

    def __init__(self, model: Layer, loss: Loss, optimizer: Optimizer | None) -> None:
        self.model, self.loss_function, self.like = model, loss, optimizer
        self.tensors = model.parameters()
        self.state = model.state()
        self.optimizer: Optimizer | None = None
        self.reset()

    def reset(self) -> None:
        """Buffers as at the start, and an optimizer without a past."""
        self.model.load_state(self.state)
        if self.like is not None:
            self.optimizer = like_optimizer(self.like, self.model)

    def parameters(self) -> Parameters:
        return {path: np.array(tensor.data) for path, tensor in self.tensors.items()}

    def take(self, parameters: Parameters) -> None:
        for path, tensor in self.tensors.items():
            tensor.data[...] = parameters[path]

    def forward(self, parameters: Parameters, x: HostArray) -> HostArray:
        self.take(parameters)
        found: HostArray = self.model(self.model.backend.asarray(x))
        return found

    def loss(self, y: HostArray, t: HostArray) -> float:
        backend = self.model.backend
        return float(self.loss_function(backend.asarray(y), backend.asarray(t))[0])

    def step(self, parameters: Parameters, x: HostArray, t: HostArray) -> None:
        self.take(parameters)
        backend = self.model.backend
        assert self.optimizer is not None
        try:
            train_step(
                self.model, backend.asarray(x), backend.asarray(t), loss=self.loss_function, optimizer=self.optimizer
            )
            parameters.update(self.parameters())
        except NonFiniteError:
            parameters.update({path: np.full_like(values, np.nan) for path, values in parameters.items()})

    def check(self, x: HostArray, t: HostArray) -> Report:
        """The gradient check, with the parameters of the start."""
        self.model.load_state(self.state)
        return check_model(self.model, x, t, self.loss_function)

    def stages(self, parameters: Parameters, x: HostArray) -> list[Stage]:
        """What goes into each activation layer and comes out of it, in inference."""
        self.take(parameters)
        found: list[Stage] = []
        source: list[str] = []
        layers = self.model.layers()

        def look(path: str, x: Any, y: Any) -> None:
            kind = _KINDS.get(type(layers.get(path, self.model)).__name__)
            own = f"{path}.weight" if path else "weight"
            if own in self.tensors and self.tensors[own].data.ndim >= 2:
                source[:] = [own]
            if kind is not None:
                weight = source[0] if source else None
                bias = None if weight is None else weight.removesuffix("weight") + "bias"
                found.append(Stage(path, kind, _rows(x), _rows(y), weight, bias if bias in self.tensors else None))

        with observe(self.model, on_forward=look):
            self.model.forward(self.model.backend.asarray(x), training=False)
        return found

    def last_activation(self) -> str | None:
        """The name of the activation that the outputs come from, if the last layer is one."""
        leaves = [layer for layer in self.model.layers().values() if not layer.layers()]
        return _KINDS.get(type(leaves[-1]).__name__) if leaves else None


def like_optimizer(optimizer: Optimizer, model: Layer) -> Optimizer:
    """A new optimizer of the same rule and settings for a copy of the model."""
    known = inspect.signature(type(optimizer)).parameters
    settings = {name: getattr(optimizer, name) for name in known if name != "model" and hasattr(optimizer, name)}
    return type(optimizer)(model, **settings)


def _rows(values: Any) -> HostArray:
    """(..., units) -> (n, units), of many pixels only some."""
    rows = np.asarray(values).reshape(-1, values.shape[-1])
    return rows[:: max(1, len(rows) // _ROWS)]
