import pytest

from xpnet.backend import Recording, _registry, why_unavailable


def _cudnn_is_here():
    try:
        import cudnn

        return cudnn.backend_version() >= 90000
    except (ImportError, OSError, RuntimeError):
        return False


# No oracle that a CPU could install with ease: cuDNN has 700 MB. These run where it is, and on a GPU.
collect_ignore = [
    *([] if _cudnn_is_here() else ["test_cudnn_graphs.py"]),
    *([] if _cudnn_is_here() and why_unavailable("cupy") is None else ["test_cudnn_on_gpu.py"]),
]


@pytest.fixture
def registry(monkeypatch):
    """The table of backends as it is, and as it was afterwards; nothing counts as opened."""
    monkeypatch.setattr(_registry, "_entries", dict(_registry._entries))
    monkeypatch.setattr(_registry, "_opened", {})
    monkeypatch.setattr(_registry, "_by_type", {})
    return _registry


class StubRecorder:
    """A recorder for libraries that have none: it shows what a recording and its launches do, on any backend.

    Recording runs the step and puts every array back; a launch copies the arguments in and runs the step again, but
    not what the host does, which `Captured` has done before, and with the host's flags as they were at the recording.
    So a step that keeps to the rules comes out as it does on a GPU.
    """

    def __init__(self, backend, changed, flags):
        self.backend, self.changed, self.flags = backend, changed, flags
        self.rehearsals = self.recordings = 0

    def rehearse(self, step, *arguments):
        self.rehearsals += 1
        return step(*arguments)

    def record(self, step, *arguments):
        self.recordings += 1
        arrays = self.changed()
        before = [self.backend.copy(a) for a in arrays]
        inputs = [self.backend.copy(a) for a in arguments]
        flags = values_of(self.flags())
        try:
            outputs = step(*inputs)
        finally:
            for array, old in zip(arrays, before, strict=True):
                array[...] = old
        return StubGraph(step, inputs, outputs, flags, self.backend.copy)


def values_of(flags):
    return [(owner, name, getattr(owner, name)) for owner, name in flags]


def put(values):
    for value in values:
        setattr(*value)


class StubGraph:
    def __init__(self, step, inputs, outputs, flags, copy):
        self.step, self.inputs, self.outputs, self.flags, self.copy = step, inputs, outputs, flags, copy

    def launch(self, *arguments):
        arguments = [self.copy(a) for a in arguments]
        for place, values in zip(self.inputs, arguments, strict=True):
            place[...] = values
        now = values_of(value[:2] for value in self.flags)
        put(self.flags)
        with Recording().active():
            self.outputs = self.step(*self.inputs)
        put(now)


def arrays_of(model, optimizer):
    """All arrays that a training step changes."""
    store = optimizer.store
    state = [store.data, store.grad, store.step, optimizer._time, optimizer._rate, optimizer._healthy]
    return [*state, *optimizer._moments.values(), *(buffer.data for buffer in model.buffers().values())]


class Changed:
    """What the steps of a test change: models with their optimizers, and further arrays."""

    def __init__(self):
        self.pairs, self.others = [], []

    def arrays(self):
        return [*(array for pair in self.pairs for array in arrays_of(*pair)), *self.others]

    def flags(self):
        """What of the host's state decides what a step does: whether gradients are overwritten or added to."""
        return [(p, "stale") for _, optimizer in self.pairs for p in optimizer.store.parameters.values()]


@pytest.fixture
def changed(backend, monkeypatch):
    """Every backend can record: CuPy by itself, the others by a stub that has to be told what steps change."""
    found = Changed()
    if backend.name != "cupy":
        monkeypatch.setattr(type(backend), "recorder", lambda self: StubRecorder(self, found.arrays, found.flags))
    return found
