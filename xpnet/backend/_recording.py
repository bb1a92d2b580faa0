"""What a step does on the host while a device records it: such things are done again before each replay."""

import contextlib
from collections.abc import Callable, Hashable, Iterator
from contextvars import ContextVar
from typing import Any, final

_current: ContextVar["Recording | None"] = ContextVar("xpnet_recording", default=None)
_watched: ContextVar[bool] = ContextVar("xpnet_watched", default=False)


@final
class Recording:
    """The host's part of a step that a device has recorded.

    Attributes
    ----------
    actions : what the host does before each replay, in order.
    conditions : functions and what they returned while the step was recorded: a replay is the same step only while
        they return the same.
    replays : how often the recording was launched.
    found, left : attributes that the step goes by and changes: owner, name, and the value before and after it. A
        replay needs the former and leaves the latter.
    """

    def __init__(self) -> None:
        self.actions: list[Callable[[], None]] = []
        self.conditions: list[tuple[Callable[[], Hashable], Hashable]] = []
        self.found: dict[tuple[int, str], tuple[object, str, Any]] = {}
        self.replays = 0
        self.left: list[tuple[object, str, Any]] = []

    def holds(self) -> bool:
        """Whether a replay is still the step that was recorded."""
        return all(read() == then for read, then in self.conditions)

    def fits(self) -> bool:
        """Whether the host's state is what the step began with."""
        return all(getattr(owner, name) == before for owner, name, before in self.found.values())

    def act(self) -> None:
        """Does the host's part of one step."""
        for action in self.actions:
            action()

    def leave(self) -> None:
        """Leaves the host's state as the step does."""
        for owner, name, after in self.left:
            setattr(owner, name, after)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Inside, the step runs to be recorded; an error puts the host's state back."""
        token = _current.set(self)
        try:
            yield
        except BaseException:
            for owner, name, before in self.found.values():
                setattr(owner, name, before)
            raise
        else:
            now = [(owner, name, before, getattr(owner, name)) for owner, name, before in self.found.values()]
            self.left = [(owner, name, after) for owner, name, before, after in now if after != before]
        finally:
            _current.reset(token)


def recording() -> Recording | None:
    """The recording that runs in this thread or task, or None."""
    return _current.get()


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Inside, captured functions run as they are: someone is to be told of each operation."""
    token = _watched.set(True)
    try:
        yield
    finally:
        _watched.reset(token)


def runs_as_it_is() -> bool:
    """Whether a captured function runs as it is here and now: as a part of a recording, or watched."""
    return _current.get() is not None or _watched.get()


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


def goes_by(owner: object, name: str) -> None:
    """Tells a recording that the step goes by an attribute of the host's, and may change it; said before it does."""
    current = _current.get()
    if current is not None:
        current.found.setdefault((id(owner), name), (owner, name, getattr(owner, name)))
