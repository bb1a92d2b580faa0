"""Convolution and its transpose: PyTorch's numbers under all settings, and the laws that tie the two together."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xpnet
from xpnet import functional as F
from xpnet import layers as L
from xpnet.backend import compiled_loops

# The backend fixture stays the same over all examples of one test.
PROPERTY = settings(
    derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LAW = settings(PROPERTY, max_examples=15)


def normal(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape)


def per_axis(value, axes):
    return (value,) * axes if isinstance(value, int) else value


@dataclass(frozen=True)
class Problem:
    """One call: what goes in, beside the channels (n, *size, inputs), and the settings."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    n: int = 2
    inputs: int = 2
    outputs: int = 3
    bias: bool = True
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] | str = 0
    dilation: int | tuple[int, ...] = 1
    groups: int = 1
    output_padding: int | None = None
    """A number makes it the transpose."""

    @property
    def options(self):
        options = {name: getattr(self, name) for name in ("stride", "padding", "dilation", "groups")}
        return options if self.output_padding is None else options | {"output_padding": self.output_padding}

    @property
    def function(self):
        return partial(F.conv if self.output_padding is None else F.conv_transpose, **self.options)

    def arrays(self, dtype=np.float64):
        """x, weight and, where there is one, bias."""
        shares = (self.groups, 1) if self.output_padding is None else (1, self.groups)
        weight = *self.kernel, self.inputs // shares[0], self.outputs // shares[1]
        shapes = [(self.n, *self.size, self.inputs), weight, (self.outputs,)]
        return [normal(shape, seed).astype(dtype) for seed, shape in enumerate(shapes[: 2 + self.bias])]

    def torch(self, torch, x, weight, bias=None):
        """What PyTorch makes of it; "same" is spelled out as padding, for PyTorch has it without strides only."""
        options, name = self.options, "conv" if self.output_padding is None else "conv_transpose"
        if self.padding == "same":
            options["padding"], x = 0, torch.nn.functional.pad(x, (0, 0, *self.same()))
        function = getattr(torch.nn.functional, f"{name}{len(self.size)}d")
        turned = (-1, -2) if self.output_padding is None else (-2, -1)
        return function(x.movedim(-1, 1), weight.movedim(turned, (0, 1)).contiguous(), bias, **options).movedim(1, -1)

    def same(self):
        """Zeros before and after, last axis first, for ceil(size / stride) windows; the odd one goes at the end."""
        strides, dilations = (per_axis(value, len(self.size)) for value in (self.stride, self.dilation))
        zeros = []
        for size, kernel, stride, dilation in zip(self.size, self.kernel, strides, dilations, strict=True):
            total = max(0, (math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
            zeros = [total // 2, total - total // 2, *zeros]
        return zeros


@st.composite
def problems(draw, transposed=False):
    axes = draw(st.integers(1, 3))
    most = 3 if axes == 3 else 4

    def each(low, high):
        """One number for each axis, or one for all."""
        return draw(st.integers(low, high) | st.tuples(*[st.integers(low, high)] * axes))

    kernel, stride, dilation, padding = each(1, most), each(1, 3), each(1, most - 1), each(0, 3)
    if not transposed:
        padding = draw(st.sampled_from([padding, padding, "same", "valid"]))
    numbers = [per_axis(value, axes) for value in (kernel, stride, dilation, padding if padding != "valid" else 0)]
    size = []
    for k, s, d, p in zip(*numbers, strict=True) if padding != "same" else ():
        uncovered = (k - 1) * d + 1 - 2 * p
        least = math.ceil((1 - uncovered) / s) + 1 if transposed else uncovered  # for one element of the output
        size.append(max(1, least) + draw(st.integers(0, most)))
    groups = draw(st.integers(1, 3))
    return Problem(
        size=tuple(size) or per_axis(each(1, 9), axes),
        kernel=numbers[0],
        n=draw(st.integers(1, 3)),
        inputs=groups * draw(st.integers(1, 3)),
        outputs=groups * draw(st.integers(1, 3)),
        bias=draw(st.booleans()),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        output_padding=draw(st.integers(0, max(min(numbers[1]), min(numbers[2])) - 1)) if transposed else None,
    )


LARGE = {
    "simple_cnn": Problem((28, 28), (5, 5), 20, 1, 30),
    "3x3": Problem((31, 33), (3, 3), 4, 16, 16, padding=1),
    "3x3, one example": Problem((56, 56), (3, 3), 1, 32, 24, padding="same"),
    "3x3, many channels": Problem((6, 7), (3, 3), 3, 128, 96, padding=1, bias=False),
    "1x1": Problem((24, 25), (1, 1), 4, 24, 16),
    "1x1, strides": Problem((45, 44), (1, 1), 4, 24, 16, stride=2),
    "strides": Problem((65, 50), (7, 7), 4, 3, 16, stride=2, padding=3),
    "strides beyond the kernel": Problem((90, 91), (2, 2), 3, 5, 8, stride=3),
    "depthwise": Problem((30, 31), (3, 3), 4, 24, 24, padding=1, groups=24),
    "groups": Problem((30, 31), (3, 3), 4, 12, 18, padding=1, groups=3),
    "dilation": Problem((40, 41), (3, 3), 3, 8, 12, dilation=(3, 2), padding="same"),
    "sequence": Problem((1000,), (9,), 4, 6, 8, padding="same"),
    "volume": Problem((12, 13, 14), (3, 3, 3), 2, 6, 8, padding=1),
    "transposed": Problem((25, 24), (4, 4), 4, 12, 10, stride=2, padding=1, output_padding=1),
    "transposed, groups": Problem((25, 24), (3, 3), 4, 12, 10, groups=2, output_padding=0),
}
TINY = {
    "plain": Problem((5, 4), (3, 2)),
    "all": Problem((7, 6), (3, 2), 2, 4, 6, stride=(2, 1), padding=(1, 2), dilation=(2, 1), groups=2),
    "same": Problem((5,), (4,), stride=2, padding="same"),
    "point": Problem((5, 4), (1, 1)),
    "no bias": Problem((4, 4, 3), (2, 2, 2), bias=False, padding=1),
    "transposed": Problem((3, 4), (3, 2), 2, 4, 6, stride=2, padding=1, groups=2, output_padding=1),
}
EACH_TINY = pytest.mark.parametrize("problem", TINY.values(), ids=TINY)
EACH_LARGE = pytest.mark.parametrize("problem", LARGE.values(), ids=LARGE)
BOTH = TINY | {f"large {name}": problem for name, problem in LARGE.items()}
EACH = pytest.mark.parametrize("problem", BOTH.values(), ids=BOTH)


def run(function, arrays, dy=None, **options):
    """The value and all gradients, by a dy that is the same for the same shape; gradients that are None left out."""
    y, pullback = function(*arrays)
    dy = xpnet.backend.backend_of(y).at(y).asarray(normal(tuple(y.shape), 9)) if dy is None else dy
    return [y, *(gradient for gradient in pullback(dy, **options) if gradient is not None)]


def assert_close(found, expected, tolerance=1e-9):
    """Differences are small beside the tensor's largest number."""
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0.0, atol=tolerance * np.abs(b).max(initial=1e-3))


def assert_pytorchs(problem, backend):
    torch = pytest.importorskip("torch")
    host = problem.arrays()
    tensors = [torch.tensor(a, requires_grad=True) for a in host]
    expected = problem.torch(torch, *tensors)
    expected.backward(torch.tensor(normal(tuple(expected.shape), 9)))
    found = run(problem.function, [backend.asarray(a) for a in host])
    expected = [expected.detach(), *(tensor.grad for tensor in tensors)]
    assert_close([backend.to_host(a) for a in found], [tensor.numpy() for tensor in expected])


@PROPERTY
@given(problem=problems(), way=st.sampled_from(["auto", "direct", "winograd"]))
def test_convolution_is_pytorchs(backend64, problem, way):
    with xpnet.use_convolution(way):
        assert_pytorchs(problem, backend64)


@PROPERTY
@given(problem=problems(transposed=True))
def test_the_transpose_is_pytorchs(backend64, problem):
    assert_pytorchs(problem, backend64)


@EACH_LARGE
@pytest.mark.parametrize("loops", [False, True], ids=["plain", "compiled"])
def test_large_arrays_are_pytorchs(problem, loops):
    compiled_loops(loops)
    with xpnet.use_backend("numpy", dtype="float64") as numpy:
        assert_pytorchs(problem, numpy)


@EACH_TINY
def test_gradients_agree_with_central_differences(problem, backend64, assert_gradients):
    def without_none(*arrays):
        y, pullback = problem.function(*arrays)
        return y, lambda dy: pullback(dy)[: len(arrays)]

    assert_gradients(without_none, tuple(map(backend64.asarray, problem.arrays())))


@pytest.mark.parametrize("kernel", [(3,), (4,), (2, 3), (3, 2, 2)], ids=str)
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_same_is_pytorchs_own_where_it_has_it(kernel, dilation):
    torch = pytest.importorskip("torch")
    problem = Problem((7, 6, 5)[: len(kernel)], kernel, padding="same", dilation=dilation)
    x, weight, bias = problem.arrays()
    function = getattr(torch.nn.functional, f"conv{len(kernel)}d")
    turned = torch.tensor(x).movedim(-1, 1), torch.tensor(weight).movedim((-1, -2), (0, 1)), torch.tensor(bias)
    expected = function(*turned, padding="same", dilation=dilation).movedim(1, -1)
    assert_close(problem.function(x, weight, bias)[:1], [expected.numpy()])


@EACH_TINY
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_type_and_library_are_kept_and_no_argument_is_changed(problem, backend, dtype):
    arrays = [backend.xp.astype(backend.asarray(a), getattr(backend.xp, dtype)) for a in problem.arrays()]
    dy = backend.copy(problem.function(*arrays)[0])
    before = [np.array(backend.to_host(a)) for a in (*arrays, dy)]
    for result in run(problem.function, arrays, dy):
        assert result.dtype == getattr(backend.xp, dtype)
        assert xpnet.backend.backend_of(result).name == backend.name
    for a, copy in zip((*arrays, dy), before, strict=True):
        np.testing.assert_array_equal(backend.to_host(a), copy)


@EACH_LARGE
def test_float32_is_near_and_has_the_same_bits_from_run_to_run(problem):
    first, second = (run(problem.function, problem.arrays(np.float32)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)
    assert_close(first, run(problem.function, problem.arrays()), tolerance=3e-5)


@EACH_TINY
def test_a_pullback_may_be_called_again_without_dx_and_into_places(problem, backend):
    y, pullback = problem.function(*map(backend.asarray, problem.arrays()))
    dy = backend.asarray(normal(tuple(y.shape), 9))
    _, *expected = pullback(dy)
    places = tuple(None if g is None else backend.zeros(tuple(g.shape)) for g in expected)
    nothing, *found = pullback(dy, input_gradient=False, out=places)
    assert nothing is None
    for got, place, wanted in zip(found, places, expected, strict=True):
        assert got is place
        assert problem.bias or got is None or got.ndim > 1
        if got is not None:
            np.testing.assert_array_equal(backend.to_host(got), backend.to_host(wanted))


@EACH_LARGE
def test_either_place_may_be_left_out_and_places_may_be_parts_of_a_longer_array(problem):
    y, pullback = problem.function(*problem.arrays(np.float32))
    dy = normal(y.shape, 9).astype(np.float32)
    _, dweight, _ = expected = pullback(dy)
    flat = np.full(dweight.size + 20, 7.0, np.float32)
    place = flat[10:-10].reshape(dweight.shape)
    found = pullback(dy, out=(place, None))
    assert found[1] is place
    assert (flat[:10] == 7.0).all()
    assert (flat[-10:] == 7.0).all()
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@EACH_TINY
def test_an_empty_batch_gives_empty_values_and_zero_gradients(problem, backend):
    y, dx, *gradients = run(problem.function, map(backend.asarray, replace(problem, n=0).arrays()))
    assert y.shape == (0, *problem.function(*problem.arrays())[0].shape[1:])
    assert dx.shape == (0, *problem.size, problem.inputs)
    for gradient in gradients:
        assert gradient.size
        np.testing.assert_array_equal(backend.to_host(gradient), 0.0)


@EACH_LARGE
def test_several_callers_at_once_get_what_one_gets(problem):
    arrays = problem.arrays(np.float32)
    expected = run(problem.function, arrays)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: run(problem.function, arrays), range(6)):
            assert_close(found, expected, tolerance=1e-5)


LAYOUTS = {
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "a part of the channels": lambda a: np.concatenate([a, a, a], axis=-1)[..., a.shape[-1] : 2 * a.shape[-1]],
    "channels first in memory": lambda a: np.ascontiguousarray(a.T).T,
    "backwards": lambda a: np.ascontiguousarray(np.flip(a))[(slice(None, None, -1),) * a.ndim],
    "read-only": lambda a: np.broadcast_to(a, a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@EACH
def test_irregular_layouts_give_what_their_copies_give(problem, layout):
    arrays = problem.arrays(np.float32)
    dy = normal(problem.function(*arrays)[0].shape, 9).astype(np.float32)
    with xpnet.use_convolution("winograd"):  # where it applies; the others go directly
        expected = run(problem.function, arrays, dy)
        found = run(problem.function, [layout(a) for a in arrays], layout(dy))
    assert_close(found, expected, tolerance=1e-5)


@EACH_TINY
def test_one_number_repeated_as_dy_is_enough(problem):
    arrays = problem.arrays()
    shape = problem.function(*arrays)[0].shape
    found = run(problem.function, arrays, np.broadcast_to(np.float64(2.0), shape))
    assert_close(found, run(problem.function, arrays, np.full(shape, 2.0)))


@LAW
@given(problem=problems())
def test_the_transpose_is_the_adjoint_of_convolution(backend64, problem):
    """<conv(x, w), z> = <x, conv_transpose(z, w)>, for the same kernel with inputs and outputs exchanged."""
    padding = problem.padding if isinstance(problem.padding, (int, tuple)) else 0
    size = tuple(n + 9 for n in problem.size)  # so that the kernel fits without padding
    problem = replace(problem, padding=padding, size=size, bias=False)
    x, weight = map(backend64.asarray, problem.arrays())
    y, pullback = problem.function(x, weight)
    z = backend64.asarray(normal(tuple(y.shape), 5))
    stride, dilation, padding = (
        per_axis(value, len(size)) for value in (problem.stride, problem.dilation, problem.padding)
    )
    left = tuple(
        (n + 2 * p - d * (k - 1) - 1) % s
        for n, p, d, k, s in zip(size, padding, dilation, problem.kernel, stride, strict=True)
    )
    blocks = np.split(backend64.to_host(weight), problem.groups, axis=-1)
    exchanged = np.concatenate([np.swapaxes(block, -1, -2) for block in blocks], axis=-2)
    back, _ = F.conv_transpose(z, backend64.asarray(exchanged), output_padding=left, **problem.options)
    assert_close([backend64.to_host(back)], [backend64.to_host(pullback(z)[0])])
    products = [float(backend64.xp.sum(a * b)) for a, b in ((y, z), (x, back))]
    assert products[0] == pytest.approx(products[1], rel=1e-9, abs=1e-7)


@LAW
@given(problem=problems() | problems(transposed=True), a=st.floats(-9.0, 9.0))
def test_a_pullback_is_linear(backend64, problem, a):
    y, pullback = problem.function(*map(backend64.asarray, problem.arrays()))
    one, other = (backend64.asarray(normal(tuple(y.shape), seed)) for seed in (5, 6))
    for g, h, both in zip(pullback(one), pullback(other), pullback(a * one + other), strict=True):
        if both is not None:
            np.testing.assert_allclose(backend64.to_host(both), backend64.to_host(a * g + h), rtol=1e-9, atol=1e-9)


@LAW
@given(problem=problems())
def test_what_moves_in_the_input_moves_in_the_output(backend64, problem):
    axes = len(problem.size)
    steps = per_axis(problem.stride, axes)
    problem = replace(problem, padding="valid", size=tuple(n + 10 for n in problem.size))
    x, *others = problem.arrays()
    moved = x[:, *(slice(step, None) for step in steps), :]
    whole, part = (problem.function(*map(backend64.asarray, (a, *others)))[0] for a in (x, moved))
    expected = backend64.to_host(whole)[:, *[slice(1, None)] * axes, :]
    assert_close([backend64.to_host(part)], [expected])


@EACH
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_windows(problem, bad):
    x, *others = problem.arrays()
    x[0, *(n // 2 for n in problem.size), 0] = bad
    seen, _ = problem.function(1.0 - np.isfinite(x), np.ones_like(others[0]))
    with xpnet.use_convolution("direct"), np.errstate(invalid="ignore"):
        y, _ = problem.function(x, *others)
    np.testing.assert_array_equal(np.isfinite(y), seen == 0.0)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, ">f4"])
@pytest.mark.parametrize("way", ["auto", "direct", "winograd"])
def test_types_that_numba_does_not_know_are_computed_plainly(dtype, way):
    problem = Problem((31, 33), (3, 3), 2, 9, 9, padding=1)
    with xpnet.use_convolution(way):
        found = run(problem.function, problem.arrays(dtype), normal((2, 31, 33, 9), 9).astype(dtype))
        assert_close(found, run(problem.function, problem.arrays()), tolerance=0.03)
    assert all(a.dtype.itemsize == np.dtype(dtype).itemsize for a in found)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", ["conv", "conv_transpose"])
def test_thin_names_are_the_function_for_their_axes(backend, name, axes):
    problem = Problem((6, 5, 4)[:axes], (3, 2, 2)[:axes], stride=2, padding=1)
    arrays = [backend.asarray(a) for a in replace(problem, inputs=3).arrays()]
    options = {"stride": 2, "padding": 1}
    expected, found = (run(partial(getattr(F, function), **options), arrays) for function in (name, f"{name}{axes}d"))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(backend.to_host(a), backend.to_host(b))


IMAGES, KERNELS, EIGHT = np.ones((4, 6, 6, 3), np.float32), np.ones((3, 3, 3, 8), np.float32), np.ones(8, np.float32)


def conv(x=IMAGES, weight=KERNELS, bias=EIGHT, **options):
    return F.conv(x, weight, bias, **options)


def back(x=IMAGES, weight=KERNELS, bias=EIGHT, **options):
    return F.conv_transpose(x, weight, bias, **options)


CHANNELS = "conv: expected 3 channels in the last axis, got"
REFUSED = {
    "channels": (lambda: conv(IMAGES[..., :2]), rf"{CHANNELS} 2 \(shape \(4, 6, 6, 2\)\)$"),
    "channels of groups": (
        lambda: conv(IMAGES[:, :5], groups=2),
        r"conv: expected 6 channels in the last axis, got 3 \(shape \(4, 5, 6, 3\)\)$",
    ),
    "channels first": (
        lambda: conv(np.ones((4, 3, 6, 7), np.float32)),
        rf"{CHANNELS} 7 \(shape \(4, 3, 6, 7\)\); the axes look like \(n, channels, .*x\.transpose\(0, 2, 3, 1\)",
    ),
    "channels first, sequences": (
        lambda: F.conv(np.ones((4, 3, 6), np.float32), KERNELS[0]),
        rf"{CHANNELS} 6 .*; the axes look like \(n, channels, .*x\.transpose\(0, 2, 1\)",
    ),
    "an axis less": (
        lambda: conv(IMAGES[0]),
        r"conv: expected 4 axes, \(n, height, width, channels\), got 3 \(shape \(6, 6, 3\)\)",
    ),
    "an axis more": (lambda: conv(IMAGES[None]), r"conv: expected 4 axes, .*, got 5 \(shape \(1, 4, 6, 6, 3\)\)"),
    "no axis": (lambda: conv(IMAGES[0, 0, 0, 0]), r"conv: expected 4 axes, .*, got 0 \(shape \(\)\)"),
    "a kernel beyond the input": (
        lambda: conv(IMAGES[:, :2]),
        r"conv: the kernel covers 3×3 elements and does not fit into the input of 2×6, 2×6 with padding \(shape",
    ),
    "a kernel beyond the padded input": (
        lambda: conv(IMAGES[:, :1, :1], padding=(1, 0)),
        r"conv: the kernel covers 3×3 .* into the input of 1×1, 3×1 with padding \(shape \(4, 1, 1, 3\)\)",
    ),
    "a dilated kernel": (lambda: conv(dilation=3), r"conv: the kernel covers 7×7 elements .* the input of 6×6"),
    "no pixels": (lambda: conv(IMAGES[:, :0]), r"conv: the kernel covers 3×3 elements .* the input of 0×6"),
    "no pixels, same": (lambda: conv(IMAGES[:, :0], padding="same"), r"conv: .* the input of 0×6"),
    "groups": (
        lambda: conv(groups=3),
        r"conv: groups must divide the channels, got 3 groups of 8 outputs$",
    ),
    "groups of inputs": (
        lambda: back(groups=2),
        r"conv_transpose: groups must divide the channels, got 2 groups of 3 inputs$",
    ),
    "text as padding": (lambda: conv(padding="full"), "conv: padding must be numbers, 'same' or 'valid', got 'full'"),
    "a bias of other outputs": (lambda: conv(bias=EIGHT[:7]), r"conv: expected bias of shape \(8,\), got \(7,\)"),
    "a bias of two axes": (lambda: conv(bias=EIGHT[None]), r"conv: expected bias of shape \(8,\), got \(1, 8\)"),
    "a weight of two axes": (
        lambda: conv(weight=KERNELS[0, 0]),
        r"conv: expected weight \(\*kernel, inputs // groups, outputs\) with at least one spatial axis, .* \(3, 8\)",
    ),
    "an empty kernel": (
        lambda: conv(weight=KERNELS[:0]),
        r"conv: expected weight .* none empty, got shape \(0, 3, 3, 8\)",
    ),
    "thin, x": (lambda: F.conv1d(IMAGES, KERNELS[0]), r"conv1d: expected 3 axes, \(n, length, channels\), got 4"),
    "thin, weight": (
        lambda: F.conv2d(IMAGES, KERNELS[0]),
        r"conv2d: expected weight .* with 2 spatial axes, .*, got shape \(3, 3, 8\)",
    ),
    "thin, volumes": (lambda: F.conv3d(IMAGES, KERNELS[None]), "conv3d: expected 5 axes, .*, got 4"),
    "thin, transposed": (
        lambda: F.conv_transpose1d(IMAGES, KERNELS[0]),
        "conv_transpose1d: expected 3 axes, .*, got 4",
    ),
    "transposed, channels": (
        lambda: back(IMAGES[..., :2]),
        r"conv_transpose: expected 3 channels in the last axis, got 2 \(shape \(4, 6, 6, 2\)\)",
    ),
    "transposed, channels first": (
        lambda: back(np.ones((4, 3, 6, 7), np.float32)),
        r"conv_transpose: expected 3 channels .*; the axes look like \(n, channels, .*x\.transpose\(0, 2, 3, 1\)",
    ),
    "transposed, nothing left": (
        lambda: back(padding=4),
        r"conv_transpose: the result would have 0×0 elements \(shape \(4, 6, 6, 3\), padding \(4, 4\)\)",
    ),
    "transposed, output_padding": (
        lambda: back(stride=2, output_padding=2),
        r"conv_transpose: output_padding must be smaller than stride or dilation, got output_padding \(2, 2\), stride",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_shapes_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


NO_SIZES = [-1, 1.0, True, "2", None, (1, 1, 1), (1,), (1, -1), (1, 1.5), np.ones(2)]


@pytest.mark.parametrize("value", [0, (1, 0), *NO_SIZES], ids=repr)
@pytest.mark.parametrize("name", ["stride", "dilation", "groups"])
@pytest.mark.parametrize("function", [conv, back], ids=["conv", "conv_transpose"])
def test_settings_that_are_no_positive_integers_are_refused(function, name, value):
    with pytest.raises(ValueError, match=rf"^conv\w*: {name} must be an integer of at least 1.* got ") as caught:
        function(**{name: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", NO_SIZES, ids=repr)
@pytest.mark.parametrize("name", ["padding", "output_padding"])
def test_paddings_that_are_no_counts_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"^conv_transpose: {name} must be an integer of at least 0.* got ") as caught:
        back(**{name: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [[2, 1], (np.int64(2), np.uint8(1)), np.asarray([2, 1])], ids=repr)
def test_settings_may_be_lists_and_numpys_integers(value):
    expected = conv(stride=(2, 1), padding=(2, 1), dilation=(2, 1))[0]
    np.testing.assert_array_equal(conv(stride=value, padding=value, dilation=value)[0], expected)
    assert conv(padding=np.int32(1), stride=np.uint8(2), dilation=np.int64(1), groups=np.int64(1))[0].shape == (
        4,
        3,
        3,
        8,
    )


@EACH_TINY
def test_gradients_and_arguments_of_another_kind_are_refused(problem, backend):
    arrays = [backend.asarray(a) for a in problem.arrays()]
    y, pullback = problem.function(*arrays)
    with pytest.raises(ValueError, match=r"^conv\w*: the pullback expects dy of shape .*, got \(1, "):
        pullback(y[None, ...])
    with pytest.raises(TypeError, match=r"^conv\w*: the pullback expects dy of .*float32, got .*float64"):
        pullback(backend.xp.astype(y, backend.xp.float64))
    with pytest.raises(TypeError, match=r"^conv\w*: x must be floating-point, got .*int64"):
        problem.function(backend.xp.astype(arrays[0], backend.xp.int64), *arrays[1:])
    with pytest.raises(TypeError, match=r"^conv\w*: x is .*float32 but weight is .*float64; nothing is converted"):
        problem.function(arrays[0], backend.xp.astype(arrays[1], backend.xp.float64))


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
@pytest.mark.parametrize("size", [3, 1])
def test_a_place_in_another_order_of_axes_is_written(algorithm, size):
    random = np.random.default_rng(3)
    x, weight = random.standard_normal((2, 9, 9, 2)), random.standard_normal((size, size, 2, 4))
    with F.use_convolution(algorithm):
        y, pullback = F.conv(x, weight)
        place = np.zeros(weight.shape, order="F")
        assert pullback(y, out=(place, None))[1] is place
        np.testing.assert_array_equal(place, pullback(y)[1])


def test_settings_may_be_read_once_and_belong_to_the_layer_alone():
    stride = [1, 2]
    layer = L.Conv2d(1, 1, 3, stride=stride, padding=iter([1, 1]))
    stride[0] = 2
    assert layer.output_shape((1, 8, 8, 1)) == (1, 8, 4, 1)
    assert repr(layer) == "Conv2d(1, 1, 3, stride=(1, 2), padding=1)"
    assert repr(L.MaxPool2d(2, stride=np.array([1, 2]))) == "MaxPool2d(2, stride=(1, 2))"


def test_four_spatial_axes_are_told_by_their_number():
    with pytest.raises(ValueError, match="conv: expected 6 axes, "):
        F.conv(np.ones((1, 2, 2, 2, 1)), np.ones((1, 1, 1, 1, 1, 1)))
