import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from xpnet.distributed._communicator import Communicator

_MARK = "on_all_ranks"
"""The attribute of an exception that all ranks raise at the same place."""


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
            setattr(error, _MARK, True)
        if communicator.size == 1 or getattr(error, _MARK, False):
            raise
        communicator.abort(told(error))


def end_together_at_last(communicator: Communicator) -> None:
    """From now on, an error that nobody catches ends all ranks; one that all raise alike is shown once, by rank 0."""
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not getattr(error, _MARK, False):
            communicator.abort(told(error))
        if communicator.rank == 0:
            before(kind, error, trace)

    sys.excepthook = hook


def told(error: BaseException) -> str:
    """The error in one line, and its traceback."""
    last = traceback.format_exception_only(error)[-1].strip()
    return f"{last}\n{''.join(traceback.format_exception(error)).rstrip()}"
