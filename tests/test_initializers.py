"""Initial weights: the variance that each formula promises, from the same numbers on every backend."""

import math

import numpy as np
import pytest

import xpnet
from xpnet import initializers as init
from xpnet.layers import Linear

SHAPES = {"(in, out)": (400, 300), "(kh, kw, in, out)": (3, 5, 40, 50)}

# fan_in adds up what one output sees, fan_out what one input reaches.
VARIANCES = {
    "xavier_normal": lambda fan_in, fan_out: 2.0 / (fan_in + fan_out),
    "xavier_uniform": lambda fan_in, fan_out: 2.0 / (fan_in + fan_out),
    "he_normal": lambda fan_in, fan_out: 2.0 / fan_in,
    "he_uniform": lambda fan_in, fan_out: 2.0 / fan_in,
    "lecun_normal": lambda fan_in, fan_out: 1.0 / fan_in,
}
ALL = {name: getattr(init, name) for name in VARIANCES} | {"normal": init.normal(0.3), "zeros": init.zeros}


def draw(initializer, shape, seed=0):
    return initializer(np.random.default_rng(seed), shape)


def fans(shape):
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", VARIANCES)
def test_values_have_mean_zero_and_the_formulas_variance(name, shape):
    values, variance = draw(ALL[name], shape), VARIANCES[name](*fans(shape))
    assert values.var() == pytest.approx(variance, rel=0.03)
    assert abs(values.mean()) < 4.0 * math.sqrt(variance / values.size)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", ["xavier_uniform", "he_uniform"])
def test_uniform_values_fill_their_interval_and_stay_in_it(name, shape):
    values, bound = draw(ALL[name], shape), math.sqrt(3.0 * VARIANCES[name](*fans(shape)))
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() == pytest.approx(bound, rel=1e-3)
    assert np.mean(np.abs(values) < bound / 2) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", ["xavier_normal", "he_normal", "lecun_normal", "normal"])
def test_normal_values_have_normal_tails(name):
    values = draw(ALL[name], (400, 300))
    z = np.abs(values) / values.std()
    assert np.mean(z < 1.0) == pytest.approx(0.6827, abs=0.01)
    assert np.mean(z > 3.0) == pytest.approx(0.0027, abs=0.001)


def test_lecun_normal_is_what_the_course_calls_xavier():
    expected = np.random.default_rng(0).standard_normal((50, 20)) / math.sqrt(50)
    np.testing.assert_allclose(draw(init.lecun_normal, (50, 20)), expected, rtol=1e-15)


@pytest.mark.parametrize("shape", [(7,), (3, 4), ()], ids=str)
def test_normal_and_zeros_take_any_shape(shape):
    assert draw(init.normal(2.0), shape).shape == shape
    assert (draw(init.zeros, shape) == 0.0).all()
    assert (draw(init.normal(0.0), shape) == 0.0).all()


@pytest.mark.parametrize("name", ALL)
def test_a_generators_seed_decides_the_values(name):
    again, other = draw(ALL[name], (4, 3)), draw(ALL[name], (4, 3), seed=1)
    np.testing.assert_array_equal(draw(ALL[name], (4, 3)), again)
    assert np.array_equal(again, other) == (name == "zeros")


@pytest.mark.parametrize("name", ALL)
def test_weights_are_the_same_numbers_on_every_backend(backend, name):
    xpnet.seed(4)
    weight = Linear(30, 20, weight=ALL[name]).weight.data
    expected = draw(ALL[name], (30, 20), seed=4).astype(np.float32)
    np.testing.assert_array_equal(backend.to_host(weight), expected, strict=True)


@pytest.mark.parametrize("name", VARIANCES)
@pytest.mark.parametrize("shape", [(3,), (), (0, 3), (3, 0)], ids=str)
def test_shapes_that_are_no_weights_are_refused(name, shape):
    with pytest.raises(ValueError, match=r"initializer: expected a weight's shape \(\.\.\., inputs, outputs\), got \("):
        draw(ALL[name], shape)


@pytest.mark.parametrize("std", [-1.0, math.nan, math.inf])
def test_a_deviation_that_is_none_is_refused(std):
    with pytest.raises(ValueError, match=f"normal: expected std >= 0, got {std!r}"):
        init.normal(std)
