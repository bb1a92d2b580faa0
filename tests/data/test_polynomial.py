import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.data import polynomial


@given(n=st.integers(1, 200), seed=st.integers(0, 2**64))
def test_shapes_and_formula(n, seed):
    for x, t in polynomial(n, seed):
        assert x.shape == (n, 2)
        assert t.shape == (n, 1)
        assert x.dtype == t.dtype == np.float32
        assert ((x >= 0) & (x < 1)).all()
        exact = 3 * x[:, 0].astype(np.float64) ** 2 + 2 * x[:, 1].astype(np.float64)
        np.testing.assert_allclose(t[:, 0], exact, rtol=3e-7)


def test_default_is_a_thousand_examples_each():
    (x, _), (x_test, _) = polynomial()
    assert len(x) == len(x_test) == 1000


def test_values_are_fixed_by_the_seed():
    (x, t), (x_test, _) = polynomial()
    np.testing.assert_allclose(x[0], [0.8506242, 0.63696164], rtol=1e-6)
    np.testing.assert_allclose(t[0], [3.4446077], rtol=1e-6)
    np.testing.assert_array_equal(polynomial(seed=0)[1][0], x_test)
    assert not np.array_equal(polynomial(seed=1)[0][0], x)


def test_training_and_test_examples_differ():
    (x, _), (x_test, _) = polynomial(seed=3)
    assert not set(map(tuple, x.tolist())) & set(map(tuple, x_test.tolist()))


def test_inputs_are_uniform_and_independent():
    (x, _), _ = polynomial(100_000)
    # standard errors: 0.0009 of a mean, 0.0003 of a variance, 0.003 of a correlation
    np.testing.assert_allclose(x.mean(axis=0), [0.5, 0.5], atol=0.005)
    np.testing.assert_allclose(x.var(axis=0), [1 / 12, 1 / 12], atol=0.0015)
    assert abs(np.corrcoef(x, rowvar=False)[0, 1]) < 0.015


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0}, ValueError, "^polynomial: n is 0, expected at least 1$"),
        ({"n": 2.0}, TypeError, r"^polynomial: n is 2\.0, expected an integer$"),
        ({"n": True}, TypeError, "^polynomial: n is True, expected an integer$"),
        ({"seed": -1}, ValueError, "^polynomial: seed is -1, expected at least 0$"),
        ({"seed": None}, TypeError, "^polynomial: seed is None, expected an integer$"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        polynomial(**arguments)
