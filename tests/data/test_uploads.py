"""Batches on their way to a device, or kept there: the same values, in the same order, at the same time as without."""

import gc
import threading
import weakref

import numpy as np
import pytest

from xpnet.backend import NumPy, get_backend, in_units, open_backend, use_backend
from xpnet.data import RandomCrop, RandomFlip, batches

X = np.random.default_rng(0).random((203, 6, 6, 2)).astype(np.float32)
T = np.arange(203)
NEEDED = X.nbytes + 8 * len(T)


class Device(NumPy):
    """NumPy that behaves like a device with memory of its own, and notes what is brought there."""

    uploads_ahead = True

    def __init__(self, free=0, dtype="float32", failing=None):
        super().__init__("numpy", np, dtype=dtype)
        self.free, self.failing, self.log, self.alive = free, failing, [], []

    def upload(self, host, rows=None):
        if self.failing is not None:
            raise self.failing
        array = np.array(super().upload(host, rows)())
        self.log.append(("upload", array.shape))
        self.alive.append(weakref.ref(array))

        def finish():
            self.log.append(("use", array.shape))
            return array

        return finish

    def room(self):
        return self.free

    @property
    def uploads(self):
        return [shape for kind, shape in self.log if kind == "upload"]


def one_pass(pairs, backend):
    with use_backend(backend):
        return [(backend.to_host(x).copy(), backend.to_host(t).copy()) for x, t in pairs]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for (x, t), (expected_x, expected_t) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x, expected_x, strict=True)
        np.testing.assert_array_equal(t, expected_t, strict=True)


def in_memory(values, folder):
    return values


def memory_map(values, folder):
    path = folder / f"{values.ndim}.bin"
    values.tofile(path)
    return np.memmap(path, values.dtype, "r", shape=values.shape)


def hdf5(values, folder):
    file = pytest.importorskip("h5py").File(folder / f"{values.ndim}.h5", "w")
    return file.create_dataset("values", data=values)


# The same on every way ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [in_memory, memory_map, hdf5])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("augment", [[], [RandomCrop(1), RandomFlip()]], ids=["plain", "augmented"])
@pytest.mark.parametrize("free", [0, 100 * NEEDED], ids=["streamed", "resident"])
def test_a_device_gets_the_batches_that_the_host_gets(tmp_path, kind, shuffle, augment, free):
    options = {"shuffle": shuffle, "augment": augment, "drop_last": shuffle}
    pairs = batches(kind(X, tmp_path), kind(T, tmp_path), 10, 7, **options)
    others = batches(X if kind is memory_map else pairs._x.values, T, 10, 7, **options)
    device = Device(free)
    for _ in range(3):
        assert_same(one_pass(pairs, device), one_pass(others, open_backend("numpy")))


@pytest.mark.parametrize("resident", [True, False, None])
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_backend_gives_the_same_batches_whether_data_are_to_stay_there_or_not(backend, resident, shuffle):
    options = {"shuffle": shuffle, "augment": [RandomFlip()]}
    pairs = batches(X, T, 50, **options, resident=resident)
    expected = batches(X, T, 50, **options, resident=False)
    for _ in range(2):
        assert_same(one_pass(pairs, backend), one_pass(expected, open_backend("numpy")))


@pytest.mark.parametrize("rows", [None, slice(3, 9), np.asarray([5, 0, 5, 199])], ids=["all", "slice", "numbers"])
@pytest.mark.parametrize("kind", ["float16", "float64", "int8", "uint8", "bool", ">f4"])
def test_an_upload_is_asarray_of_these_rows(backend, rows, kind):
    host = (X[:, 0] > 0.5 if kind == "bool" else 10 * X[:, 0]).astype(kind)
    array = backend.upload(host, rows)()
    expected = backend.asarray(host if rows is None else host[rows])
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(backend.to_host(array), backend.to_host(expected), strict=True)
    assert backend.bytes_of(host) == host.size * np.dtype(backend.to_host(expected).dtype).itemsize


def test_an_upload_of_anything_but_numbers_is_refused(backend):
    with pytest.raises(TypeError, match=r"^values: expected numbers .* got <U1$"):
        backend.upload(np.asarray(["a", "b"]))


# On their way -------------------------------------------------------------------------------------------------------


def test_the_next_batch_is_begun_before_one_is_given_away_and_never_more():
    device = Device()
    with use_backend(device):
        for i, _ in enumerate(batches(X, T, 50)):
            assert len(device.uploads) == 2 * min(i + 2, 5)
            assert len([use for use, _ in device.log if use == "use"]) == 2 * (i + 1)


@pytest.mark.parametrize("kind", [memory_map, hdf5])
@pytest.mark.parametrize("bad", [5, 25, 199])
def test_an_error_comes_at_its_batch_and_names_the_row(tmp_path, kind, bad):
    x = X.copy()
    x[bad, 0, 1, 1] = np.nan
    pairs, got = batches(kind(x, tmp_path), T, 10, shuffle=False), []
    with use_backend(Device()), pytest.raises(ValueError, match=rf"^x: 1 of 720 .* nan at \({bad}, 0, 1, 1\)$"):
        got.extend(pairs)
    assert len(got) == bad // 10
    with use_backend(Device()):
        beginning = iter(pairs)
        for _ in range(bad // 10):
            next(beginning)  # whoever stops before it never sees it
        beginning.close()


def test_leaving_the_loop_leaves_nothing_behind():
    device = Device()
    with use_backend(device):
        for _ in batches(X, T, 50):
            break
        del _
    gc.collect()
    assert len(device.alive) == 4
    assert [array for array in device.alive if array() is not None] == []


def test_a_batch_is_let_go_when_the_next_has_come():
    device, alive = Device(), []
    with use_backend(device):
        for x, t in batches(X, T, 50):
            del x, t
            alive.append(len([array for array in device.alive if array() is not None]))
    assert alive == [2, 2, 2, 2, 0]  # the next one's inputs and targets


def test_two_iterators_at_once():
    device, pairs = Device(), batches(X, T, 50)
    with use_backend(device):
        first, second = iter(pairs), iter(pairs)
        mixed = [next(first), next(second), next(second), next(first)]
    one, two = batches(X, T, 50), open_backend("numpy")
    expected_first, expected_second = one_pass(one, two), one_pass(one, two)
    assert_same(mixed, [expected_first[0], expected_second[0], expected_second[1], expected_first[1]])


@pytest.mark.parametrize("free", [0, 100 * NEEDED], ids=["streamed", "resident"])
def test_threads_may_go_through_the_same_batches(free):
    device, pairs, found = Device(free), batches(X, T, 20, shuffle=False), {}

    def go(number):
        found[number] = one_pass(pairs, device)

    threads = [threading.Thread(target=go, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = one_pass(batches(X, T, 20, shuffle=False), open_backend("numpy"))
    for number in range(4):
        assert_same(found[number], expected)


@pytest.mark.parametrize("free", [0, 100 * NEEDED], ids=["streamed", "resident"])
def test_a_pass_stays_on_the_backend_it_began_on(free):
    with use_backend(Device(free)):
        for x, t in batches(X, T, 50):
            assert x.dtype == np.float32
            with use_backend("array_api_strict", dtype="float64"):
                assert isinstance(t, np.ndarray)
                assert get_backend().name == "array_api_strict"


# Kept there ---------------------------------------------------------------------------------------------------------


def test_data_that_fit_are_brought_there_once_and_none_in_later_passes():
    device, pairs = Device(4 * NEEDED), batches(X, T, 50)
    one_pass(pairs, device)
    assert device.uploads == [X.shape, T.shape]
    one_pass(pairs, device)
    assert device.uploads == [X.shape, T.shape]


@pytest.mark.parametrize(
    ("free", "resident", "kept"),
    [(4 * NEEDED, None, True), (4 * NEEDED - 1, None, False), (NEEDED, True, True), (100 * NEEDED, False, False)],
)
def test_who_decides_whether_data_stay_there(free, resident, kept):
    device, pairs = Device(free), batches(X, T, 50, resident=resident)
    one_pass(pairs, device)
    assert (device.uploads == [X.shape, T.shape]) is kept


def test_their_size_is_that_of_the_backends_types():
    """Inputs of 8 bytes become 4, labels of 1 become 8."""
    device = Device(4 * NEEDED)
    one_pass(batches(X.astype(np.float64), T.astype(np.uint8), 50), device)
    assert device.uploads == [X.shape, T.shape]
    wide = Device(4 * NEEDED, dtype="float64")
    one_pass(batches(X, T, 50), wide)
    assert len(wide.uploads) == 10


def test_each_backend_keeps_its_own():
    narrow, wide, pairs = Device(100 * NEEDED), Device(100 * NEEDED, dtype="float64"), batches(X, T, 50)
    for _ in range(2):
        assert one_pass(pairs, narrow)[0][0].dtype == np.float32
        assert one_pass(pairs, wide)[0][0].dtype == np.float64
    assert narrow.uploads == wide.uploads == [X.shape, T.shape]


def test_they_are_released_with_the_batches():
    device, pairs = Device(100 * NEEDED), batches(X, T, 50)
    one_pass(pairs, device)
    assert all(array() is not None for array in device.alive)
    del pairs
    gc.collect()
    assert all(array() is None for array in device.alive)


@pytest.mark.parametrize("shuffle", [True, False])
def test_changing_a_batch_changes_no_other(shuffle):
    device, pairs = Device(100 * NEEDED), batches(X, T, 50, shuffle=shuffle)
    expected = one_pass(batches(X, T, 50, shuffle=shuffle), open_backend("numpy"))
    with use_backend(device):
        for (x, t), (expected_x, expected_t) in zip(pairs, expected, strict=True):
            np.testing.assert_array_equal(x, expected_x)
            np.testing.assert_array_equal(t, expected_t)
            x[...], t[...] = -1.0, -1
        assert all((x >= 0.0).all() and (t >= 0).all() for x, t in pairs)


@pytest.mark.parametrize("kind", [memory_map, hdf5])
def test_files_are_never_kept(tmp_path, kind):
    device = Device(2**60)
    one_pass(batches(kind(X, tmp_path), T, 50), device)
    assert len(device.uploads) == 10
    with pytest.raises(
        ValueError,
        match=r"^batches: resident=True needs arrays in memory, but x is read from a file as it is used; load it "
        r"first, x\[:\], or leave resident=None$",
    ):
        batches(kind(X, tmp_path), T, 50, resident=True)


def test_data_that_must_stay_there_but_do_not_fit():
    pairs = batches(X, T, 50, resident=True)
    text = (
        rf"^batches: resident=True needs {in_units(NEEDED)} on the device of numpy, where {in_units(1000)} are free; "
        r"with resident=False one batch at a time is brought there$"
    )
    with pytest.raises(MemoryError, match=text):
        one_pass(pairs, Device(1000))
    with pytest.raises(MemoryError, match=text):
        one_pass(pairs, Device(1000, failing=MemoryError("no memory")))
    assert len(one_pass(pairs, Device(NEEDED))) == 5  # nothing was lost


def test_memory_that_another_program_has_taken_meanwhile():
    """The device said there was room, and then there was none."""
    device, pairs = Device(100 * NEEDED, failing=MemoryError("no memory")), batches(X, T, 50)
    with pytest.raises(MemoryError, match=r"^no memory$"):
        one_pass(pairs, device)  # not even a batch
    device.failing = None
    assert_same(one_pass(batches(X, T, 50), device), one_pass(batches(X, T, 50), open_backend("numpy")))
    device.failing = ValueError("something else")
    with pytest.raises(ValueError, match=r"^something else$"):
        one_pass(batches(X, T, 50), device)


@pytest.mark.parametrize("resident", ["yes", 3, 0.5])
def test_resident_is_true_false_or_none(resident):
    with pytest.raises(TypeError, match=rf"^batches: resident must be True, False or None, got {resident!r}$"):
        batches(X, T, 50, resident=resident)


def test_hosts_have_no_room_of_their_own(backend):
    on_a_gpu = backend.name == "cupy"
    assert (backend.room() is None) is not on_a_gpu


def test_a_single_pass_is_not_kept():
    import xpnet

    device = Device(2**60)
    model = xpnet.models.mlp([72, 3])
    with use_backend(device):
        xpnet.evaluate(model, (X.reshape(203, 72), T % 3), loss=xpnet.losses.softmax_cross_entropy, batch_size=100)
        xpnet.training.predict(model, X.reshape(203, 72), batch_size=100)
    assert (203, 72) not in device.uploads
