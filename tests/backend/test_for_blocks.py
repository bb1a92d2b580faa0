"""Work in blocks: everything once and in order, errors come out, and BLAS has its threads back afterwards."""

import threading
import time
from itertools import chain

import numpy as np
import pytest
import threadpoolctl

import xpnet
from xpnet.backend import for_blocks, open_backend

LIKE = np.zeros(1)


def blas_threads():
    """Of NumPy's own BLAS where it brings one: a SciPy loaded later has another, which is not held."""
    libraries = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    numpys = [library for library in libraries if "numpy" in library["filepath"]]
    return [library["num_threads"] for library in numpys or libraries]


@pytest.fixture
def two_threads():
    """As on a machine with two cores, whatever this one has; afterwards BLAS has its two threads again."""
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        yield
        assert set(blas_threads()) <= {2}


@pytest.mark.parametrize("n", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("bytes_each", [0, 1, 2**16, 2**30])
def test_every_item_is_in_one_block_and_results_are_in_order(two_threads, n, bytes_each):
    blocks = for_blocks(n, bytes_each, lambda start, stop: list(range(start, stop)), like=LIKE)
    assert list(chain.from_iterable(blocks)) == list(range(n))
    assert all(blocks)


def test_the_plain_body_has_as_few_blocks_as_memory_allows():
    with xpnet.use_backend("array_api_strict") as strict:
        assert for_blocks(10, 2**20, lambda *ends: ends, like=strict.zeros(1)) == [(0, 10)]
        assert for_blocks(10, 2**28, lambda *ends: ends, like=strict.zeros(1)) == [(0, 4), (4, 8), (8, 10)]


def test_results_are_in_order_whatever_takes_longest(two_threads):
    def body(start, stop):
        time.sleep(0.02 if start == 0 else 0.0)
        return start

    found = for_blocks(8, 2**30, body, like=LIKE)
    assert found == sorted(found)
    assert len(found) == 8


def test_blocks_run_on_several_threads_with_blas_on_one(two_threads):
    both = threading.Barrier(2, timeout=10)

    def body(start, stop):
        both.wait()
        return threading.current_thread().name, blas_threads()

    (one, inside), (other, _) = for_blocks(2, 2**30, body, like=LIKE)
    assert one != other
    assert set(inside) <= {1}


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_comes_out_when_running_blocks_are_done_and_blas_has_its_threads_back(two_threads, failing):
    done, both = [], threading.Barrier(2, timeout=10)

    def body(start, stop):
        if start < 2:
            both.wait()
        if start == failing:
            raise ZeroDivisionError(f"block {start}")
        time.sleep(0.05)
        done.append(start)

    with pytest.raises(ZeroDivisionError, match=f"block {failing}"):
        for_blocks(100, 2**30, body, like=LIKE)
    assert 1 - failing in done
    assert len(done) < 5, "blocks that had not begun when one failed are left out"
    assert set(blas_threads()) <= {2}


def test_blocks_inside_a_block_run_on_its_own_thread(two_threads):
    def body(start, stop):
        inner = for_blocks(10, 2**30, lambda *_: threading.get_ident(), like=LIKE)
        return len(inner), set(inner) == {threading.get_ident()}

    assert for_blocks(4, 2**30, body, like=LIKE) == [(10, True)] * 4


def test_two_callers_at_once_share_the_limit_and_the_last_restores_it(two_threads):
    results = {}
    first_is_in, second_is_done = threading.Event(), threading.Event()

    def slow(start, stop):
        first_is_in.set()
        second_is_done.wait(10)
        return blas_threads()

    def first():
        results["first"] = for_blocks(2, 2**30, slow, like=LIKE)

    def second():
        first_is_in.wait(10)
        # The pool has two threads, both at work for the first caller: this one's single block runs here.
        results["second"] = for_blocks(1, 1, lambda *ends: blas_threads(), like=LIKE)
        second_is_done.set()

    callers = [threading.Thread(target=caller) for caller in (first, second)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all(set(threads) <= {1} for threads in (*results["first"], *results["second"]))


def test_many_callers_at_once_leave_blas_as_it_was(two_threads):
    a = np.ones((64, 64), np.float32)

    def work():
        for _ in range(20):
            for_blocks(4, 2**30, lambda start, stop: (a @ a).sum(), like=LIKE)

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert set(blas_threads()) <= {2}


def test_blocks_see_what_the_caller_has_set(two_threads):
    """Which backend makes new arrays, and whether NumPy warns."""

    def body(start, stop):
        return xpnet.get_backend().dtype, np.geterr()["over"]

    with xpnet.use_backend("numpy", dtype="float64"), np.errstate(over="ignore"):
        assert set(for_blocks(4, 2**30, body, like=LIKE)) == {("float64", "ignore")}


def test_small_products_give_blas_its_threads_back(two_threads):
    numpy, a = open_backend("numpy"), np.ones((20, 30), np.float32)
    numpy.matmul(a, a.T)
    numpy.sum_of_squares(a.reshape(-1))
    with pytest.raises(ValueError, match="mismatch"):
        numpy.matmul(a, a)
    assert set(blas_threads()) <= {2}
