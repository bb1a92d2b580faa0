import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar, final

_Item = TypeVar("_Item")
_CAUGHT = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit):
    """A run was asked to end by a signal, and has saved a checkpoint; uncaught, it ends the program.

    The exit status is 128 and the signal's number, as shells have it: 130 for SIGINT, 143 for SIGTERM.

    Attributes
    ----------
    signal : `"SIGINT"` or `"SIGTERM"`.
    message : where the run was, and where its checkpoint is.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(128 + number)
        self.signal, self.message = signal.Signals(number).name, message

    def __str__(self) -> str:
        return self.message


class SignalInEvaluation(Exception):
    """A signal came while a model was evaluated.

    Attributes
    ----------
    signal : its number.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


@final
class Signals:
    """SIGINT and SIGTERM while a run lasts: the first is noted, a second one ends the process at once.

    Parameters
    ----------
    told : whether the first is answered with a line on standard error.

    Attributes
    ----------
    received : the number of the signal that came, or None.
    """

    received: int | None = None
    _held: tuple[signal.Signals, ...] = ()

    def __init__(self, *, told: bool = True) -> None:
        self._told = told

    @contextmanager
    def caught(self, wanted: bool) -> Iterator["Signals"]:
        """Inside, signals are noted, if that is wanted; and if this is the main thread, which alone can do so.

        A signal that the process ignores, as under `nohup`, stays ignored. One that comes when the run has no step left
        is passed on at the end of the block.
        """
        if not wanted or threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in _CAUGHT}
        before = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
        self._held = tuple(before)
        try:
            for number in before:
                signal.signal(number, self._note)
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.received is not None:
            signal.raise_signal(self.received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        for each in self._held:
            signal.signal(each, signal.SIG_DFL)
        if self._told:
            name = signal.Signals(number).name
            os.write(2, f"fit: {name}: ends this step and saves; a second one ends the process at once\n".encode())

    def between(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """The same items, until a signal comes.

        Raises
        ------
        SignalInEvaluation : it has come.
        """
        for item in items:
            if self.received is not None:
                raise SignalInEvaluation(self.received)
            yield item
