"""Memory that does not suffice and devices that are gone: what is said, what would fit, and that nothing is lost."""

import gc
import re
import weakref

import numpy as np
import pytest

import xpnet
from xpnet import losses, optimizers
from xpnet.backend import NumPy, array_namespace, asked_bytes, open_backend
from xpnet.layers import BatchNorm, Layer, Linear, ReLU, Sequential
from xpnet.training import (
    DeviceLostError,
    MemoryWatch,
    OutOfMemoryError,
    explained_out_of_memory,
    train_step,
)
from xpnet.training._memory import lost

GIB = 2**30


class Bomb(Layer):
    """Passes everything on, until it has an error to raise, where it is told to."""

    def __init__(self):
        self.error, self.where, self.seen = None, "forward", []

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x, *, training=True):
        y = x * 1.0
        self.seen.append(weakref.ref(y))
        if self.error is not None and self.where == "forward":
            raise self.error

        def pullback(dy, *, input_gradient=False):
            if self.error is not None and self.where == "backward":
                raise self.error
            return dy if input_gradient else None

        return y, pullback


def network(seed=0):
    xpnet.seed(seed)
    bomb = Bomb()
    return Sequential(Linear(4, 8), BatchNorm(8), bomb, ReLU(), Linear(8, 3), BatchNorm(3)), bomb


def data(n=12):
    random = np.random.default_rng(3)
    return random.standard_normal((n, 4)).astype(np.float32), random.integers(0, 3, n)


def bits(model, optimizer):
    backend = model.backend
    arrays = model.state() | optimizer.state()
    return {name: backend.to_host(array).tobytes() for name, array in arrays.items()} | {"steps": optimizer.steps}


def step(model, optimizer, x, t):
    train_step(model, x, t, loss=losses.softmax_cross_entropy, optimizer=optimizer)


def fail(block, error):
    """Raises inside the block."""
    with block:
        raise error


NO_MEMORY = MemoryError("Unable to allocate 1.50 GiB for an array with shape (3,)")


# State --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("before", [0, 2])
def test_a_step_without_memory_leaves_everything_as_it_was(backend, where, before):
    model, bomb = network()
    optimizer = optimizers.Adam(model, 0.1)
    x, t = map(backend.asarray, data())
    watch = MemoryWatch(model)
    for _ in range(before):
        with watch.step(x):
            step(model, optimizer, x, t)
    state = bits(model, optimizer)
    bomb.error, bomb.where = NO_MEMORY, where
    with (
        pytest.raises(
            OutOfMemoryError, match=r"Parameters, optimizer and running statistics are as they were before this step$"
        ),
        watch.step(x),
    ):
        step(model, optimizer, x, t)
    assert bits(model, optimizer) == state


def test_training_goes_on_as_if_the_step_had_not_been(backend):
    x, t = map(backend.asarray, data())

    def trained(failing):
        model, bomb = network()
        optimizer, watch = optimizers.Adam(model, 0.1), MemoryWatch(model)
        for number in range(3):
            if number == 1 and failing:
                bomb.error, bomb.where = NO_MEMORY, "backward"
                with pytest.raises(OutOfMemoryError), watch.step(x):
                    step(model, optimizer, x, t)
                bomb.error = None
            with watch.step(x):
                step(model, optimizer, x, t)
        return bits(model, optimizer)

    assert trained(True) == trained(False)


def test_running_statistics_are_said_to_have_moved_where_they_were_not_kept():
    model, bomb = network()
    optimizer, watch = optimizers.Adam(model, 0.1), MemoryWatch(model)
    x, t = data()
    for _ in range(3):
        with watch.step(x):
            step(model, optimizer, x, t)
    bomb.error = NO_MEMORY
    with (
        pytest.raises(
            OutOfMemoryError,
            match=r"Parameters and optimizer are as they were before this step; running statistics may have taken in "
            r"this batch$",
        ),
        watch.step(x),
    ):
        step(model, optimizer, x, t)
    bomb.error = None
    state = bits(model, optimizer)
    bomb.error, bomb.where = NO_MEMORY, "backward"
    with (
        pytest.raises(OutOfMemoryError, match=r"running statistics are as they were before this step$"),
        watch.step(x[:6]),
    ):
        step(model, optimizer, x[:6], t[:6])  # another shape: its first step
    assert bits(model, optimizer) == state


def test_a_model_without_running_statistics_does_not_speak_of_them():
    model = Sequential(Linear(4, 3))
    with pytest.raises(OutOfMemoryError, match=r"\. Parameters and optimizer are as they were before this step$"):
        fail(MemoryWatch(model).step(data()[0]), NO_MEMORY)


def test_an_update_that_fails_is_said_to_be_half_done(monkeypatch):
    model, _ = network()
    optimizer = optimizers.Adam(model, 0.1)
    x, t = data()
    monkeypatch.setattr("xpnet.optimizers._adam._rule", lambda *arguments, guard: (_ for _ in ()).throw(NO_MEMORY))
    with (
        pytest.raises(
            OutOfMemoryError,
            match=r"It was the optimizer's update that failed, maybe half done: go on from weights .* it$",
        ),
        MemoryWatch(model).step(x),
    ):
        step(model, optimizer, x, t)


def test_the_arrays_of_the_failed_step_are_let_go_though_the_error_lives():
    model, bomb = network()
    optimizer = optimizers.Adam(model, 0.1)
    x, t = data()
    bomb.error, bomb.where = MemoryError("no"), "backward"
    with pytest.raises(OutOfMemoryError) as caught, MemoryWatch(model).step(x):
        step(model, optimizer, x, t)
    cause = caught.value.__cause__
    assert cause is bomb.error
    assert re.search(r"^Where it happened:\n.*, in train_step\n.*, in pullback\n", cause.__notes__[0], re.DOTALL)
    assert [array for array in bomb.seen if array() is not None] == []


def test_arrays_that_a_failed_call_closes_over_are_let_go_too():
    held = []

    def call():
        array = np.zeros(3)
        held.append(weakref.ref(array))

        def block():
            if len(array) == 3:
                raise MemoryError

        block()

    with pytest.raises(OutOfMemoryError) as caught, MemoryWatch(Sequential(Linear(4, 3))).step(data()[0]):
        call()
    assert caught.value.__cause__ is not None
    assert held[0]() is None


def test_inference_changes_and_says_nothing_of_state():
    model, bomb = network()
    x, _ = data()
    bomb.error = NO_MEMORY
    with pytest.raises(OutOfMemoryError) as caught, explained_out_of_memory(model, x, training=False):
        model(x)
    assert str(caught.value).endswith("A batch of 6 needs about half of what this one does")
    assert str(caught.value).startswith("not enough memory for inference on a batch of 12, inputs of shape (12, 4): ")


def evaluate(model, x, t):
    xpnet.evaluate(model, (x, t), loss=losses.softmax_cross_entropy, batch_size=8)


def predict(model, x, t):
    xpnet.training.predict(model, x, batch_size=8)


@pytest.mark.parametrize("run", [evaluate, predict])
def test_evaluation_says_it_of_its_batch(backend, run):
    model, bomb = network()
    bomb.error = NO_MEMORY
    text = r"^not enough memory for inference on a batch of 8, inputs of shape \(8, 4\): 1\.5 GiB could not be had"
    with pytest.raises(OutOfMemoryError, match=text):
        run(model, *data())
    bomb.error = RuntimeError(GONE[0])
    with pytest.raises(DeviceLostError, match=r"^the device is gone \(cudaErrorIllegalAddress: "):
        run(model, *data())


# What is said -------------------------------------------------------------------------------------------------------


@pytest.fixture
def device(monkeypatch):
    """Makes NumPy a device with memory of its own; the test sets what is in use and free."""
    numbers = {"used": 10 * GIB, "room": 40 * GIB}
    released = []
    monkeypatch.setattr(NumPy, "room", lambda self: numbers["room"])
    monkeypatch.setattr(NumPy, "memory", lambda self: {"used": numbers["used"]})
    monkeypatch.setattr(NumPy, "release", lambda self: released.append(True) or numbers.update(room=30 * GIB))
    numbers["released"] = released
    return numbers


def fails(device, n, used, asked="Out of memory allocating 2,147,483,648 bytes (allocated so far: 1 bytes)."):
    """The error of a step on n examples that fails when so much is in use."""
    model, x = Sequential(Linear(4, 3)), np.zeros((n, 4), np.float32)
    watch = MemoryWatch(model)
    block = watch.step(x)
    device.update(used=used, room=GIB)
    with pytest.raises(OutOfMemoryError) as caught:
        fail(block, MemoryError(asked))
    return caught.value


def test_a_device_says_what_was_asked_in_use_and_free_and_what_should_fit(device):
    error = fails(device, 64, 60 * GIB)
    assert str(error) == (
        "not enough memory for a training step on a batch of 64, inputs of shape (64, 4): 2.0 GiB could not be had, "
        "60.0 GiB were in use, 1.0 GiB were free. A batch of 32 should fit: an example takes about 832.0 MiB, and "
        "without this step 30.0 GiB are free. Parameters and optimizer are as they were before this step"
    )
    assert (error.batch_size, error.fits) == (64, 32)
    assert (error.asked, error.used, error.free) == (2 * GIB, 60 * GIB, GIB)
    assert error.history is None
    assert device["released"] == [True]


@pytest.mark.parametrize(("used", "fits"), [(60, 32), (70, 16), (120, 8), (1000, 1), (1800, None)])
def test_the_batch_that_should_fit_is_a_half_of_a_half(device, used, fits):
    """50 GiB and 2 for 64 examples, of which 27 may be taken: 32. And so on."""
    error = fails(device, 64, used * GIB)
    assert error.fits == fits
    if fits is None:
        assert ". Not even one should fit: an example takes about 28.0 GiB, and" in str(error)


def test_one_example_alone(device):
    error = fails(device, 1, 60 * GIB)
    assert error.fits is None
    assert ". It was one example: a smaller model, smaller inputs or another type are what is left. " in str(error)


def test_data_that_were_kept_on_the_device_are_named(device, monkeypatch):
    monkeypatch.setattr("xpnet.data._resident._kept", weakref.WeakKeyDictionary())
    pairs = xpnet.data.batches(*data(), 4)
    list(pairs)
    assert (
        "30.0 GiB are free (and 288 B taken by data, which batches(..., resident=False) leaves on the host). Parameters"
    ) in str(fails(device, 64, 60 * GIB))


def test_where_nothing_was_measured_the_layers_outputs_are_counted(device, monkeypatch):
    """4 bytes · 2²⁰ · (3 outputs and twice the 4 inputs) = 44 MiB; 18 of 20 may be taken: not a half, a quarter."""
    model, x = Sequential(Linear(4, 3)), np.zeros((2**20, 4), np.float32)
    device["room"] = 20 * 2**20
    monkeypatch.setattr(NumPy, "release", lambda self: None)
    with pytest.raises(OutOfMemoryError) as caught, MemoryWatch(model).step(x):
        raise MemoryError
    assert caught.value.fits == 2**18
    assert caught.value.asked is None


def test_a_layer_that_does_not_tell_its_shapes():
    class Silent(Layer):
        def forward(self, x, *, training=True):
            return x, None

        def output_shape(self, input_shape):
            raise NotImplementedError

    with pytest.raises(OutOfMemoryError, match=r"A batch of 6 needs about half"):
        fail(MemoryWatch(Sequential(Silent())).step(data()[0]), NO_MEMORY)


def test_numpys_own_error():
    model, x = Sequential(Linear(4, 3)), data()[0]
    text = (
        r"^not enough memory .*, inputs of shape \(12, 4\): [\d.]+ GiB could not be had, [\d.]+ [MG]iB were in use\. A"
    )
    with pytest.raises(OutOfMemoryError, match=text), MemoryWatch(model).step(x):
        np.empty((10**6, 10**6, 1000))


def test_other_errors_pass(backend):
    model, _ = network()
    x = backend.asarray(data()[0])
    with pytest.raises(ValueError, match=r"^something else$"), MemoryWatch(model).step(x):
        raise ValueError("something else")
    already = OutOfMemoryError("said", batch_size=1, fits=None)
    with pytest.raises(OutOfMemoryError, match=r"^said$") as caught, MemoryWatch(model).step(x):
        raise already
    assert caught.value is already
    with MemoryWatch(model).step(x):
        pass


# What errors mean ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (MemoryError(), None),
        (MemoryError("Unable to allocate 7.45 GiB for an array with shape (1, 2) and data type float64"), 7.45 * GIB),
        (MemoryError("Out of memory allocating 1,024 bytes (allocated so far: 20 bytes, limit set to: 30)."), 1024),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of"), 20 * 2**20),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000 bytes."), 4000),
        (RuntimeError("cudaErrorMemoryAllocation: out of memory"), None),
        (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"), None),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"), None),
    ],
    ids=str,
)
def test_what_means_a_lack_of_memory(backend, error, asked):
    assert backend.is_out_of_memory(error)
    assert not backend.is_lost(error)
    assert asked_bytes(error) == (None if asked is None else int(asked))


GONE = [
    "cudaErrorIllegalAddress: an illegal memory access was encountered",
    "cudaErrorECCUncorrectable: uncorrectable ECC error encountered",
    "cudaErrorDevicesUnavailable: CUDA-capable device(s) is/are busy or unavailable",
    "cudaErrorLaunchFailure: unspecified launch failure",
    "cudaErrorNoDevice: no CUDA-capable device is detected",
    "cudaErrorContextIsDestroyed: context is destroyed",
    "cudaErrorUnknown: unknown error",
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported",
]


@pytest.mark.parametrize("text", GONE)
def test_what_means_that_a_device_is_gone(backend, text):
    assert backend.is_lost(RuntimeError(text))
    assert not backend.is_out_of_memory(RuntimeError(text))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("an illegal memory access was encountered"),
        RuntimeError("cudaErrorInvalidValue: invalid argument"),
        RuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"),
        RuntimeError("dictionary changed size during iteration"),
        KeyError("out of memory"),
    ],
    ids=str,
)
def test_what_means_neither(backend, error):
    assert not backend.is_lost(error)
    assert not backend.is_out_of_memory(error)


def test_memory_that_the_library_itself_does_not_get():
    torch = pytest.importorskip("torch")
    backend = open_backend("torch")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert backend.is_out_of_memory(caught.value)
    with pytest.raises(MemoryError) as caught:
        np.empty(2**60, np.uint8)
    assert backend.is_out_of_memory(caught.value)


@pytest.mark.parametrize("text", GONE)
def test_a_device_that_is_gone_says_what_survives_and_is_not_touched_again(monkeypatch, text):
    model, bomb = network()
    optimizer = optimizers.Adam(model, 0.1)
    x, t = data()
    watch = MemoryWatch(model)
    bomb.error = RuntimeError(text)
    monkeypatch.setattr(Layer, "clear_gradients", None)
    monkeypatch.setattr(NumPy, "release", None)
    reason = re.escape(text.partition("\n")[0])
    with (
        pytest.raises(
            DeviceLostError,
            match=rf"^the device is gone \({reason}\): this process can no longer use it, and nothing on it can be "
            r"read, parameters and optimizer among them\. What survives is on the host: the history so far \(this "
            r"error's \.history\), and what was written to files, such as weights at the last checkpoint\. Start a new "
            r"process and go on from those$",
        ) as caught,
        watch.step(x),
    ):
        step(model, optimizer, x, t)
    assert caught.value.history is None
    assert caught.value.__cause__ is bomb.error
    with pytest.raises(DeviceLostError) as again, watch.step(x):
        raise lost(RuntimeError(text))
    assert again.value.__cause__ is None


def test_a_watched_step_costs_the_host_next_to_nothing():
    """Nothing is copied for a model without running statistics, nor after the first steps on a shape."""
    model, _ = network()
    x, _ = data()
    watch = MemoryWatch(model)
    copies = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NumPy, "copy", lambda self, array: copies.append(array) or np.array(array))
        for _ in range(10):
            with watch.step(x):
                pass
        with MemoryWatch(Sequential(Linear(4, 3))).step(x):
            pass
    assert len(copies) == 3 * 4
    assert array_namespace(*copies).__name__ == "numpy"
    gc.collect()
