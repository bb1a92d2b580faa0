"""What a step does on the host while a device records it: such things are done again before each replay."""

import contextlib
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from typing import final

_current: ContextVar["Recording | None"] = ContextVar("xpnet_recording", default=None)


@final
class Recording:
    """The host's part of a step that a device has recorded.

    Attributes
    ----------
    actions : what the host does before each replay, in order.
    conditions : functions and what they returned while the step was recorded: a replay is the same step only while
        they return the same.
    undo : what puts the host's own state back if the recording fails.
    """

    def __init__(self) -> None:
        self.actions: list[Callable[[], None]] = []
        self.conditions: list[tuple[Callable[[], Hashable], Hashable]] = []
        self.undo: list[Callable[[], None]] = []

    def holds(self) -> bool:
        """Whether a replay is still the step that was recorded."""
        return all(read() == then for read, then in self.conditions)

    def act(self) -> None:
        """Does the host's part of one step."""
        for action in self.actions:
            action()

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Inside, the step runs to be recorded; an error puts the host's state back."""
        token = _current.set(self)
        try:
            yield
        except BaseException:
            for undo in reversed(self.undo):
                undo()
            raise
        finally:
            _current.reset(token)


def recording() -> Recording | None:
    """The recording that runs in this thread or task, or None."""
    return _current.get()


def on_host(action: Callable[[], None]) -> None:
    """Does something on the host: at once, or before each replay of the step that is being recorded.

    What a step changes beside its arrays goes through this, such as the learning rate of the next step.

    Examples
    --------
    >>> on_host(lambda: print("now"))
    now
    """
    current = _current.get()
    if current is None:
        action()
    else:
        current.actions.append(action)


def depends_on(read: Callable[[], Hashable]) -> None:
    """Tells a recording that the step holds a number of the host, which `read` returns: another asks for a new one."""
    current = _current.get()
    if current is not None:
        current.conditions.append((read, read()))
