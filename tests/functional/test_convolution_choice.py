"""How a convolution is computed: Winograd's way gives the direct way's numbers, and is taken where it was asked for."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xpnet
from xpnet import functional as F
from xpnet.backend import compiled_loops

# The backend fixture stays the same over all examples of one test.
PROPERTY = settings(
    derandomize=True, deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(autouse=True)
def _automatic():
    yield
    xpnet.set_convolution("auto")


def arrays(size, inputs, outputs, n=2, kernel=(3, 3), dtype=np.float64):
    """x, weight, bias."""
    random = np.random.default_rng(0)
    shapes = (n, *size, inputs), (*kernel, inputs, outputs), (outputs,)
    return [random.standard_normal(shape).astype(dtype) for shape in shapes]


def run(way, arrays, **options):
    """The value and all gradients, computed in this way."""
    with xpnet.use_convolution(way):
        y, pullback = F.conv(*arrays, **options)
    dy = np.random.default_rng(1).standard_normal(tuple(y.shape))
    return [y, *pullback(xpnet.backend.backend_of(y).at(y).asarray(dy))]


def assert_close(found, expected, tolerance):
    """Differences are small beside the tensor's largest number."""
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0.0, atol=tolerance * np.abs(b).max(initial=1e-30))


def same_bits(found, expected):
    return [np.array_equal(a, b) for a, b in zip(found, expected, strict=True)]


@PROPERTY
@given(
    n=st.integers(0, 3),
    size=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    inputs=st.integers(1, 6),
    outputs=st.integers(1, 6),
    padding=st.sampled_from(["same", "valid", 0, 1, 2, 3, (0, 1), (2, 1)]),
)
def test_winograd_gives_the_direct_numbers(backend64, n, size, inputs, outputs, padding):
    if padding in ("valid", 0, (0, 1)):
        size = tuple(max(3, length) for length in size)
    host = [backend64.asarray(a) for a in arrays(size, inputs, outputs, n)]
    found, expected = (
        [backend64.to_host(a) for a in run(way, host, padding=padding)] for way in ("winograd", "direct")
    )
    assert_close(found, expected, tolerance=1e-9)


LARGE = {
    "one example": ((41, 42), 32, 24, 1),
    "few channels": ((64, 50), 3, 2, 4),
    "one channel": ((30, 31), 1, 1, 6),
    "many channels": ((14, 13), 256, 192, 2),
    "many channels, one tile": ((4, 4), 512, 256, 3),
    "one pixel": ((1, 1), 300, 200, 40),
    "a row": ((1, 99), 40, 30, 3),
    "as in vgg_small": ((32, 32), 64, 64, 4),
}
EACH_LARGE = pytest.mark.parametrize("case", LARGE.values(), ids=LARGE)


@EACH_LARGE
@pytest.mark.parametrize("loops", [False, True], ids=["plain", "compiled"])
def test_in_float32_winograd_is_near_the_float64_result(case, loops):
    compiled_loops(loops)
    size, inputs, outputs, n = case
    exact = run("direct", arrays(size, inputs, outputs, n), padding=1)
    found = run("winograd", arrays(size, inputs, outputs, n, dtype=np.float32), padding=1)
    assert all(a.dtype == np.float32 for a in found)
    assert_close(found, exact, tolerance=3e-5)


@EACH_LARGE
@pytest.mark.parametrize("way", ["winograd", "auto"])
def test_in_float64_large_arrays_are_the_direct_ones(case, way):
    size, inputs, outputs, n = case
    host = arrays(size, inputs, outputs, n)
    assert_close(run(way, host, padding=1), run("direct", host, padding=1), tolerance=1e-9)


def test_numbers_far_from_one_lose_no_digits():
    x, weight, bias = arrays((21, 22), 16, 16, dtype=np.float32)
    host = 1e4 + 1e3 * x, 1e-3 * weight, bias
    exact = run("direct", [a.astype(np.float64) for a in host], padding=1)
    assert_close(run("winograd", host, padding=1), exact, tolerance=3e-5)


def test_winograd_is_taken_where_it_was_asked_for():
    host = arrays((16, 16), 16, 16, dtype=np.float32)
    assert not any(same_bits(run("winograd", host, padding=1)[:3], run("direct", host, padding=1)[:3]))


ELSEWHERE = {
    "a stride": ((12, 12), (3, 3), {"stride": 2}),
    "a stride on one axis": ((12, 12), (3, 3), {"stride": (1, 2)}),
    "a dilation": ((12, 12), (3, 3), {"dilation": 2}),
    "another kernel": ((12, 12), (5, 5), {}),
    "an uneven kernel": ((12, 12), (3, 1), {}),
    "a point": ((12, 12), (1, 1), {}),
    "a sequence": ((40,), (3,), {}),
    "a volume": ((6, 6, 6), (3, 3, 3), {}),
}


@pytest.mark.parametrize(("size", "kernel", "options"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_elsewhere_winograd_is_the_direct_way(size, kernel, options):
    host = arrays(size, 8, 8, kernel=kernel, dtype=np.float32)
    assert all(same_bits(run("winograd", host, **options), run("direct", host, **options)))


def test_groups_are_computed_directly():
    x, _, bias = arrays((12, 12), 8, 8, dtype=np.float32)
    host = x, arrays((12, 12), 4, 8, dtype=np.float32)[1], bias
    assert all(same_bits(*(run(way, host, groups=2) for way in ("winograd", "direct"))))


@pytest.mark.parametrize("way", ["auto", "direct", "winograd"])
def test_every_way_gives_the_same_bits_from_run_to_run(way):
    host = arrays((33, 34), 24, 32, 4, dtype=np.float32)
    assert all(same_bits(run(way, host, padding=1), run(way, host, padding=1)))


@pytest.mark.parametrize("way", ["auto", "direct", "winograd"])
def test_several_callers_at_once_get_what_one_gets(way):
    host = arrays((33, 34), 24, 32, 4, dtype=np.float32)
    expected = run(way, host, padding=1)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: run(way, host, padding=1), range(6)):
            assert_close(found, expected, tolerance=1e-5)


def test_places_take_winograds_gradients_too():
    host = arrays((16, 16), 8, 8, dtype=np.float32)
    with xpnet.use_convolution("winograd"):
        y, pullback = F.conv(*host)
        places = np.full((3, 3, 8, 8), 7.0, np.float32), np.full(8, 7.0, np.float32)
        dx, *found = pullback(y, input_gradient=False, out=places)
        assert dx is None
        for got, place, expected in zip(found, places, pullback(y)[1:], strict=True):
            assert got is place
            np.testing.assert_array_equal(place, expected)


def test_the_way_is_automatic_until_it_is_set():
    assert xpnet.get_convolution() == "auto"
    xpnet.set_convolution("direct")
    assert xpnet.get_convolution() == "direct"


def test_a_block_sets_the_way_and_restores_it_also_after_an_error():
    def fails():
        with xpnet.use_convolution("winograd"):
            raise ZeroDivisionError

    with xpnet.use_convolution("direct"):
        with pytest.raises(ZeroDivisionError):
            fails()
        assert xpnet.get_convolution() == "direct"
    assert xpnet.get_convolution() == "auto"


def found_in_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(xpnet.get_convolution()))
    thread.start()
    thread.join()
    return found[0]


def test_a_block_counts_in_its_thread_and_a_setting_for_the_process():
    with xpnet.use_convolution("winograd"):
        assert found_in_a_thread() == "auto"
    xpnet.set_convolution("direct")
    assert found_in_a_thread() == "direct"


@pytest.mark.parametrize("name", ["fft", "Winograd", "", None, 3])
def test_an_unknown_way_is_refused_and_changes_nothing(name):
    for call in (xpnet.set_convolution, lambda name: xpnet.use_convolution(name).__enter__()):
        with pytest.raises(ValueError, match=rf"expected one of 'auto', 'direct', 'winograd', 'cudnn', got {name!r}$"):
            call(name)
    assert xpnet.get_convolution() == "auto"
