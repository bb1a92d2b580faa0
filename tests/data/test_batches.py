"""Batches: every example once a pass, in an order that the seed decides, from any kind of source."""

import threading
import tracemalloc
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.data import batches


def numbered(n, dtype=np.float32):
    """Inputs (n, 2) and labels (n,) that tell the number of their example."""
    return np.stack([np.arange(n), -np.arange(n)], axis=1).astype(dtype), np.arange(n)


class OnlySlices:
    """Stands for a dataset in a file: a length, a shape and slicing, and nothing else."""

    def __init__(self, values):
        self.values, self.shape, self.largest, self.reads = values, values.shape, 0, 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        found = self.values[rows]
        self.largest, self.reads = max(self.largest, len(found)), self.reads + 1
        return found


def in_memory(values, folder):
    return values


def memory_map(values, folder):
    path = folder / f"{values.ndim}.bin"
    values.tofile(path)
    return np.memmap(path, values.dtype, "r", shape=values.shape)


def hdf5(values, folder):
    file = pytest.importorskip("h5py").File(folder / f"{values.ndim}.h5", "w")
    return file.create_dataset("values", data=values)


def on_backend(values, folder):
    from xpnet import get_backend

    return get_backend().asarray(values)


def flat(found):
    return list(chain.from_iterable(found))


SOURCES = pytest.mark.parametrize(
    ("kind_of_x", "kind_of_t"),
    [
        (in_memory, in_memory),
        (memory_map, memory_map),
        (hdf5, hdf5),
        (hdf5, in_memory),
        (in_memory, hdf5),
        (memory_map, hdf5),
        (on_backend, on_backend),
        (on_backend, in_memory),
        (hdf5, on_backend),
    ],
    ids=lambda kind: kind.__name__,
)


def one_pass(pairs, backend=None):
    """The labels of one pass, batch by batch; each beside its own input."""
    found = []
    for x, t in pairs:
        x, t = (values if backend is None else backend.to_host(values) for values in (x, t))
        np.testing.assert_array_equal(x, numbered(len(pairs._x))[0][t])
        found.append(t.tolist())
    return found


@SOURCES
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop_last", [True, False])
def test_every_example_exactly_once_a_pass(backend, tmp_path, kind_of_x, kind_of_t, shuffle, drop_last):
    x, t = numbered(203)
    pairs = batches(kind_of_x(x, tmp_path), kind_of_t(t, tmp_path), 4, shuffle=shuffle, drop_last=drop_last)
    passes = [one_pass(pairs, backend) for _ in range(2)]
    for found in passes:
        assert [len(labels) for labels in found] == [4] * 50 + [3] * (not drop_last)
        assert len(pairs) == len(found)
        together = flat(found)
        if shuffle:
            assert len(set(together)) == len(together)
            assert together != sorted(together)
        else:
            assert together == list(range(len(together)))
    assert (passes[0] != passes[1]) is shuffle


@given(n=st.integers(1, 100), size=st.integers(1, 40), seed=st.integers(0, 5), sliced=st.booleans())
def test_any_number_of_examples_in_batches_of_any_size(n, size, seed, sliced):
    x, t = numbered(n)
    pairs = batches(OnlySlices(x) if sliced else x, t, size, seed)
    found = one_pass(pairs)
    assert sorted(flat(found)) == list(range(n))
    assert [len(labels) for labels in found[:-1]] == [size] * (len(pairs) - 1)
    assert 1 <= len(found[-1]) <= size


def test_the_order_follows_from_the_seed_and_the_number_of_the_pass():
    def order(seed):
        pairs = batches(*numbered(40), 7, seed)
        return [one_pass(pairs) for _ in range(3)]

    first, second, third = order(0)
    assert order(0) == [first, second, third]
    assert first != second != third != first
    assert order(1)[0] not in (first, second, third)


def test_the_order_of_a_seed_never_changes():
    x, t = numbered(10)
    assert one_pass(batches(x, t, 4, seed=3)) == GOLDEN
    assert one_pass(batches(OnlySlices(x), t, 4, seed=3)) == GOLDEN_WINDOWS


GOLDEN = [[9, 6, 0, 2], [1, 4, 7, 5], [3, 8]]
GOLDEN_WINDOWS = [[1, 2, 4, 5], [0, 6, 8, 9], [3, 7]]


def test_a_file_is_shuffled_without_loading_it_whole():
    values, t = np.zeros((4_000, 500), np.float32), np.arange(4_000)
    x = OnlySlices(values)
    pairs = batches(x, t, 10)
    assert x.reads == 0

    tracemalloc.start()
    first = next(iter(pairs))[1]
    assert 32 <= x.reads <= 64  # a window, and of the next one what has been read ahead
    assert x.largest == 10
    assert len({int(label) // 10 for label in first}) > 5
    assert sorted(label for _, labels in pairs for label in labels.tolist()) == list(range(4_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert x.largest == 10
    assert peak < values.nbytes / 4


def test_batches_come_on_the_current_backend_in_its_type(backend64):
    x, t = numbered(8, np.float32)
    for labels in (t.astype(np.uint8), t.astype(np.int32), t):
        batch, label = next(iter(batches(x, labels, 4)))
        assert type(batch) is type(label) is type(backend64.zeros(1))
        assert (batch.dtype, label.dtype) == (backend64.xp.float64, backend64.xp.int64)
    targets = next(iter(batches(x, x, 4)))[1]
    assert targets.dtype == backend64.xp.float64


def test_lists_will_do():
    assert [t.tolist() for _, t in batches([[0.5], [1.5], [2.5]], [0, 1, 2], 2, shuffle=False)] == [[0, 1], [2]]


def test_the_data_are_not_changed(backend):
    x, t = numbered(10)
    x.flags.writeable = t.flags.writeable = False
    for shuffle in (True, False):
        for batch, labels in batches(x, t, 4, shuffle=shuffle):
            assert batch.shape[0] == labels.shape[0]
    np.testing.assert_array_equal(x, numbered(10)[0])


def test_a_pass_that_is_left_half_way_counts():
    pairs, others = batches(*numbered(20), 4), batches(*numbered(20), 4)
    next(iter(pairs))
    one_pass(others)
    assert pairs.epoch == others.epoch == 1
    assert one_pass(pairs) == one_pass(others)


def test_it_says_what_it_is():
    assert repr(batches(*numbered(10), 4, shuffle=False)) == "Batches(10 examples, 3 batches of 4, shuffle=False)"


# Bad input ----------------------------------------------------------------------------------------------------------

X, T = numbered(6)


def with_value(value, where):
    x = X.copy()
    x[where] = value
    return x


@pytest.mark.parametrize(
    ("x", "t", "kind", "message"),
    [
        (with_value(np.nan, (2, 1)), T, ValueError, r"x: 1 of 12 values are not finite; the first is nan at \(2, 1\)"),
        (with_value(-np.inf, 4), T, ValueError, r"x: 2 of 12 values are not finite; the first is -inf at \(4, 0\)"),
        (X, with_value(np.inf, (5, 1)), ValueError, r"t: 1 of 12 .* the first is inf at \(5, 1\)"),
        (
            X.astype(np.uint8),
            T,
            TypeError,
            r"x: expected floating-point inputs, got uint8; convert and scale them first, as in "
            r"x\.astype\('float32'\) / 255",
        ),
        (X.astype(object), T, TypeError, "x: expected floating-point inputs, got object"),
        (X.astype(str), T, TypeError, "x: expected floating-point inputs, got <U"),
        (X.astype(complex), T, TypeError, "x: expected floating-point inputs, got complex128"),
        (X, T.astype(str), TypeError, "t: expected integer labels or floating-point targets, got <U"),
        (X, T.astype(object), TypeError, "t: expected integer labels or floating-point targets, got object"),
        (X, T - 2, ValueError, "t: labels count from 0, got -2 in row 0"),
        (X, T[:5], ValueError, "batches: x has 6 examples but t has 5"),
        (X[:0], T[:0], ValueError, "batches: 0 examples make no batch of size 4"),
        (np.float32(1.0), T, TypeError, "x: expected an array or anything with a length and slicing, got float32"),
        (np.zeros(()), T, ValueError, "x: expected an array with one example a row, got a 0-d array"),
        (iter(X), T, TypeError, "x: expected an array or anything with a length and slicing, got .*iterator"),
        (X, 5, TypeError, "t: expected an array or anything with a length and slicing, got int"),
        (np.ma.masked_greater(X, 3.0), T, ValueError, r"x: some values are masked; .* x\.filled\(0\.0\)"),
    ],
)
def test_data_that_cannot_be_used(x, t, kind, message):
    with pytest.raises(kind, match=f"^{message}"):
        batches(x, t, 4)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "4", None])
def test_sizes_that_are_none(size):
    with pytest.raises(ValueError, match=f"^batches: size must be a positive integer, got {size!r}$"):
        batches(X, T, size)


def test_seeds_that_are_none():
    with pytest.raises(ValueError, match=r"^seed: expected 0 or more, got -1$"):
        batches(X, T, 4, seed=-1)
    with pytest.raises(TypeError, match=r"^seed: expected an integer, got 0\.5$"):
        batches(X, T, 4, seed=0.5)


def test_fewer_examples_than_a_batch_that_must_be_full():
    with pytest.raises(ValueError, match=r"^batches: 6 examples make no batch of size 7$"):
        batches(X, T, 7, drop_last=True)


@pytest.mark.parametrize("kind", [memory_map, hdf5])
@pytest.mark.parametrize("shuffle", [True, False])
def test_bad_values_in_a_file_are_found_as_they_are_read_and_named_by_their_place_in_it(tmp_path, kind, shuffle):
    x, t = numbered(50)
    x[37, 1] = np.nan
    pairs = batches(kind(x, tmp_path), t, 4, shuffle=shuffle)
    with pytest.raises(ValueError, match=r"^x: 1 of 8 values are not finite; the first is nan at \(37, 1\)$"):
        list(pairs)
    t[41] = -7
    pairs = batches(numbered(50)[0], kind(t, tmp_path), 4, shuffle=shuffle)
    with pytest.raises(ValueError, match=r"^t: labels count from 0, got -7 in row 41$"):
        list(pairs)


def test_a_0d_array_on_the_backend(backend):
    with pytest.raises(ValueError, match=r"^x: expected an array with one example a row, got a 0-d array$"):
        batches(backend.zeros(()), T, 4)


def test_two_threads_may_go_through_their_own_batches_of_the_same_arrays():
    found = {}

    def go(seed):
        found[seed] = one_pass(batches(X, T, 2, seed))

    threads = [threading.Thread(target=go, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {seed: one_pass(batches(X, T, 2, seed)) for seed in range(4)}


@pytest.mark.parametrize("epoch", [None, -1, True, 1.0, "1"])
def test_a_state_whose_pass_is_no_count_changes_nothing(epoch):
    pairs = batches(np.zeros((4, 2), np.float32), np.zeros(4, np.int64), 2)
    before = pairs.state()
    with pytest.raises(ValueError, match=r"^batches: the state is of other batches: no epoch$"):
        pairs.load_state(before | {"epoch": epoch})
    assert pairs.state() == before
