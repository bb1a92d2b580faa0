"""Choosing a backend: for the process, for a block, for a thread; what cannot be chosen says why, and what mends it."""

import asyncio
import contextlib
import re
import sys
import threading
import types

import array_api_strict
import numpy as np
import pytest

import xpnet
from xpnet import layers as L
from xpnet import losses, optimizers
from xpnet.backend import (
    Backend,
    BackendUnavailableError,
    backend_of,
    open_backend,
    register_backend,
    set_backend,
    use_backend,
)


def test_numpy_in_float32_until_something_else_is_chosen():
    assert repr(xpnet.get_backend()) == "Backend('numpy', device=None, dtype='float32')"


def test_what_was_set_is_got_and_makes_new_arrays():
    chosen = xpnet.set_backend("array_api_strict", dtype="float64")
    assert xpnet.get_backend() is chosen
    assert L.Linear(2, 3).weight.data.dtype == array_api_strict.float64


def test_a_block_overrides_and_blocks_nest():
    xpnet.set_backend("array_api_strict")
    with xpnet.use_backend("numpy") as outer:
        with xpnet.use_backend("numpy", dtype="float64") as inner:
            assert xpnet.get_backend() is inner
        assert xpnet.get_backend() is outer
        xpnet.set_backend("numpy", dtype="float64")
        assert xpnet.get_backend() is outer
    assert xpnet.get_backend().dtype == "float64"


def test_an_error_inside_a_block_restores_what_was_before():
    with pytest.raises(ZeroDivisionError), xpnet.use_backend("array_api_strict"):
        raise ZeroDivisionError
    assert xpnet.get_backend().name == "numpy"


def test_a_backend_itself_may_be_used():
    strict = open_backend("array_api_strict", dtype="float64")
    with xpnet.use_backend(strict) as chosen:
        assert chosen is strict is xpnet.get_backend()


def test_a_block_is_this_threads_alone():
    seen = []
    with xpnet.use_backend("array_api_strict"):
        thread = threading.Thread(target=lambda: seen.append(xpnet.get_backend().name))
        thread.start()
        thread.join()
    assert seen == ["numpy"]


def test_a_block_is_this_tasks_alone():
    async def name_inside(name):
        with xpnet.use_backend(name):
            await asyncio.sleep(0)
            return xpnet.get_backend().name

    async def both():
        return await asyncio.gather(name_inside("numpy"), name_inside("array_api_strict"))

    assert asyncio.run(both()) == ["numpy", "array_api_strict"]


def test_the_same_choice_is_the_same_backend():
    assert open_backend("numpy") is open_backend("numpy")
    assert open_backend("numpy") == open_backend("numpy")
    assert len({open_backend("numpy"), open_backend("numpy", dtype="float64"), open_backend("array_api_strict")}) == 3


UNUSABLE = {
    "unknown": (
        lambda: xpnet.set_backend("nunpy"),
        "unknown backend 'nunpy': known are 'numpy', 'cupy', 'torch', 'array_api_strict'; did you mean 'numpy'?",
    ),
    "far from all": (
        lambda: xpnet.set_backend("quantum"),
        "'array_api_strict'; others can be added with register_backend",
    ),
    "no name": (lambda: xpnet.set_backend(None), "unknown backend None: known are 'numpy'"),
    "device of numpy": (
        lambda: xpnet.set_backend("numpy", device="cuda"),
        "device: numpy has only 'cpu', got 'cuda'",
    ),
    "device of strict": (
        lambda: xpnet.set_backend("array_api_strict", device="device9"),
        "device: array_api_strict has no device 'device9' (",
    ),
    "type": (
        lambda: xpnet.set_backend("numpy", dtype="float16"),
        "expected one of 'float32', 'float64', got 'float16'",
    ),
    "type of numpy": (lambda: xpnet.set_backend("numpy", dtype=np.dtype("float32")), "got dtype('float32')"),
}


@pytest.mark.parametrize(("choose", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_chosen_says_why_and_changes_nothing(choose, message):
    before = xpnet.get_backend()
    with pytest.raises(ValueError, match=re.escape(message)):
        choose()
    assert xpnet.get_backend() is before


def test_an_unknown_device_of_torch_is_refused():
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"^device: torch has no device 'gpu' \("):
        xpnet.set_backend("torch", device="gpu")


def test_a_library_that_is_not_installed_says_how_to_install_it(registry, monkeypatch):
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", None)
    message = (
        r"backend 'cupy' needs cupy, which cannot be imported \(.*\): "
        r"pip install 'xpnet\[cuda12\]' \(CUDA 12\) or 'xpnet\[cuda13\]' \(CUDA 13\)"
    )
    with pytest.raises(BackendUnavailableError, match=message):
        xpnet.set_backend("cupy")
    assert "cupy" not in xpnet.available_backends()


def test_a_library_whose_shared_libraries_are_missing_is_not_available(registry, monkeypatch):
    def broken(name):
        raise OSError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr(registry.importlib, "import_module", broken)
    assert xpnet.available_backends() == ()
    with pytest.raises(BackendUnavailableError, match=r"needs torch, .*libcudart\.so\.12.*: pip install torch"):
        xpnet.set_backend("torch")


@pytest.fixture
def cupy_with(registry, monkeypatch):
    """`cupy_with(count)`: CuPy on a machine that says so of its GPUs."""
    cupy = pytest.importorskip("cupy")

    def install(count):
        monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", count)
        return cupy

    return install


def test_cupy_without_a_usable_gpu_says_so_at_once(cupy_with):
    def no_gpu():
        raise cupy.cuda.runtime.CUDARuntimeError(35)

    cupy = cupy_with(no_gpu)
    message = (
        rf"CuPy {re.escape(cupy.__version__)} is installed but finds no usable CUDA GPU \(cudaError.*\)\. "
        r"See whether `nvidia-smi` lists one; to go on without a GPU: xpnet\.set_backend\('numpy'\)"
    )
    with pytest.raises(BackendUnavailableError, match=message):
        xpnet.set_backend("cupy")
    assert "cupy" not in xpnet.available_backends()


def test_a_gpu_that_is_not_there_is_refused(cupy_with):
    cupy_with(lambda: 2)
    with pytest.raises(ValueError, match="device: cupy has the GPUs 0 to 1, got 5"):
        xpnet.set_backend("cupy", device=5)


class FakeArray(np.ndarray):
    """The array of a library that nobody has heard of."""


FakeArray.__module__ = "fake_arrays.core"


@pytest.fixture
def fake_library(registry, monkeypatch):
    """`fake_library(writable)`: a namespace `fake_arrays` that works like NumPy's, with arrays of its own."""

    def install(writable=True):
        library = types.ModuleType("fake_arrays")
        vars(library).update({name: getattr(np, name) for name in np.__all__})

        def asarray(values, dtype=None, device=None, copy=None):
            return np.array(values, dtype=dtype, copy=True if copy else None).view(FakeArray)

        def zeros(shape, dtype=None, device=None):
            array = np.zeros(shape, dtype).view(FakeArray)
            array.flags.writeable = writable
            return array

        library.asarray, library.zeros = asarray, zeros
        monkeypatch.setitem(sys.modules, "fake_arrays", library)
        xpnet.register_backend("fake", "fake_arrays", install="pip install fake-arrays")

    return install


def test_a_registered_library_trains_a_network(fake_library):
    fake_library()
    assert "fake" in xpnet.available_backends()
    with xpnet.use_backend("fake") as backend:
        model = L.Sequential(L.Linear(3, 8), L.BatchNorm(8), L.ReLU(), L.Dropout(0.1), L.Linear(8, 2))
        optimizer = optimizers.Adam(model, 0.05)
        x, t = (backend.asarray(np.random.default_rng(i).standard_normal((16, k))) for i, k in enumerate((3, 2)))
        assert type(x) is FakeArray
        assert backend_of(x) is backend
        found = []
        for _ in range(30):
            y, pullback = model.forward(x)
            loss, loss_pullback = losses.squared_error(y, t)
            pullback(loss_pullback())
            optimizer.step(loss)
            found.append(float(loss))
        assert type(model(x)) is FakeArray
        assert found[-1] < 0.7 * found[0]


def test_a_library_whose_arrays_cannot_be_written_is_refused(fake_library):
    fake_library(writable=False)
    with pytest.raises(
        BackendUnavailableError, match="backend 'fake': its arrays cannot be written in place through a view"
    ):
        xpnet.set_backend("fake")
    assert "fake" not in xpnet.available_backends()


def test_a_name_stands_for_one_library(registry):
    xpnet.register_backend("array_api_strict", "array_api_strict")
    with pytest.raises(ValueError, match=r"'numpy' already stands for numpy \(NumPy\), not other_numpy \(Backend\)"):
        xpnet.register_backend("numpy", "other_numpy")


def test_a_registered_name_that_is_not_installed_names_its_line(registry):
    xpnet.register_backend("absent", "absent_library_of_this_test", install="pip install absent-library")
    with pytest.raises(
        BackendUnavailableError, match=r"needs absent_library_of_this_test, .*: pip install absent-library"
    ):
        xpnet.set_backend("absent")


def test_an_array_of_an_unknown_library_is_refused():
    array = np.zeros(3).view(FakeArray)
    with pytest.raises(
        TypeError, match=r"expected an array of numpy, .*, got fake_arrays\.core\.FakeArray; make one with"
    ):
        backend_of(array)


def test_arrays_meet_only_arrays_of_their_library_and_device():
    here = array_api_strict.ones(2)
    there = here.to_device(array_api_strict.Device("device1"))
    assert backend_of(here, None, here).name == "array_api_strict"
    with pytest.raises(TypeError, match="arrays of array_api_strict and numpy meet in one call"):
        backend_of(here, np.ones(2))
    with pytest.raises(
        ValueError, match=r"arrays on .*CPU_DEVICE'\) and .*device1'\) meet in one call; move one of them"
    ):
        backend_of(here, there)


def test_every_backend_describes_itself(backend):
    assert all(isinstance(line, str) and line for line in backend.describe())
    assert all(number >= 0 for number in backend.memory().values())
    backend.synchronize()


def test_a_chosen_device_is_the_one_that_the_library_works_on(registry, monkeypatch):
    """CuPy runs kernels on the current GPU of the thread, so choosing a device makes it the current one."""
    entered = []

    class OnDevices(Backend):
        def _check_device(self):
            pass

        @contextlib.contextmanager
        def here(self):
            entered.append(self.device)
            yield
            entered.append("left")

        def make_current(self):
            entered.append(f"from now on {self.device}")

    register_backend("on_devices", "array_api_strict", kind=OnDevices)
    first, second = (array_api_strict.Device(name) for name in ("device1", "device2"))
    with use_backend("on_devices", device=first):
        assert entered == [first]
    assert entered == [first, "left"]
    set_backend("on_devices", device=second)
    assert entered == [first, "left", f"from now on {second}"]
