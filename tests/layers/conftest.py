"""Every kind of layer as one case, alone and inside containers, with the same made of PyTorch's modules."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from xpnet import layers as L


def torch_concat(nn, *branches):
    class Concat(nn.ModuleList):
        def forward(self, x):
            return nn.functional.torch.cat([branch(x) for branch in self], dim=-1)

    return Concat(branches)


def torch_residual(nn, body, shortcut):
    class Residual(nn.ModuleDict):
        def forward(self, x):
            return self["body"](x) + self["shortcut"](x)

    return Residual({"body": body, "shortcut": shortcut})


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[], L.Layer]
    torch: Callable[[Any], Any]
    shape: tuple[int, ...] = (6, 3)
    output: tuple[int, ...] = (6, 3)


def nested():
    block = L.Sequential(linear=L.Linear(4, 4), norm=L.BatchNorm(4), relu=L.ReLU())
    branches = L.Concat(L.Linear(4, 1), L.Sequential(L.Linear(4, 2), L.Tanh()))
    return L.Sequential(L.Linear(3, 4), L.Residual(block), branches, L.BatchNorm(3), L.Linear(3, 2))


def torch_nested(nn):
    block = nn.Sequential()
    for name, module in {"linear": nn.Linear(4, 4), "norm": nn.BatchNorm1d(4), "relu": nn.ReLU()}.items():
        block.add_module(name, module)
    branches = torch_concat(nn, nn.Linear(4, 1), nn.Sequential(nn.Linear(4, 2), nn.Tanh()))
    residual = torch_residual(nn, block, nn.Identity())
    return nn.Sequential(nn.Linear(3, 4), residual, branches, nn.BatchNorm1d(3), nn.Linear(3, 2))


def shared():
    layer = L.Linear(3, 3)
    return L.Sequential(layer, L.Tanh(), layer)


def torch_shared(nn):
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.Tanh(), layer)


CASES = [
    Case("Linear", lambda: L.Linear(3, 2), lambda nn: nn.Linear(3, 2), output=(6, 2)),
    Case("Linear-3-D", lambda: L.Linear(3, 2), lambda nn: nn.Linear(3, 2), (4, 5, 3), (4, 5, 2)),
    Case("Linear-1-D", lambda: L.Linear(3, 2), lambda nn: nn.Linear(3, 2), (3,), (2,)),
    Case("Linear-no-bias", lambda: L.Linear(3, 2, bias=False), lambda nn: nn.Linear(3, 2, bias=False), output=(6, 2)),
    Case("BatchNorm", lambda: L.BatchNorm(3), lambda nn: nn.BatchNorm1d(3)),
    Case(
        "BatchNorm-momentum",
        lambda: L.BatchNorm(3, momentum=0.4, eps=1e-2),
        lambda nn: nn.BatchNorm1d(3, momentum=0.4, eps=1e-2),
    ),
    Case("ReLU", L.ReLU, lambda nn: nn.ReLU()),
    Case("LeakyReLU", lambda: L.LeakyReLU(0.2), lambda nn: nn.LeakyReLU(0.2)),
    Case("Sigmoid", L.Sigmoid, lambda nn: nn.Sigmoid()),
    Case("Tanh", L.Tanh, lambda nn: nn.Tanh()),
    Case("Softplus", L.Softplus, lambda nn: nn.Softplus(threshold=1e9)),
    Case("SiLU", L.SiLU, lambda nn: nn.SiLU()),
    Case("GELU", L.GELU, lambda nn: nn.GELU(approximate="tanh")),
    Case("Softmax", L.Softmax, lambda nn: nn.Softmax(dim=-1)),
    Case("LogSoftmax", L.LogSoftmax, lambda nn: nn.LogSoftmax(dim=-1)),
    Case("Flatten", L.Flatten, lambda nn: nn.Flatten(), (4, 2, 3), (4, 6)),
    Case("Identity", L.Identity, lambda nn: nn.Identity()),
    Case("Dropout-0", lambda: L.Dropout(0.0), lambda nn: nn.Dropout(0.0)),
    Case("empty", L.Sequential, lambda nn: nn.Sequential()),
    Case(
        "Sequential",
        lambda: L.Sequential(L.Flatten(), L.Linear(6, 4), L.ReLU(), L.Linear(4, 2)),
        lambda nn: nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)),
        (4, 2, 3),
        (4, 2),
    ),
    Case(
        "Residual",
        lambda: L.Residual(L.Sequential(L.Linear(3, 3), L.ReLU())),
        lambda nn: torch_residual(nn, nn.Sequential(nn.Linear(3, 3), nn.ReLU()), nn.Identity()),
    ),
    Case(
        "Residual-shortcut",
        lambda: L.Residual(L.Linear(3, 2), L.Linear(3, 2, bias=False)),
        lambda nn: torch_residual(nn, nn.Linear(3, 2), nn.Linear(3, 2, bias=False)),
        output=(6, 2),
    ),
    Case(
        "Concat",
        lambda: L.Concat(L.Linear(3, 2), L.Identity(), L.Linear(3, 4)),
        lambda nn: torch_concat(nn, nn.Linear(3, 2), nn.Identity(), nn.Linear(3, 4)),
        output=(6, 9),
    ),
    Case("nested", nested, torch_nested, output=(6, 2)),
    Case("shared", shared, torch_shared),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    """Each kind of layer in turn."""
    return request.param


@pytest.fixture(params=[case for case in CASES if case.name not in ("empty", "Dropout-0")], ids=lambda case: case.name)
def working_case(request):
    """Each kind of layer that does more than handing its input on."""
    return request.param


def fill(model, seed=1):
    """Random parameters and buffers, so that no weight of 1 and no bias of 0 hides a mistake; returns the model."""
    random = np.random.default_rng(seed)
    state = {
        path: np.abs(values) if path.endswith("var") else values
        for path, tensor in model.tensors().items()
        for values in [random.standard_normal(tuple(tensor.data.shape))]
    }
    model.load_state(state)
    return model


@pytest.fixture
def filled():
    """`filled(model)`: the model, with random parameters and buffers."""
    return fill


def host_tensors(model):
    return {path: np.array(model.backend.to_host(tensor.data)) for path, tensor in model.tensors().items()}


@pytest.fixture
def values_of():
    """`values_of(model)`: copies of all parameters and buffers on the host, by path."""
    return host_tensors


@pytest.fixture
def network():
    """`network()`: a small model with everything that has state."""
    return lambda: fill(
        L.Sequential(
            L.Linear(3, 4),
            L.BatchNorm(4),
            L.ReLU(),
            L.Dropout(0.3),
            L.Residual(L.Linear(4, 4)),
            L.Frozen(L.Sequential(L.Linear(4, 4), L.BatchNorm(4))),
            L.Linear(4, 2),
        )
    )
