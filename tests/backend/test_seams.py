"""Every faster body gives what the plain Array API body gives."""

import numpy as np
import pytest

from xpnet.backend import Backend, column_sum, matmul, row_max, row_sum, sum_of_squares, to_host

PLAIN = Backend("numpy", np)
SHAPES = pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (7, 5), (3, 200), (2000, 10), (300, 400)], ids=str)


def numbers(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, strict=True)


@SHAPES
def test_products_and_sums_are_the_plain_ones(backend, shape):
    x, weight = numbers(shape), numbers((shape[1], 6), 1)
    a, b = backend.asarray(x), backend.asarray(weight)
    assert_close(to_host(matmul(a, b)), PLAIN.matmul(x, weight))
    assert_close(to_host(column_sum(a)), PLAIN.column_sum(x))
    assert_close(to_host(row_sum(a)), PLAIN.row_sum(x))
    np.testing.assert_array_equal(to_host(row_max(a)), PLAIN.row_max(x), strict=True)
    assert float(backend.total(a)) == pytest.approx(float(PLAIN.total(x)), rel=1e-3, abs=1e-2)
    flat = backend.xp.reshape(a, (-1,))
    assert float(sum_of_squares(flat)) == pytest.approx(float(PLAIN.sum_of_squares(x.reshape(-1))), rel=1e-5)


@SHAPES
def test_results_go_where_out_says(backend, shape):
    a, b = backend.asarray(numbers(shape)), backend.asarray(numbers((shape[1], 6), 1))
    flat = backend.zeros(shape[0] * 6 + shape[1])
    product = backend.xp.reshape(flat[: shape[0] * 6], (shape[0], 6))
    sums = flat[shape[0] * 6 :]
    assert matmul(a, b, product) is product
    assert column_sum(a, sums) is sums
    np.testing.assert_array_equal(to_host(product), to_host(matmul(a, b)))
    np.testing.assert_array_equal(to_host(sums), to_host(column_sum(a)))
    np.testing.assert_array_equal(to_host(flat)[-shape[1] :], to_host(sums))


def test_operands_may_be_transposed_views(backend):
    x, dy = numbers((40, 5)), numbers((40, 3), 1)
    a, b = backend.asarray(x), backend.asarray(dy)
    assert_close(to_host(matmul(a.T, b)), x.T @ dy)
    assert_close(to_host(matmul(b, backend.asarray(numbers((5, 3), 2)).T)), dy @ numbers((5, 3), 2).T)


def test_a_gradients_norm_is_right_for_millions_of_elements(backend):
    x = numbers(3_000_000)
    expected = np.square(x, dtype=np.float64).sum()
    assert float(sum_of_squares(backend.asarray(x))) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("columns", [5, 200])
def test_nan_and_infinity_stay_in_their_row_and_column(backend, columns):
    x = numbers((6, columns))
    x[0, 0], x[1, 1], x[2, 2] = np.nan, np.inf, -np.inf
    a = backend.asarray(x)
    np.testing.assert_array_equal(to_host(row_max(a))[:, 0], x.max(axis=1))
    with np.errstate(invalid="ignore"):
        for found, axis in ((to_host(row_sum(a))[:, 0], 1), (to_host(column_sum(a)), 0)):
            np.testing.assert_allclose(found, x.sum(axis=axis), rtol=1e-4, atol=1e-5)


def test_types_are_kept(backend64):
    a = backend64.asarray(np.ones((3, 2)))
    for result in (matmul(a, a.T), column_sum(a), row_sum(a), row_max(a), backend64.total(a), sum_of_squares(a[:, 0])):
        assert result.dtype == backend64.xp.float64


def test_sums_over_no_rows_are_zero(backend):
    np.testing.assert_array_equal(to_host(column_sum(backend.zeros((0, 3)))), np.zeros(3, np.float32))


def test_kept_rows_grow_and_serve_shorter_ones(backend):
    like = backend.zeros(1)
    for n in (3, 1000, 5):
        np.testing.assert_array_equal(to_host(backend.ones_row(n, like)), np.ones((1, n)))
        np.testing.assert_array_equal(to_host(backend.indices(n, like)), np.arange(n)[None, :])
        assert backend.scrambled(n, like).shape == (1, n)
    assert len(np.unique(to_host(backend.scrambled(1000, like)))) == 1000
