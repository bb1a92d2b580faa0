"""Sums over blocks: the same whatever the threads, in new arrays, with errors coming out."""

import numpy as np
import pytest
import threadpoolctl

from xpnet.backend import get_backend, open_backend


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    with threadpoolctl.threadpool_limits(request.param, user_api="blas"):
        yield request.param


@pytest.mark.parametrize("n", [1, 2, 7, 100])
@pytest.mark.parametrize("bytes_each", [1, 2**18, 2**30])
@pytest.mark.parametrize("at_least", [1, 3, 1000])
def test_all_items_are_added_up_once(threads, n, bytes_each, at_least):
    values = np.random.default_rng(0).integers(0, 100, (n, 5)).astype(np.float64)

    lengths = []

    def body(start, stop):
        lengths.append(stop - start)
        return values[start:stop].sum(axis=0), np.full(3, float(stop - start))

    total, count = get_backend().sum_blocks(n, bytes_each, body, at_least)
    np.testing.assert_array_equal(total, values.sum(axis=0))
    np.testing.assert_array_equal(count, n)
    assert sum(length < at_least for length in lengths) <= threads, "only the last piece of a thread may be shorter"


def test_nothing_to_add_up_is_the_sum_of_an_empty_block():
    (total,) = get_backend().sum_blocks(0, 1, lambda start, stop: (np.zeros(2) + (stop - start),))
    np.testing.assert_array_equal(total, [0.0, 0.0])


def test_the_plain_body_has_as_few_blocks_as_memory_allows():
    strict = open_backend("array_api_strict")
    xp = strict.xp
    assert strict.sum_blocks(10, 2**20, lambda *ends: ends) == (0, 10)
    (total,) = strict.sum_blocks(10, 2**28, lambda *ends: (xp.sum(xp.arange(*ends), keepdims=True),))
    assert int(total[0]) == 45


@pytest.mark.parametrize("failing", [0, 9])
def test_an_error_comes_out(threads, failing):
    def body(start, stop):
        if start <= failing < stop:
            raise ZeroDivisionError("here")
        return (np.zeros(1),)

    with pytest.raises(ZeroDivisionError, match="here"):
        get_backend().sum_blocks(10, 2**30, body)


@pytest.mark.parametrize(("m", "k", "n"), [(3000, 100, 100), (100, 100, 3000), (1000, 1, 20_000), (5, 4000, 1000)])
def test_products_parted_among_threads_are_the_products(threads, m, k, n):
    random = np.random.default_rng(1)
    a, b = random.standard_normal((m, k)), random.standard_normal((k, n))
    backend = get_backend()
    np.testing.assert_allclose(backend.matmul(a, b), np.matmul(a, b), rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(backend.matmul(b.T, a.T), np.matmul(a, b).T, rtol=1e-12, atol=1e-10)
    place = np.empty((m, n))
    assert backend.matmul(a, b, place) is place


def test_long_sums_parted_among_threads_are_the_sums(threads):
    x = np.random.default_rng(2).standard_normal((30_000, 50))
    backend, place = get_backend(), np.empty(50)
    np.testing.assert_allclose(backend.column_sum(x), x.sum(axis=0), rtol=1e-10, atol=1e-9)
    assert backend.column_sum(x, place) is place
    np.testing.assert_allclose(backend.sum_of_squares(x.reshape(-1)), (x**2).sum(), rtol=1e-12)
    mean, variance = backend.column_statistics(x + 7.0, x[0], 1e-5)[:2]
    np.testing.assert_allclose(mean, x.mean(axis=0) + 7.0, rtol=1e-12)
    np.testing.assert_allclose(variance, x.var(axis=0), rtol=1e-10)
