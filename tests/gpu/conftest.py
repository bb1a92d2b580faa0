"""Checks that need a GPU: collected only where CuPy has one, so that nothing is skipped elsewhere.

XPNET_GPU_REHEARSAL=numpy lets them run on a CPU backend instead, with fewer steps and with a capture that records
nothing: it shows that the checks themselves run (tests/bench/test_gpu_checks.py).
"""

import os
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import xpnet
from xpnet.backend import available_backends, open_backend, use_backend
from xpnet.losses import softmax_cross_entropy
from xpnet.training import train_step

REHEARSAL = os.environ.get("XPNET_GPU_REHEARSAL")
NAME = REHEARSAL or "cupy"

collect_ignore_glob = [] if NAME in available_backends() else ["test_*.py"]


def has_nccl():
    try:
        return bool(open_backend("cupy").nccl_identity())
    except (ImportError, RuntimeError):
        return False


collect_ignore = [
    *([] if find_spec("cudnn") or REHEARSAL else ["test_cudnn.py"]),
    *([] if NAME != "cupy" or NAME not in available_backends() or has_nccl() else ["test_nccl.py"]),
]


def pytest_itemcollected(item):
    if REHEARSAL and item.get_closest_marker("needs_gpu"):
        item.add_marker(pytest.mark.skip(reason="cannot be rehearsed on a CPU"))


@pytest.fixture
def device():
    """The GPU's backend, in float32."""
    with use_backend(NAME) as backend:
        yield backend


@pytest.fixture
def device64():
    """The GPU's backend, in float64."""
    with use_backend(NAME, dtype="float64") as backend:
        yield backend


@pytest.fixture
def many():
    """`many(n)` is n, and a few in a rehearsal."""
    return (lambda n: min(n, 3)) if REHEARSAL else (lambda n: n)


class Rehearsed:
    """Stands in for a captured step where nothing can be recorded."""

    def __init__(self, step):
        self.step, self.calls, self.why_not = step, 0, None

    def __call__(self, *arguments):
        self.calls += 1
        return self.step(*arguments)

    @property
    def graphs(self):
        return int(self.calls > 2)

    @property
    def replays(self):
        return max(0, self.calls - 2)


@pytest.fixture
def capture():
    """xpnet's capture."""
    return Rehearsed if REHEARSAL else xpnet.capture


@pytest.fixture
def rehearse():
    """`rehearse(backend)(step)` runs eagerly, from the second call on with the kernels and the handle of a recording.

    So do the calls of a captured step: its first one is eager too.
    """

    def on(backend):
        def through(step):
            recorder = backend.recorder()
            calls = iter([step])

            def run(*arguments):
                first = next(calls, None)
                return first(*arguments) if first or recorder is None else recorder.rehearse(step, *arguments)

            return run if recorder else step

        return through

    return on


class Training:
    """A model in training on fixed batches: `run(n)` takes steps through whatever `through(step)` makes of a step."""

    def __init__(self, backend, model, pairs, through=lambda step: step, rate=1e-3, penalty=None, **options):
        self.backend, self.model, self.pairs = backend, model, pairs
        self.optimizer = xpnet.optimizers.Adam(model, rate, **options)

        def step(x, t):
            return train_step(model, x, t, loss=softmax_cross_entropy, optimizer=self.optimizer, penalty=penalty)[0]

        self.step = through(step)

    def run(self, steps):
        for i in range(steps):
            self.step(*self.pairs[i % len(self.pairs)])
        return self.state()

    def state(self):
        """All parameters and running statistics, on the host."""
        return {path: self.backend.to_host(values) for path, values in self.model.state().items()}


@pytest.fixture
def training():
    """`training(backend, model, pairs, …)`: see `Training`."""
    return Training


@pytest.fixture
def images():
    """`images(backend, shape, batches)`: pairs of random images and labels, ten classes; in a rehearsal few of them."""

    def make(backend, shape, batches=4):
        random = np.random.default_rng(7)
        shape = (min(shape[0], 16) if len(shape) == 2 else 2, *shape[1:]) if REHEARSAL else shape
        return [
            (backend.asarray(random.random(shape, dtype=np.float32)), backend.asarray(random.integers(0, 10, shape[0])))
            for _ in range(batches)
        ]

    return make


@pytest.fixture
def agree():
    """`agree(one, other, tolerance)`: of each array, the norm of the difference is within a part of the norm."""

    def check(one, other, tolerance=0.0):
        assert one.keys() == other.keys()
        for path, values in one.items():
            apart = float(np.linalg.norm(np.asarray(values, np.float64) - other[path]))
            assert apart <= tolerance * float(np.linalg.norm(values)), f"{path}: {apart:g}"

    return check


@pytest.fixture(scope="session")
def fused_bodies():
    """tests/dryrun/check_fused_bodies.py: the bodies and arguments that the dry run checks too."""
    path = Path(__file__).parents[1] / "dryrun" / "check_fused_bodies.py"
    spec = spec_from_file_location("check_fused_bodies", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
