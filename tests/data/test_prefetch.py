"""Files are read by a thread while the batches before are used; nothing else can tell."""

import threading
import time

import numpy as np
import pytest

from xpnet import get_backend, use_backend
from xpnet.data import batches
from xpnet.data._prefetch import in_background

N = 203
X, T = np.stack([np.arange(N), -np.arange(N)], axis=1).astype(np.float32), np.arange(N)


class Dataset:
    """Stands for one in a file: it notes by which thread it is read, and how far."""

    def __init__(self, values):
        self.values, self.shape, self.threads, self.reads = values, values.shape, set(), 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        self.threads.add(threading.current_thread().name)
        self.reads += 1
        return self.values[rows]


def memory_map(values, folder):
    path = folder / f"{values.ndim}.bin"
    values.tofile(path)
    return np.memmap(path, values.dtype, "r", shape=values.shape)


def waits(condition):
    """Until it holds, which another thread brings about; whether it did."""
    end = time.monotonic() + 30
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)
    return condition()


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("xpnet data")]


def test_items_come_in_order_and_never_more_than_are_wanted_are_made():
    made = []

    def items():
        for i in range(10):
            made.append(i)
            yield i

    for i, item in enumerate(in_background(items(), 3)):
        assert i == item
        assert waits(lambda i=i: len(made) == min(i + 4, 10))
    assert i == 9
    assert threads() == []


def test_the_next_one_is_made_while_one_is_used():
    """Neither could end if both were done by one thread."""
    used, made = threading.Event(), threading.Event()

    def items():
        yield 0
        assert used.wait(30)
        made.set()
        yield 1

    found = in_background(items(), 1)
    assert next(found) == 0
    used.set()
    assert made.wait(30)
    assert list(found) == [1]


def test_an_error_comes_in_its_items_place():
    def items():
        yield from range(3)
        raise ValueError("the fourth")

    found = in_background(items(), 2)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match=r"^the fourth$"):
        next(found)
    assert list(found) == []
    assert threads() == []


def test_the_thread_ends_when_the_items_are_given_up():
    found = in_background(iter(range(100)), 2)
    assert next(found) == 0
    assert len(threads()) == 1
    found.close()
    assert threads() == []


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", [memory_map, lambda values, folder: Dataset(values)], ids=["memmap", "slices"])
def test_files_give_the_same_batches_in_each_backend(backend, tmp_path, kind, shuffle):
    pairs = batches(kind(X, tmp_path), kind(T, tmp_path), 8, shuffle=shuffle)
    for _ in range(2):
        seen = []
        for x, t in pairs:
            assert type(x) is type(backend.zeros(1))
            np.testing.assert_array_equal(backend.to_host(x), X[backend.to_host(t)])
            seen += backend.to_host(t).tolist()
        assert sorted(seen) == list(range(N))


def test_a_file_is_read_by_one_thread_and_an_array_by_none():
    with use_backend("numpy"):
        x = Dataset(X)
        pairs = iter(batches(x, T, 8))
        next(pairs)
        assert [name.rpartition("_")[0] for name in x.threads] == ["xpnet data"]
        pairs.close()
        assert threads() == []
        for _ in batches(X, T, 8):
            assert threads() == []


def test_a_pass_that_is_left_reads_no_further():
    with use_backend("numpy"):
        x = Dataset(X)
        for _ in batches(x, T, 1, shuffle=False):
            break
        reads = x.reads
        assert reads <= 3
        assert threads() == []
        assert x.reads == reads


def test_the_thread_reads_for_the_backend_that_the_pass_began_on(tmp_path):
    x = memory_map(X, tmp_path)
    with use_backend("numpy", dtype="float64"):
        for inputs, _ in batches(x, T, 50):
            assert inputs.dtype == np.float64
            with use_backend("array_api_strict"):
                assert get_backend().name == "array_api_strict"
