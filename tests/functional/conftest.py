"""Every function as one case: how to call it, with which arrays, and what PyTorch says it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.backend import backend_of, random_key

RATE, KEY = 0.4, random_key(0, "here")


def normal(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape)


@dataclass(frozen=True)
class Case:
    """`function(*arrays) -> value, pullback`; `arrays(shape)` are host arrays for x of that shape, x first."""

    name: str
    function: Callable[..., Any]
    torch: Callable[..., Any]
    arrays: Callable[[tuple[int, ...]], tuple[Any, ...]] = lambda shape: (2.0 * normal(shape, 1),)
    shapes: tuple[tuple[int, ...], ...] = ((3,), (4, 3), (2, 4, 3), (2, 3, 2, 3))
    constants: int = 0
    """How many of the last arrays are not differentiated."""
    has_out: bool = False
    """Whether the pullback takes `out=(dweight, dbias)`."""

    def split(self, arrays):
        """The arrays that have gradients, and the constants."""
        last = len(arrays) - self.constants
        return arrays[:last], arrays[last:]


def linear_without_bias(x, weight):
    y, pullback = F.linear(x, weight)
    return y, lambda dy: pullback(dy)[:2]


def step_like(x):
    backend = backend_of(x)
    return backend.xp.zeros((), dtype=backend.xp.int32, device=backend.device_of(x))


def dropout(x):
    return F.dropout(x, RATE, KEY, step_like(x))


def torch_dropout(torch, x):
    return x * F.dropout(torch.ones_like(x), RATE, KEY, step_like(x))[0]


def batch_norm(x, weight, bias):
    return F.batch_norm(x, weight, bias, eps=1e-3)[:2]


def batch_norm_inference(x, weight, bias, mean, variance):
    return F.batch_norm_inference(x, weight, bias, mean, variance, eps=1e-3)


def batch_norm_relu(x, weight, bias):
    return F.batch_norm_relu(x, weight, bias, eps=1e-3)[:2]


def batch_norm_relu_inference(x, weight, bias, mean, variance):
    return F.batch_norm_relu_inference(x, weight, bias, mean, variance, eps=1e-3)


def torch_batch_norm_relu(torch, *arrays):
    return torch_batch_norm(torch, *arrays).relu()


def torch_batch_norm(torch, x, weight, bias, mean=None, variance=None):
    rows = x.reshape(-1, x.shape[-1])  # (..., features) -> (n, features)
    y = torch.nn.functional.batch_norm(rows, mean, variance, weight, bias, training=mean is None, eps=1e-3)
    return y.reshape(x.shape)


def linear_arrays(shape):
    return normal(shape, 1), normal((shape[-1], 2), 2), normal((2,), 3)


def norm_arrays(shape):
    return 3.0 * normal(shape, 1) + 1.0, normal(shape[-1:], 2), normal(shape[-1:], 3)


def inference_arrays(shape):
    return *norm_arrays(shape), normal(shape[-1:], 4), np.square(normal(shape[-1:], 5))


CASES = [
    Case(
        "linear",
        F.linear,
        lambda torch, x, w, b: torch.nn.functional.linear(x, w.T, b),
        linear_arrays,
        has_out=True,
    ),
    Case(
        "linear without bias",
        linear_without_bias,
        lambda torch, x, w: torch.nn.functional.linear(x, w.T),
        lambda shape: linear_arrays(shape)[:2],
    ),
    Case(
        "linear_relu",
        F.linear_relu,
        lambda torch, x, w, b: torch.nn.functional.linear(x, w.T, b).relu(),
        linear_arrays,
        has_out=True,
    ),
    Case("relu", F.relu, lambda torch, x: torch.nn.functional.relu(x)),
    Case("leaky_relu", lambda x: F.leaky_relu(x, 0.2), lambda torch, x: torch.nn.functional.leaky_relu(x, 0.2)),
    Case("sigmoid", F.sigmoid, lambda torch, x: torch.sigmoid(x)),
    Case("tanh", F.tanh, lambda torch, x: torch.tanh(x)),
    Case("softplus", F.softplus, lambda torch, x: torch.nn.functional.softplus(x, threshold=1e9)),
    Case("silu", F.silu, lambda torch, x: torch.nn.functional.silu(x)),
    Case("gelu", F.gelu, lambda torch, x: torch.nn.functional.gelu(x, approximate="tanh")),
    Case("softmax", F.softmax, lambda torch, x: torch.softmax(x, dim=-1)),
    Case("log_softmax", F.log_softmax, lambda torch, x: torch.log_softmax(x, dim=-1)),
    Case("dropout", dropout, torch_dropout),
    Case("batch_norm", batch_norm, torch_batch_norm, norm_arrays, ((4, 3), (2, 4, 3), (2, 3, 2, 3)), has_out=True),
    Case("batch_norm_inference", batch_norm_inference, torch_batch_norm, inference_arrays, constants=2, has_out=True),
    Case(
        "batch_norm_relu",
        batch_norm_relu,
        torch_batch_norm_relu,
        norm_arrays,
        ((4, 3), (2, 4, 3), (2, 3, 2, 3)),
        has_out=True,
    ),
    Case(
        "batch_norm_relu_inference",
        batch_norm_relu_inference,
        torch_batch_norm_relu,
        inference_arrays,
        constants=2,
        has_out=True,
    ),
]

ELEMENTWISE = {"relu", "leaky_relu", "sigmoid", "tanh", "softplus", "silu", "gelu"}


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    """Each function in turn."""
    return request.param


@pytest.fixture(params=[case for case in CASES if case.name in ELEMENTWISE], ids=lambda case: case.name)
def activation(request):
    """Each function of one element in turn."""
    return request.param


@pytest.fixture(
    params=[case for case in CASES if case.name not in ("batch_norm", "batch_norm_relu")], ids=lambda case: case.name
)
def row_by_row(request):
    """Each function that treats every row by itself."""
    return request.param


@pytest.fixture(params=[case for case in CASES if len(case.arrays((4, 3))) > 1], ids=lambda case: case.name)
def case_of_several(request):
    """Each function that takes more arrays than x."""
    return request.param


@pytest.fixture(params=[case for case in CASES if case.has_out], ids=lambda case: case.name)
def case_with_out(request):
    """Each function whose pullback takes `out=`."""
    return request.param


@pytest.fixture(params=[(case, shape) for case in CASES for shape in case.shapes], ids=lambda p: f"{p[0].name}-{p[1]}")
def case_and_shape(request):
    """Each function with each shape that its x may have."""
    return request.param
