"""Convolution by cuDNN, by a stand-in that computes what it is told to: dimensions, strides, padding, addresses."""

import sys
import threading
import types
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import xpnet
from tests.backend.fake_cudnn import FakeCuDNN, NotSupportedError, library_on_host
from xpnet import functional as F
from xpnet.backend import BackendUnavailableError, NumPy, _cudnn, open_backend
from xpnet.backend._cudnn_plans import channels_last

PROPERTY = settings(
    derandomize=True, deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def cudnn(monkeypatch):
    """NumPy's convolutions go to the stand-in, as CuPy's would go to cuDNN."""
    fake = FakeCuDNN()
    library = fake.library = library_on_host(fake)

    def convolution(self, n, weight, windows, groups, *, required=False):
        return library.convolution(self, n, weight, windows, groups)

    monkeypatch.setattr(NumPy, "convolution", convolution)
    return fake


def normal(shape, seed, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def conv_arrays(size, kernel, inputs, outputs, groups=1, n=3):
    return normal((n, *size, inputs), 0), normal((*kernel, inputs // groups, outputs), 1), normal((outputs,), 2)


def transposed_arrays(size, kernel, inputs, outputs, groups=1, n=3):
    return normal((n, *size, inputs), 0), normal((*kernel, inputs, outputs // groups), 1), normal((outputs,), 2)


def run(function, arrays, **options):
    y, pullback = function(*arrays, **options)
    return [y, *pullback(normal(y.shape, 3, y.dtype))]


def directly(function, arrays, **options):
    with xpnet.use_convolution("direct"):
        return run(function, arrays, **options)


def assert_close(found, expected, tolerance=1e-5):
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=0.0, atol=tolerance * float(np.abs(b).max(initial=1e-30)))


CASES = {
    "3×3": (F.conv, conv_arrays((7, 8), (3, 3), 4, 6), {"padding": 1}),
    "no padding": (F.conv, conv_arrays((7, 8), (3, 2), 4, 6), {}),
    "a stride": (F.conv, conv_arrays((8, 9), (3, 3), 4, 6), {"stride": 2, "padding": 1}),
    "same, odd zero at the end": (F.conv, conv_arrays((8, 9), (4, 2), 4, 6), {"padding": "same"}),
    "same with strides": (F.conv, conv_arrays((8, 10), (3, 3), 4, 6), {"padding": "same", "stride": (2, 3)}),
    "rows that no window sees": (F.conv, conv_arrays((8, 10), (2, 1), 4, 6), {"stride": 3}),
    "a dilation": (F.conv, conv_arrays((9, 9), (3, 2), 4, 6), {"dilation": (2, 3), "padding": 2}),
    "groups": (F.conv, conv_arrays((6, 5), (3, 3), 6, 9, groups=3), {"groups": 3, "padding": 1}),
    "depthwise": (F.conv, conv_arrays((6, 5), (3, 3), 6, 12, groups=6), {"groups": 6, "padding": 1}),
    "a point, groups": (F.conv, conv_arrays((6, 5), (1, 1), 6, 4, groups=2), {"groups": 2}),
    "a point, stride": (F.conv, conv_arrays((6, 5), (1, 1), 6, 4), {"stride": 2}),
    "one channel": (F.conv, conv_arrays((6, 5), (3, 3), 1, 1), {"padding": 1}),
    "the whole image": (F.conv, conv_arrays((5, 4), (5, 4), 3, 7), {}),
    "a sequence": (F.conv, conv_arrays((11,), (4,), 3, 5), {"stride": 2, "padding": "same", "dilation": 2}),
    "a sequence in groups": (F.conv, conv_arrays((11,), (3,), 4, 6, groups=2), {"groups": 2, "padding": 1}),
    "a volume": (F.conv, conv_arrays((5, 4, 6), (3, 2, 3), 2, 4), {"stride": (1, 2, 3), "padding": (1, 0, 2)}),
    "a volume in groups": (F.conv, conv_arrays((5, 4, 6), (2, 2, 2), 4, 4, groups=2), {"groups": 2}),
    "transposed": (F.conv_transpose, transposed_arrays((4, 5), (3, 3), 6, 4), {"stride": 2, "padding": 1}),
    "transposed, longer": (
        F.conv_transpose,
        transposed_arrays((4, 5), (3, 3), 6, 4),
        {"stride": 2, "padding": 1, "output_padding": 1},
    ),
    "transposed, longer, no padding": (
        F.conv_transpose,
        transposed_arrays((4, 5), (3, 3), 6, 4),
        {"stride": 3, "output_padding": (2, 1)},
    ),
    "transposed, longer than a stride": (
        F.conv_transpose,
        transposed_arrays((4, 5), (3, 3), 6, 4),
        {"dilation": 2, "output_padding": 1},
    ),
    "transposed in groups": (
        F.conv_transpose,
        transposed_arrays((4, 5), (2, 2), 6, 4, groups=2),
        {"stride": 2, "groups": 2},
    ),
    "transposed sequence": (F.conv_transpose, transposed_arrays((6,), (4,), 3, 5), {"stride": 2, "padding": 1}),
    "transposed volume": (F.conv_transpose, transposed_arrays((3, 2, 3), (2, 2, 2), 3, 5), {"stride": 2}),
}
EACH = pytest.mark.parametrize(("function", "arrays", "options"), CASES.values(), ids=CASES)


@EACH
def test_every_kind_gives_the_direct_numbers(cudnn, function, arrays, options):
    assert_close(run(function, arrays, **options), directly(function, arrays, **options))
    assert sorted(graph.kind for graph in cudnn.graphs) == ["data gradient", "forward", "weight gradient"]


@EACH
def test_every_kind_without_padding_by_cudnn(cudnn, function, arrays, options):
    """Where cuDNN has no engine for a padding, x is padded before, and no one is warned."""

    def refuses(graph):
        return NotSupportedError("padding") if any(graph.options.pre_padding + graph.options.post_padding) else None

    cudnn.refuses = refuses
    assert_close(run(function, arrays, **options), directly(function, arrays, **options))


@EACH
def test_every_kind_in_half_precision(cudnn, function, arrays, options):
    halves = [a.astype(np.float16) for a in arrays]
    assert_close(run(function, halves, **options), directly(function, halves, **options), tolerance=1e-2)
    assert all(graph.io.value == "float16" for graph in cudnn.graphs)
    assert {kind.value for graph in cudnn.graphs for kind in graph.computes_in} == {"float32"}


@PROPERTY
@given(
    size=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    padding=st.sampled_from(["same", 0, 1, 2, 3]),
    channels=st.sampled_from([(1, 1, 1), (2, 3, 1), (4, 2, 2), (3, 6, 3)]),
    n=st.integers(1, 2),
)
def test_any_geometry_gives_the_direct_numbers(cudnn, size, kernel, stride, dilation, padding, channels, n):
    inputs, outputs, groups = channels
    options = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
    around = 0 if padding == "same" else 2 * padding
    assume(padding == "same" or min(size) + around > dilation * (kernel - 1))
    arrays = conv_arrays(tuple(size), (kernel,) * len(size), inputs, outputs, groups, n)
    assert_close(run(F.conv, arrays, **options), directly(F.conv, arrays, **options))


def test_what_cudnn_is_told(cudnn):
    run(F.conv, conv_arrays((8, 10), (3, 2), 4, 6, groups=2, n=5), stride=(2, 1), padding="same", groups=2)
    forward, data, weight = cudnn.graphs
    assert [graph.written for graph in cudnn.graphs] == ["y", "x", "w"]
    for graph in (forward, data, weight):
        told = {name: (tensor.dim, tensor.stride) for name, tensor in graph.tensors.items()}
        assert told == {
            "x": ([5, 4, 8, 10], [320, 1, 40, 4]),
            "w": ([6, 2, 3, 2], [12, 1, 4, 2]),
            "y": ([5, 6, 4, 10], [240, 1, 60, 6]),
        }
        assert (graph.options.pre_padding, graph.options.post_padding) == ([0, 0], [1, 1])
        assert (graph.options.stride, graph.options.dilation) == ([2, 1], [1, 1])
        assert graph.workspace_limit == 2**20


def test_symmetric_padding_is_told_where_it_makes_the_same_windows(cudnn):
    """A stride of 2 on an even length does not reach the last zero: cuDNN's fast engines want it named all the same."""
    run(F.conv, conv_arrays((8, 8), (3, 3), 4, 6), stride=2, padding=1)
    assert {tuple(graph.options.post_padding) for graph in cudnn.graphs} == {(1, 1)}


def test_a_sequence_is_an_image_with_a_height_of_one(cudnn):
    run(F.conv, conv_arrays((11,), (4,), 3, 5, n=2), stride=3, dilation=2, padding=1)
    (graph, *_) = cudnn.graphs
    assert [graph.tensors[name].dim for name in "xwy"] == [[2, 3, 1, 11], [5, 3, 1, 4], [2, 5, 1, 3]]
    told = graph.options
    assert (told.pre_padding, told.post_padding, told.stride, told.dilation) == ([0, 1], [0, 1], [1, 3], [1, 2])


def test_strides_of_channels_last():
    for shape in ((2, 5, 3), (2, 5, 4, 3), (2, 5, 4, 6, 3)):
        host = np.moveaxis(np.zeros(shape, np.int8), -1, 1)
        assert channels_last(host.shape) == host.strides


@pytest.mark.parametrize(
    ("dtype", "precision", "left_out"),
    [
        (np.float32, "float32", ["NONDETERMINISTIC", "DOWN_CONVERT_INPUTS", "TENSOR_CORE"]),
        (np.float32, "tf32", ["NONDETERMINISTIC", "DOWN_CONVERT_INPUTS"]),
        (np.float16, "float32", ["NONDETERMINISTIC", "DOWN_CONVERT_INPUTS"]),
    ],
)
def test_engines_that_round_or_vary_are_left_out(cudnn, monkeypatch, dtype, precision, left_out):
    monkeypatch.setattr(NumPy, "products_in_tf32", precision == "tf32")
    run(F.conv, [a.astype(dtype) for a in conv_arrays((7, 8), (3, 3), 4, 6)])
    assert [graph.deselected for graph in cudnn.graphs] == [left_out] * 3


def test_another_precision_is_another_plan(cudnn, monkeypatch):
    arrays = conv_arrays((7, 8), (3, 3), 4, 6)
    F.conv(*arrays)
    monkeypatch.setattr(NumPy, "products_in_tf32", True)
    F.conv(*arrays)
    assert ["TENSOR_CORE" in graph.deselected for graph in cudnn.graphs] == [True, False]


def test_plans_and_handle_are_made_once(cudnn):
    arrays = conv_arrays((7, 8), (3, 3), 4, 6)
    expected = run(F.conv, arrays, padding=1)
    for _ in range(3):
        for found, first in zip(run(F.conv, arrays, padding=1), expected, strict=True):
            np.testing.assert_array_equal(found, first)
    assert [graph.runs for graph in cudnn.graphs] == [4, 4, 4]
    assert (len(cudnn.handles), cudnn.streams_set) == (1, 1)


def test_another_batch_is_another_plan(cudnn):
    for n in (4, 3, 4):
        F.conv(*conv_arrays((7, 8), (3, 3), 4, 6, n=n))
    assert [graph.tensors["x"].dim[0] for graph in cudnn.graphs] == [4, 3]


def test_it_runs_on_the_current_stream(cudnn):
    arrays, device = conv_arrays((7, 8), (3, 3), 4, 6), cudnn.library.device
    for stream in (7, 9, 9, 7):
        device.current_stream = stream
        F.conv(*arrays)
    assert [stream for _, _, stream in cudnn.ran] == [7, 9, 9, 7]
    assert cudnn.streams_set == 3


def test_it_takes_the_workspace_that_the_plan_needs(cudnn):
    cudnn.workspace = 12345
    run(F.conv, conv_arrays((7, 8), (3, 3), 4, 6))
    assert cudnn.library.device.workspaces == [12345] * 3


def test_the_weight_is_turned_once_for_both_ways(cudnn, monkeypatch):
    turned = []
    filters = _cudnn.CuDNNConvolution.filters
    monkeypatch.setattr(_cudnn.CuDNNConvolution, "filters", lambda self, w: turned.append(1) or filters(self, w))
    run(F.conv, conv_arrays((7, 8), (3, 3), 4, 6))
    assert len(turned) == 1


def test_no_input_gradient_no_plan_for_it(cudnn):
    y, pullback = F.conv(*conv_arrays((7, 8), (3, 3), 4, 6))
    assert pullback(y, input_gradient=False)[0] is None
    assert [graph.kind for graph in cudnn.graphs] == ["forward", "weight gradient"]


@pytest.mark.parametrize("name", ["3×3", "groups", "a volume", "transposed", "transposed in groups"])
def test_places_take_the_gradients(cudnn, name):
    function, arrays, options = CASES[name]
    y, pullback = function(*arrays, **options)
    dy = normal(y.shape, 3)
    flat = np.full(arrays[1].size + arrays[2].size + 3, 7.0, np.float32)  # views that begin anywhere
    places = flat[3 : 3 + arrays[1].size].reshape(arrays[1].shape), flat[3 + arrays[1].size :]
    _, *found = pullback(dy, out=places)
    assert all(got is place for got, place in zip(found, places, strict=True))
    assert_close(found, pullback(dy)[1:], tolerance=0.0)
    assert list(flat[:3]) == [7.0] * 3


def test_arrays_with_gaps_and_odd_beginnings(cudnn):
    x, weight, bias = conv_arrays((7, 8), (3, 3), 4, 6)
    expected = directly(F.conv, (x, weight, bias))
    gaps = np.repeat(x, 2, axis=1)[:, ::2]
    off = np.zeros(x.size + 1, np.float32)[1:].reshape(x.shape)
    off[...] = x
    for other in (gaps, off, np.asfortranarray(x)):
        assert_close(run(F.conv, (other, np.asfortranarray(weight), bias)), expected)
    y, pullback = F.conv(x, weight, bias)
    dy = np.asfortranarray(normal(y.shape, 3))
    assert_close(pullback(dy), expected[1:])


NOT_ASKED = {
    "float64": ([a.astype(np.float64) for a in conv_arrays((7, 8), (3, 3), 4, 6)], {}),
    "a plain product": (conv_arrays((7, 8), (1, 1), 4, 6), {}),
    "four axes": (conv_arrays((3, 3, 3, 3), (2, 2, 2, 2), 2, 3), {}),
    "no examples": (conv_arrays((7, 8), (3, 3), 4, 6, n=0), {}),
}


@pytest.mark.parametrize(("arrays", "options"), NOT_ASKED.values(), ids=NOT_ASKED)
def test_what_cudnn_is_not_asked_for(cudnn, arrays, options):
    assert_close(run(F.conv, arrays, **options), directly(F.conv, arrays, **options))
    assert cudnn.graphs == []


def test_too_many_elements_are_left_alone():
    weight = np.zeros((3, 3, 2, 2), np.float32)
    windows = F.shapes.conv_windows("conv", (2**20, 40, 40, 2), 2, (3, 3))
    library = library_on_host(FakeCuDNN())
    assert library.convolution(xpnet.get_backend(), 2**20, weight, windows, 1) is None
    assert library.convolution(xpnet.get_backend(), 2**19, weight, windows, 1) is not None


@pytest.mark.parametrize("kind", ["forward", "data gradient", "weight gradient"])
@pytest.mark.parametrize("error", [NotSupportedError("no engine\n  at all"), RuntimeError("no engine at all")])
def test_a_shape_without_an_engine_goes_the_generic_way_and_says_so_once(cudnn, kind, error):
    cudnn.refuses = lambda graph: error if graph.kind == kind else None
    arrays = conv_arrays((7, 8), (3, 2), 4, 6)
    message = (
        rf"no engine for the {kind} of a convolution \(float32 x 3×7×8×4, weight 3×2×4×6, stride \(1, 1\), "
        r"dilation \(1, 1\), padding before \(0, 0\), groups 1\), which is computed the generic way: no engine at all$"
    )
    expected = directly(F.conv, arrays)
    with pytest.warns(RuntimeWarning, match=message) as caught:
        assert_close(run(F.conv, arrays), expected)
    assert len(caught) == 1
    assert_close(run(F.conv, arrays), expected)  # a second warning would be an error
    assert len(cudnn.graphs) == 2


def test_threads_have_handles_and_plans_of_their_own(cudnn):
    arrays = conv_arrays((7, 8), (3, 3), 4, 6)
    expected, found, barrier = run(F.conv, arrays), [], threading.Barrier(3)

    def work():
        barrier.wait()
        found.append(run(F.conv, arrays))
        barrier.wait()  # no thread ends before the others began: they would take over its number

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results in found:
        assert_close(results, expected, tolerance=0.0)
    assert (len(found), len(cudnn.handles), len(cudnn.graphs)) == (3, 4, 12)
    assert {id(handle) for _, handle, _ in cudnn.ran} == {id(handle) for handle in cudnn.handles}


# Whether it is there -----------------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch):
    """A machine with CuPy for CUDA 12 and a cuDNN for it; both may be changed."""
    runtime = types.SimpleNamespace(runtimeGetVersion=lambda: 12090)
    cupy = types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cudnn", FakeCuDNN())
    monkeypatch.setattr(_cudnn, "_cuda_of_cudnn", lambda: 12)
    monkeypatch.setattr(_cudnn, "open_backend", lambda name: None)
    _cudnn.opened.cache_clear()
    yield types.SimpleNamespace(monkeypatch=monkeypatch, runtime=runtime)
    _cudnn.opened.cache_clear()
    xpnet.set_convolution("auto")


def no_library():
    raise RuntimeError("Unable to find symbol cudnnGetVersion")


MISSING = {
    "the frontend": (
        lambda machine: machine.monkeypatch.setitem(sys.modules, "cudnn", None),
        r"^convolution 'cudnn': nvidia-cudnn-frontend cannot be imported \(.*\): pip install 'xpnet\[cudnn12\]'$",
    ),
    "the library": (
        lambda machine: machine.monkeypatch.setattr(sys.modules["cudnn"], "backend_version", no_library),
        r"is installed but finds no cuDNN library \(Unable to find .*\): pip install 'xpnet\[cudnn12\]'$",
    ),
    "a new library": (
        lambda machine: setattr(sys.modules["cudnn"], "version", 8907),
        r"the cuDNN library found is version 8907, older than 9: pip install 'xpnet\[cudnn12\]'$",
    ),
    "the library for this CUDA": (
        lambda machine: setattr(machine.runtime, "runtimeGetVersion", lambda: 13000),
        r"the cuDNN library found is for CUDA 12, CuPy is for CUDA 13: pip install 'xpnet\[cudnn13\]'$",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_named_with_the_line_that_installs_it(machine, spoil, message):
    spoil(machine)
    for choose in (xpnet.set_convolution, lambda name: xpnet.use_convolution(name).__enter__()):
        with pytest.raises(BackendUnavailableError, match=message):
            choose("cudnn")
    assert xpnet.get_convolution() == "auto"


def test_without_cupy_the_error_says_whose_arrays_it_is_for(machine):
    def fails(name):
        raise BackendUnavailableError(f"backend {name!r} needs cupy: pip install it")

    machine.monkeypatch.setattr(_cudnn, "open_backend", fails)
    with pytest.raises(BackendUnavailableError, match=r"^convolution 'cudnn' is for CuPy arrays: backend 'cupy' needs"):
        xpnet.set_convolution("cudnn")


def test_where_everything_is_there_it_can_be_chosen(machine):
    xpnet.set_convolution("cudnn")
    assert xpnet.get_convolution() == "cudnn"
    with xpnet.use_convolution("direct"), xpnet.use_convolution("cudnn"):
        assert xpnet.get_convolution() == "cudnn"


def test_it_is_described_in_one_line(machine):
    assert _cudnn.describe() == "cuDNN 92800"
    _cudnn.opened.cache_clear()
    machine.monkeypatch.setitem(sys.modules, "cudnn", None)
    assert _cudnn.describe().startswith("no cuDNN: nvidia-cudnn-frontend cannot be imported (")


def test_a_cudnn_that_does_not_say_its_cuda_is_taken(machine):
    machine.monkeypatch.setattr(_cudnn, "_cuda_of_cudnn", lambda: None)
    xpnet.set_convolution("cudnn")


@pytest.mark.parametrize("name", ["numpy", "array_api_strict"])
def test_arrays_of_another_library_are_refused_where_cudnn_was_chosen(machine, name):
    backend = open_backend(name)
    x, weight = backend.zeros((1, 4, 4, 1)), backend.zeros((3, 3, 1, 1))
    message = rf"^convolution 'cudnn' is for CuPy arrays, got arrays of {name}; set_convolution\('auto'\) takes it"
    with xpnet.use_convolution("cudnn"), pytest.raises(TypeError, match=message):
        F.conv(x, weight)
    with xpnet.use_convolution("cudnn"), pytest.raises(TypeError, match=message):
        F.conv_transpose(x, weight)


def seam(monkeypatch, library):
    """The seam of CuPy's backend, on NumPy's arrays."""
    monkeypatch.setattr(_cudnn, "opened", lambda: library)

    def convolution(self, n, weight, windows, groups, *, required=False):
        return _cudnn.convolution(self, n, weight, windows, groups, required)

    monkeypatch.setattr(NumPy, "convolution", convolution)
    monkeypatch.setattr("xpnet.functional._algorithm.require_cudnn", lambda: None)


def test_auto_takes_cudnn_where_it_is_and_the_other_ways_do_not(monkeypatch):
    fake = FakeCuDNN()
    seam(monkeypatch, library_on_host(fake))
    for way, times in (("direct", 0), ("winograd", 0), ("auto", 1), ("cudnn", 2)):
        with xpnet.use_convolution(way):
            F.conv(*conv_arrays((7, 8), (3, 3), 4, 6))
        assert len(fake.ran) == times


def test_auto_goes_on_without_cudnn_and_an_explicit_choice_does_not(monkeypatch):
    arrays = conv_arrays((7, 8), (3, 3), 4, 6)
    seam(monkeypatch, "nothing is installed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_close(run(F.conv, arrays), directly(F.conv, arrays), tolerance=0.0)
    with (
        xpnet.use_convolution("cudnn"),
        pytest.raises(BackendUnavailableError, match=r"'cudnn': nothing is installed$"),
    ):
        F.conv(*arrays)


def test_a_gpu_that_cudnn_does_not_know_is_asked_once(monkeypatch):
    fake = FakeCuDNN()
    fake.breaks = RuntimeError("architecture mismatch")
    seam(monkeypatch, library_on_host(fake))
    arrays = conv_arrays((7, 8), (3, 3), 4, 6)
    assert_close(run(F.conv, arrays), directly(F.conv, arrays), tolerance=0.0)
    fake.breaks = None
    message = r"'cudnn': cuDNN cannot be used on GPU 0: architecture mismatch$"
    with xpnet.use_convolution("cudnn"), pytest.raises(BackendUnavailableError, match=message):
        F.conv(*arrays)
