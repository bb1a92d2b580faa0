"""What all tests share: one body runs over every backend that is present."""

import contextlib
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import xpnet
from xpnet.backend import (
    Backend,
    BackendUnavailableError,
    available_backends,
    compiled_loops,
    get_backend,
    known_backends,
    use_backend,
)

with contextlib.suppress(ImportError):  # a GPU machine may be without
    import matplotlib

    matplotlib.use("Agg")

CHOSEN = os.environ.get("XPNET_BACKENDS")
"""Names of backends to test on, all of which must be present; by default all that are, with these two among them."""
MANDATORY = set(CHOSEN.split(",")) if CHOSEN else {"numpy", "array_api_strict"}
BACKENDS = [name for name in known_backends() if name in (MANDATORY if CHOSEN else available_backends())]


def pytest_configure(config: pytest.Config) -> None:
    missing = MANDATORY - set(available_backends())
    if missing:
        raise pytest.UsageError(
            f"the tests need these backends, which are not usable here: {', '.join(sorted(missing))}"
        )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Marks what runs over the backends, so that `-m backend` leaves out what would not differ on another."""
    if {"backend", "backend64"} & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.backend)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With XPNET_NO_SKIPS=1, as in CI, a test that is skipped has failed: an oracle was missing.

    Where backends were chosen, a test that meets array_api_strict beside them is skipped if that is not there.
    """
    report = yield
    if call.excinfo is not None and CHOSEN and _without_strict(call.excinfo.value):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, "Skipped: there is no array_api_strict")
    if os.environ.get("XPNET_NO_SKIPS") == "1" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which XPNET_NO_SKIPS=1 forbids: {report.longrepr}"
    return report


def _without_strict(error: BaseException) -> bool:
    if isinstance(error, ModuleNotFoundError):
        return error.name == "array_api_strict"
    return isinstance(error, BackendUnavailableError) and "'array_api_strict' needs" in str(error)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    if os.environ.get("XPNET_NO_SKIPS") == "1" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped, which XPNET_NO_SKIPS=1 forbids: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _fresh_defaults() -> Iterator[None]:
    """Each test starts from seed 0, NumPy and compiled loops as installed, and leaves them so."""
    loops = compiled_loops()
    xpnet.seed(0)
    xpnet.set_backend("numpy")
    yield
    xpnet.set_backend("numpy")
    compiled_loops(loops)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend in turn, in float32, as the current one."""
    with use_backend(request.param) as chosen:
        yield chosen


@pytest.fixture(params=BACKENDS)
def backend64(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend in turn, in float64, as the current one: for gradient checks and oracles."""
    with use_backend(request.param, dtype="float64") as chosen:
        yield chosen


def check_directions(function: Callable[..., Any], arrays: tuple[Any, ...], constants: tuple[Any, ...] = ()) -> None:
    """Fails unless a pullback agrees with central differences along random directions, in float64.

    dy · (f(a + h v) - f(a - h v)) / 2h = g · v    for each array a, its gradient g and three directions v
    """
    backend, random, h = get_backend(), np.random.default_rng(271828), 1e-6

    def direction(like: Any) -> Any:
        return backend.asarray(np.asarray(random.standard_normal(tuple(like.shape))))

    def dot(a: Any, b: Any) -> float:
        return float(backend.xp.sum(a * b))

    value, pullback = function(*arrays, *constants)
    dy = direction(value)
    gradients = pullback(dy)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    assert [gradient.shape for gradient in gradients] == [array.shape for array in arrays]
    for i, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
        for _ in range(3):
            v = direction(array)
            ahead, behind = (function(*arrays[:i], array + s * v, *arrays[i + 1 :], *constants)[0] for s in (h, -h))
            assert dot(gradient, v) == pytest.approx(dot(dy, ahead - behind) / (2 * h), rel=1e-6, abs=1e-8)


@pytest.fixture
def assert_gradients() -> Callable[..., None]:
    """`assert_gradients(function, arrays, constants)`: the one gradient checker of all tests."""
    return check_directions


def measured(load: Callable[[], Any]) -> tuple[Any, int, float]:
    """What a loader returns or the ValueError it raises, the most bytes it took, and its seconds of processor time.

    It runs twice, as watching the memory takes several times as long as what is watched.
    """

    def once() -> Any:
        try:
            return load()
        except ValueError as error:
            return error

    began = time.process_time()
    once()
    seconds = time.process_time() - began
    tracemalloc.start()
    try:
        found = once()
        return found, tracemalloc.get_traced_memory()[1], seconds
    finally:
        tracemalloc.stop()


@pytest.fixture
def measure() -> Callable[[Callable[[], Any]], tuple[Any, int, float]]:
    """`found, peak, seconds = measure(load)`: what reading a hostile file costs."""
    return measured
