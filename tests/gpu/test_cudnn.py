"""Convolutions by cuDNN against the generic ones, on the device."""

import contextlib
from dataclasses import dataclass, field

import numpy as np
import pytest

import xpnet
from xpnet.backend import use_backend
from xpnet.functional import conv


@dataclass
class Shape:
    """A convolution: its input, its weight, and how it goes."""

    x: tuple
    weight: tuple
    options: dict = field(default_factory=dict)


SHAPES = {
    "3x3": Shape((4, 16, 16, 32), (3, 3, 32, 64), {"padding": 1}),
    "1x1": Shape((4, 14, 14, 64), (1, 1, 64, 32)),
    "7x7, stride 2": Shape((4, 32, 32, 3), (7, 7, 3, 64), {"stride": 2, "padding": 3}),
    "1x1, stride 2": Shape((4, 14, 14, 32), (1, 1, 32, 64), {"stride": 2}),
    "odd sizes": Shape((3, 13, 11, 7), (3, 5, 7, 9), {"padding": (1, 2)}),
    "groups": Shape((4, 12, 12, 32), (3, 3, 8, 32), {"padding": 1, "groups": 4}),
    "dilation": Shape((4, 16, 16, 8), (3, 3, 8, 16), {"padding": 2, "dilation": 2}),
    "1-D": Shape((4, 50, 8), (5, 8, 16), {"padding": 2}),
    "3-D": Shape((2, 6, 8, 8, 4), (3, 3, 3, 4, 8), {"padding": 1}),
}


@contextlib.contextmanager
def chosen(algorithm):
    """By cuDNN, or in a rehearsal by what there is instead."""
    with xpnet.use_convolution("auto" if algorithm == "cudnn" and not is_gpu() else algorithm):
        yield


def is_gpu():
    return xpnet.get_backend().name == "cupy"


def results(backend, shape, algorithm, dtype=np.float32):
    """Output and gradients, on the host, in float64."""
    random = np.random.default_rng(1)
    arrays = [random.standard_normal(size) for size in (shape.x, shape.weight, shape.weight[-1:])]
    x, weight, bias = (backend.xp.asarray(array.astype(dtype)) for array in arrays)
    with chosen(algorithm):
        y, pullback = conv(x, weight, bias, **shape.options)
        dy = backend.xp.asarray(random.standard_normal(tuple(y.shape)).astype(dtype))
        return [backend.to_host(array).astype(np.float64) for array in (y, *pullback(dy))]


def worst(found, expected):
    return max(float(np.abs(f - e).max() / np.abs(e).max()) for f, e in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", SHAPES)
def test_cudnn_in_float32_is_the_direct_sum(name, device):
    shape = SHAPES[name]
    expected = results(device, shape, "direct", np.float64)
    assert worst(results(device, shape, "cudnn"), expected) < 1e-5
    assert worst(results(device, shape, "direct"), expected) < 1e-5


@pytest.mark.needs_gpu
@pytest.mark.parametrize("name", SHAPES)
def test_cudnn_in_tf32_is_rounded_within_a_hundredth(name, device):
    with use_backend("cupy", matmul="tf32") as backend:
        assert (
            worst(results(backend, SHAPES[name], "cudnn"), results(backend, SHAPES[name], "direct", np.float64)) < 1e-2
        )


@pytest.mark.needs_gpu
@pytest.mark.parametrize("name", ["3x3", "7x7, stride 2", "groups"])
def test_cudnn_in_float16_is_near_float32(name, device):
    expected = results(device, SHAPES[name], "direct")
    assert worst(results(device, SHAPES[name], "cudnn", np.float16), expected) < 2e-2


def test_cudnn_gives_the_same_bits_twice(device):
    for name in ("3x3", "7x7, stride 2"):
        one, other = (results(device, SHAPES[name], "cudnn") for _ in range(2))
        assert all((a == b).all() for a, b in zip(one, other, strict=True))


def test_a_captured_step_with_cudnn_gives_the_bits_of_the_eager_one(
    training, device, images, many, capture, rehearse, agree
):
    states = []
    with chosen("cudnn"):
        for through in (capture, rehearse(device)):
            xpnet.seed(4)
            run = training(device, xpnet.models.vgg_small(), images(device, (16, 32, 32, 3)), through)
            states.append(run.run(many(12)))
            if through is capture:
                assert (run.step.graphs, run.step.why_not) == (1, None)
    agree(*states)
