"""What all tests share: one body runs over every backend that is present."""

import os
from collections.abc import Iterator

import matplotlib
import pytest

import xpnet
from xpnet.backend import Backend, available_backends, compiled_loops, known_backends, use_backend

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With XPNET_NO_SKIPS=1, as in CI, a test that is skipped has failed: an oracle was missing."""
    report = yield
    if os.environ.get("XPNET_NO_SKIPS") == "1" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which XPNET_NO_SKIPS=1 forbids: {report.longrepr}"
    return report


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
