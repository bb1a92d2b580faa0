import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xpnet.data import MinMax, Standardize

SCALES = pytest.mark.parametrize("kind", [Standardize, MinMax])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def normal(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(5.0, 3.0, shape).astype(dtype)


def tables(dtype, width):
    return arrays(
        dtype,
        st.tuples(st.integers(1, 8), st.integers(1, 4)),
        elements=st.floats(-1e6, 1e6, width=width, allow_subnormal=False),
    )


@DTYPES
def test_standardized_training_data_have_mean_0_and_deviation_1(dtype):
    x = normal((500, 4), dtype) * np.asarray([1, 100, 1e-3, 1], dtype)
    y = Standardize(x)(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.mean(axis=0, dtype=np.float64), 0.0, atol=1e-6)
    np.testing.assert_allclose(y.std(axis=0, dtype=np.float64), 1.0, rtol=1e-6)


def test_standardize_agrees_with_scikit_learn():
    other = pytest.importorskip("sklearn.preprocessing").StandardScaler()
    x, new = normal((50, 3)), normal((20, 3), seed=1)
    other.fit(x)
    np.testing.assert_allclose(Standardize(x)(new), other.transform(new), rtol=1e-12)


def test_min_max_agrees_with_scikit_learn():
    other = pytest.importorskip("sklearn.preprocessing").MinMaxScaler((-2.0, 3.0))
    x, new = normal((50, 3)), normal((20, 3), seed=1)
    other.fit(x)
    np.testing.assert_allclose(MinMax(x, -2.0, 3.0)(new), other.transform(new), rtol=1e-12, atol=1e-12)


def test_statistics_come_from_the_training_data_alone():
    x = np.asarray([[0.0], [2.0]])
    new = np.asarray([[10.0], [20.0]])
    np.testing.assert_array_equal(Standardize(x)(new), [[9.0], [19.0]])
    np.testing.assert_array_equal(MinMax(x)(new), [[5.0], [10.0]])


def test_documented_attributes():
    x = np.asarray([[1.0, 5.0], [3.0, 5.0]], np.float32)
    standardize, min_max = Standardize(x), MinMax(x, -1.0, 2.0)
    np.testing.assert_array_equal(standardize.mean, np.asarray([2.0, 5.0]), strict=True)
    np.testing.assert_array_equal(standardize.deviation, np.asarray([1.0, 1.0]), strict=True)
    np.testing.assert_array_equal(min_max.least, np.asarray([1.0, 5.0]), strict=True)
    np.testing.assert_array_equal(min_max.spread, np.asarray([2.0, 1.0]), strict=True)
    assert (min_max.low, min_max.high) == (-1.0, 2.0)


def test_images_are_scaled_by_channel():
    x = normal((6, 5, 4, 3), np.float32)
    np.testing.assert_array_equal(Standardize(x)(x), Standardize(x.reshape(-1, 3))(x.reshape(-1, 3)).reshape(x.shape))
    y = MinMax(x)(x)
    np.testing.assert_array_equal(y.min(axis=(0, 1, 2)), [0, 0, 0])
    np.testing.assert_array_equal(y.max(axis=(0, 1, 2)), [1, 1, 1])


@DTYPES
@given(data=st.data())
def test_inverse_gives_the_data_back(dtype, data):
    x = data.draw(tables(dtype, 32 if dtype is np.float32 else 64))
    for scale in (Standardize(x), MinMax(x, -1.0, 3.0)):
        back = scale.inverse(scale(x))
        assert back.dtype == dtype
        np.testing.assert_allclose(back, x, rtol=0, atol=8 * np.finfo(dtype).eps * float(np.abs(x).max()))


@given(x=tables(np.float64, 64))
def test_min_max_fills_its_range(x):
    y = MinMax(x)(x)
    assert (y.min(axis=0) == 0.0).all()
    assert (y.max(axis=0) == np.where(x.min(axis=0) == x.max(axis=0), 0.0, 1.0)).all()


@DTYPES
@pytest.mark.parametrize("value", [0.1, -1e6 / 3, 1e-30, 0.0])
def test_constant_features(dtype, value):
    x = normal((7, 2), dtype)
    x[:, 1] = value
    for scale, low in ((Standardize(x), 0.0), (MinMax(x, -1.0, 3.0), -1.0)):
        y = scale(x)
        assert (y[:, 1] == low).all()
        assert np.isfinite(y).all()
        assert (scale.inverse(y)[:, 1] == x[:, 1]).all()


def test_one_example_is_constant():
    x = normal((1, 3), np.float32)
    np.testing.assert_array_equal(Standardize(x)(x), np.zeros((1, 3)))
    np.testing.assert_array_equal(MinMax(x)(x), np.zeros((1, 3)))


def test_deviation_that_vanishes_in_float64_does_not_divide_by_zero():
    x = np.asarray([[0.0], [5e-324]])
    assert np.isfinite(Standardize(x)(x)).all()


def test_large_mean_keeps_its_digits_in_float32():
    x = (1e6 + np.arange(8.0, dtype=np.float32)).reshape(8, 1).astype(np.float32)
    np.testing.assert_allclose(Standardize(x)(x)[:, 0], (np.arange(8) - 3.5) / np.arange(8).std(), rtol=1e-6)


@SCALES
def test_arguments_are_not_changed(kind):
    x = normal((5, 2))
    copy = x.copy()
    x.flags.writeable = False
    scale = kind(x)
    scale.inverse(scale(x))
    np.testing.assert_array_equal(x, copy)


@SCALES
def test_no_examples_scale_to_none(kind):
    assert kind(normal((5, 2)))(np.empty((0, 2))).shape == (0, 2)


def calls(kind):
    scale = kind(normal((5, 3)))
    return ("x", kind), ("x", scale), ("y", scale.inverse)


@SCALES
def test_wrong_types(kind):
    for name, call in calls(kind):
        with pytest.raises(TypeError, match=f"^{kind.__name__}: {name} has dtype int64, expected float32 or float64$"):
            call(np.ones((2, 3), np.int64))
        with pytest.raises(
            TypeError, match=f"^{kind.__name__}: {name} is a list, expected a NumPy array of float32 or float64$"
        ):
            call([[1.0, 2.0, 3.0]])


@SCALES
def test_wrong_shapes(kind):
    for name, call in calls(kind):
        with pytest.raises(
            ValueError,
            match=rf"^{kind.__name__}: {name} has shape \(3,\), expected two or more axes, the features last$",
        ):
            call(np.ones(3))
    for name, call in calls(kind)[1:]:
        with pytest.raises(
            ValueError, match=f"^{kind.__name__}: {name} has 4 features, expected 3 as in the training data$"
        ):
            call(np.ones((2, 4)))


@SCALES
@pytest.mark.parametrize(("value", "text"), [(np.nan, "nan"), (-np.inf, "-inf")])
def test_values_that_are_not_finite(kind, value, text):
    x = np.ones((2, 3), np.float32)
    x[1, 2] = value
    for name, call in calls(kind):
        with pytest.raises(
            ValueError, match=rf"^{kind.__name__}: {name} is {text} at index \(1, 2\), expected finite numbers$"
        ):
            call(x)


@SCALES
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_empty_training_data(kind, shape):
    with pytest.raises(
        ValueError,
        match=rf"^{kind.__name__}: x has shape \({shape[0]}, {shape[1]}\), expected at least one example and one",
    ):
        kind(np.empty(shape))


@SCALES
def test_spread_beyond_float64(kind):
    x = np.asarray([[0.0, -1e308], [1.0, 1e308]])
    with pytest.raises(ValueError, match=f"^{kind.__name__}: feature 1 of x spreads too widely for float64$"):
        kind(x)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, np.inf), (np.nan, 1.0)])
def test_wrong_range(low, high):
    with pytest.raises(
        ValueError, match=f"^MinMax: low is {low} and high is {high}, expected finite numbers with low < high$"
    ):
        MinMax(normal((5, 2)), low, high)
