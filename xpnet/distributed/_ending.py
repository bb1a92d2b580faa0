import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar, final

from xpnet.distributed._communicator import Communicator
from xpnet.distributed._launch import launched_size

_MARK = "on_all_ranks"
"""The attribute of an exception that all ranks raise at the same place."""

_Error = TypeVar("_Error", bound=BaseException)


def raised_alike(error: _Error) -> _Error:
    """Marks an error that all ranks raise at the same place: it may be caught, and is shown once.

    Examples
    --------
    >>> raise raised_alike(ValueError("on all ranks"))
    Traceback (most recent call last):
    ValueError: on all ranks
    """
    setattr(error, _MARK, True)
    return error


@contextmanager
def ending_together(communicator: Communicator, alike: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
    """Inside, what one rank raises ends all: the others would wait for it for ever.

    The rank's number, the error and its traceback go to standard error, and the launcher ends with status 1. Errors
    that all ranks raise at the same place are let through, to be caught as with one process.

    Parameters
    ----------
    communicator : the ranks; one alone raises as always.
    alike : what is raised on all ranks if on one, such as `NonFiniteError` by the global gradient. `DisagreementError`
        and `CommunicatorUnavailableError` are so by themselves.

    Examples
    --------
    >>> from xpnet.distributed import Single
    >>> with ending_together(Single()):
    ...     raise ValueError("alone")
    Traceback (most recent call last):
    ValueError: alone
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, alike):
            raised_alike(error)
        if communicator.size == 1 or getattr(error, _MARK, False):
            raise
        communicator.abort(told(error))


@final
class LastResort:
    """What is done with an error that nobody catches, in a process that was started with others.

    Once they are known, all are ended; before that this process ends by a signal, which launchers take for the end of
    all, where they let the others wait for one that has only failed. What all raise alike is shown once, by rank 0.
    """

    def __init__(self) -> None:
        self._before = sys.excepthook
        self.communicator: Communicator | None = None
        sys.excepthook = self

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Takes the place of `sys.excepthook`."""
        ranks, alike = self.communicator, getattr(error, _MARK, False)
        if ranks is not None and not alike:
            ranks.abort(told(error))
        if ranks is None or ranks.rank == 0:
            self._before(kind, error, trace)
        if ranks is None:
            sys.stdout.flush()
            sys.stderr.flush()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)


_last_resort = None if launched_size() == 1 else LastResort()


def end_together_at_last(communicator: Communicator) -> None:
    """From now on, an error that nobody catches ends all ranks."""
    resort = _last_resort or LastResort()
    resort.communicator = communicator


def told(error: BaseException) -> str:
    """What the error says, and its traceback."""
    kind, text = type(error).__name__, str(error)
    return f"{kind}{': ' if text else ''}{text}\n{''.join(traceback.format_exception(error)).rstrip()}"
