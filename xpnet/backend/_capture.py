import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, final

from xpnet._typing import Array
from xpnet.backend._choice import get_backend
from xpnet.backend._recording import Recording, runs_as_it_is
from xpnet.backend._registry import backend_of

Step = Callable[..., Any]

_MOST = 8
"""Shapes that one function is recorded for; each recording keeps the memory of a step."""
_ROOM = str(Path(__file__).parents[1])


class CaptureWarning(UserWarning):
    """A step could not be recorded and runs operation by operation instead."""


class Graph(Protocol):
    """A recorded step."""

    outputs: Any
    """What the step returned while it was recorded: arrays that each launch fills anew."""

    def launch(self, *arguments: Array) -> None:
        """Copies the arguments in and starts the step."""


class Recorder(Protocol):
    """What a device offers that can record a step."""

    def rehearse(self, step: Step, *arguments: Array) -> Any:
        """Runs the step under the conditions of a recording: all that is set up once is set up here."""

    def record(self, step: Step, *arguments: Array) -> Graph:
        """Records the step without running it."""


class CaptureUnavailableError(RuntimeError):
    """This device cannot record a step; the message says why."""


@final
class Captured:
    """A function that a device records and then starts as a whole; see `capture`.

    Attributes
    ----------
    step : the function.
    replays : how many calls were a launch of a recording.
    why_not : why calls run operation by operation, or None.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self.replays = 0
        self.why_not: str | None = None
        self._recorder: Recorder | None = None
        self._library = ""
        self._in_vain = 0
        self._calls: dict[Any, int] = {}
        self._graphs: dict[Any, list[tuple[Graph, Recording]]] = {}

    def __repr__(self) -> str:
        return f"Captured({self.step!r}, graphs={self.graphs}, replays={self.replays})"

    @property
    def graphs(self) -> int:
        """How many recordings there are: one for each tuple of shapes and types and state of the host before."""
        return sum(map(len, self._graphs.values()))

    def __call__(self, *arguments: Array) -> Any:
        """What `step(*arguments)` returns; of a recorded step, arrays that the next call overwrites."""
        if self.why_not is not None or runs_as_it_is():
            return self.step(*arguments)
        key = tuple((type(a), a.shape, a.dtype) for a in arguments if _is_array(a))
        if len(key) < len(arguments):
            other = next(type(value).__name__ for value in arguments if not _is_array(value))
            raise TypeError(f"capture: expected arrays, got {other}; a number would be recorded as it is")
        for graph, host in self._graphs.get(key, ()):
            if not host.holds():
                del self._graphs[key], self._calls[key]
                self._in_vain = self._in_vain + 1 if host.replays == 1 else 0
                break
            if host.fits():
                return self._replay(graph, host, arguments)
        return self._approach(key, arguments)

    def _replay(self, graph: Graph, host: Recording, arguments: tuple[Array, ...]) -> Any:
        host.act()
        graph.launch(*arguments)
        host.leave()
        host.replays += 1
        self.replays += 1
        return graph.outputs

    def _approach(self, key: Any, arguments: tuple[Array, ...]) -> Any:
        """The calls before a recording, all of which are real: one as it is, one as a rehearsal, one to be recorded."""
        backend = backend_of(*arguments) if arguments else get_backend()
        if self._recorder is None:
            self._library = backend.name
            try:
                self._recorder = backend.recorder()
            except CaptureUnavailableError as error:
                return self._without(str(error), arguments)
            if self._recorder is None:
                self.why_not = f"{backend.name} runs each operation when it is called"
                return self.step(*arguments)
        if backend.name != self._library:
            return self.step(*arguments)  # what is recorded is another library's
        calls = self._calls[key] = self._calls.get(key, 0) + 1
        if calls == 1:
            return self.step(*arguments)
        if calls == 2:
            return self._recorder.rehearse(self.step, *arguments)
        if self.graphs == _MOST:
            return self._without(
                f"more than {_MOST} shapes came, and each is recorded apart; make batches of one size (drop_last=True)",
                arguments,
            )
        if self._in_vain == _MOST:
            return self._without(
                f"{_MOST} recordings were launched once each, as what they hold (rates of dropout, decay, strength of "
                "penalties, …) was changed before the next call",
                arguments,
            )
        host = Recording()
        try:
            with host.active():
                graph = self._recorder.record(self.step, *arguments)
        except Exception as error:
            why = _reason(error)
        else:
            self._graphs.setdefault(key, []).append((graph, host))
            return self._replay(graph, host, arguments)
        return self._without(why, arguments)  # when the error has let go of what its frames held

    def _without(self, why: str, arguments: tuple[Array, ...]) -> Any:
        """From now on, operation by operation."""
        self.why_not = why
        self._graphs.clear()
        self._recorder = None
        warnings.warn(f"capture: the step runs operation by operation, because {why}", CaptureWarning, stacklevel=4)
        return self.step(*arguments)


def capture(step: Step) -> Captured:
    """Makes a function of arrays one launch on a device that can record it (CuPy: a CUDA graph).

    A step of a small network is dozens of operations of a few microseconds each, and starting them from Python takes
    longer than the device needs for them. Recorded once, they are started together.

    Of each tuple of shapes and types, the first call runs as it is, the second as a rehearsal (on a stream and in a
    memory pool of its own), the third is recorded and launched; from then on a call copies its arguments in and
    launches. All calls count: nothing is run twice, and nothing has to be put back. On libraries that run each
    operation when it is called (NumPy, PyTorch), `capture(step)` does what `step` does.

    A step that is recorded changes arrays in place and looks at none of them: `float(loss)`, `if`, and lists or NumPy
    arrays that have to be uploaded cannot be recorded. Python numbers are recorded as they are, except for those that
    xpnet watches: learning rates and their schedules, and the settings of optimizers, penalties and layers. Where a
    step cannot be recorded, a `CaptureWarning` says once why and names the line, and it runs as it is.

    Parameters
    ----------
    step : a function of arrays that may change models and optimizers.

    Returns
    -------
    A `Captured`, called as `step` is. What it returns is overwritten by its next call.

    Raises
    ------
    TypeError : `step` is no function; in a call, an argument that is no array.

    Examples
    --------
    >>> import numpy as np
    >>> import xpnet
    >>> model = xpnet.models.mlp([2, 3])
    >>> optimizer = xpnet.optimizers.SGD(model, 0.1)
    >>> def step(x, t):
    ...     y, pullback = model.forward(x)
    ...     loss, dloss = xpnet.losses.softmax_cross_entropy(y, t)
    ...     pullback(dloss())
    ...     optimizer.step(loss)
    ...     return loss
    >>> captured = capture(step)
    >>> x, t = np.ones((4, 2), np.float32), np.zeros(4, np.int64)
    >>> losses = [float(captured(x, t)) for _ in range(5)]
    >>> losses[-1] < losses[0]
    True
    """
    if not callable(step):
        raise TypeError(f"capture: expected a function of arrays, got {step!r}")
    return Captured(step)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _reason(error: Exception) -> str:
    """What went wrong, and in which line of the step: the last that is neither xpnet's nor the array library's."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _of_a_library(f.filename)]
    what = f"{type(error).__name__}: {error}".partition("\n")[0]
    if not frames:
        return f"it cannot be recorded ({what})"
    last = frames[-1]
    return f"{last.filename}, line {last.lineno}, `{last.line}`, cannot be recorded ({what})"


def _of_a_library(file: str) -> bool:
    return file.startswith((_ROOM, sys.prefix)) or "site-packages" in file or file.endswith((".pyx", ".pxi", ".pxd"))
