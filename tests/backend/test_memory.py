"""Memory of large arrays is reused when the last view has died, and never before."""

import gc
import threading

import numpy as np
import pytest
import threadpoolctl

import xpnet
from xpnet import functional as F
from xpnet.backend import _memory, get_backend

SHAPE = (256, 256)
BYTES = 256 * 256 * 4


@pytest.fixture(autouse=True)
def nothing_kept():
    gc.collect()
    _memory.release()
    yield
    _memory.release()


def address(a):
    return a.__array_interface__["data"][0]


def test_an_array_is_like_any_other():
    a = _memory.empty(SHAPE, np.float32)
    assert type(a) is np.ndarray
    assert (a.shape, a.dtype, a.nbytes) == (SHAPE, np.float32, BYTES)
    assert a.flags.c_contiguous
    assert a.flags.writeable
    assert address(a) % 64 == 0


def test_memory_comes_back_when_the_array_dies():
    a = _memory.empty(SHAPE, np.float32)
    before = address(a)
    assert _memory.kept_bytes() == 0
    del a
    assert _memory.kept_bytes() == BYTES
    assert address(_memory.empty((512, 128), np.int32)) == before


@pytest.mark.parametrize("view", [lambda a: a[3:5], lambda a: a.T, lambda a: a.reshape(-1)[7:], memoryview], ids=str)
def test_memory_is_not_reused_while_a_view_lives(view):
    a = _memory.empty(SHAPE, np.float32)
    seen, before = view(a), address(a)
    del a
    assert _memory.kept_bytes() == 0
    assert address(_memory.empty(SHAPE, np.float32)) != before
    del seen
    assert _memory.kept_bytes() == 2 * BYTES


def test_small_arrays_are_left_to_numpy():
    a = _memory.empty((10,), np.float32)
    assert a.base is None
    del a
    assert _memory.kept_bytes() == 0


def test_a_new_size_gives_back_what_is_kept_beyond_the_limit(monkeypatch):
    monkeypatch.setattr(_memory, "MOST", BYTES)
    several = [_memory.empty(SHAPE, np.float32) for _ in range(3)]
    several.clear()
    assert _memory.kept_bytes() == 3 * BYTES
    other = _memory.empty((300, 300), np.float32)
    assert _memory.kept_bytes() == 0
    del other


def test_the_backend_tells_what_is_kept_and_gives_it_back():
    backend = get_backend()
    backend.matmul(np.ones(SHAPE, np.float32), np.ones(SHAPE, np.float32))
    assert backend.memory()["kept"] >= BYTES
    backend.release()
    assert backend.memory()["kept"] == 0


def test_results_never_share_memory():
    x = np.random.default_rng(0).standard_normal((8, 32, 32, 8)).astype(np.float32)
    weight = np.ones((3, 3, 8, 8), np.float32)
    first, pullback = F.conv(x, weight, padding=1)
    kept = first.copy(), *(gradient.copy() for gradient in pullback(first)[:2])
    results = first, *pullback(first)[:2]
    for _ in range(3):
        again, other = F.conv(x + 1.0, weight, padding=1)
        again[...] = other(again)[0]
    for result, expected in zip(results, kept, strict=True):
        np.testing.assert_array_equal(result, expected)


def test_threads_do_not_get_each_others_memory():
    wrong = []

    def fill(number):
        for _ in range(200):
            a = _memory.empty(SHAPE, np.float32)
            a[...] = number
            if not (a == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def kept_after_steps(number, threads):
    """Bytes kept after each of several training steps."""
    _memory.release()
    with threadpoolctl.threadpool_limits(threads, user_api="blas"):
        model = xpnet.models.simple_cnn()
        optimizer = xpnet.optimizers.Adam(model, 1e-3)
        x, t = np.ones((64, 28, 28, 1), np.float32), np.zeros(64, np.int64)
        kept = []
        for _ in range(number):
            y, pullback = model.forward(x)
            pullback(xpnet.losses.softmax_cross_entropy(y, t)[1]())
            optimizer.step()
            del y, pullback
            kept.append(_memory.kept_bytes())
    return kept


def test_training_keeps_no_more_than_a_step_needs():
    _, second, *others = kept_after_steps(5, threads=1)
    assert others == [second] * 3


def test_on_two_threads_training_keeps_at_most_what_two_threads_need_at_once():
    """How many pieces are alive together is a matter of when the other thread begins; it cannot exceed two."""
    alone, together = kept_after_steps(3, threads=1)[-1], kept_after_steps(20, threads=2)
    assert max(together) <= 2 * alone
