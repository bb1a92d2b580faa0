from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_END: Any = object()


def in_background(items: Iterator[_Item], ahead: int) -> Iterator[_Item]:
    """The same items in the same order, made by one thread while those before them are used.

    An error comes in its item's place. The thread sees the context, such as the backend, in which the first item was
    asked for; it ends with the items, or when they are given up.

    Parameters
    ----------
    items : made one after the other.
    ahead : how many may be ready that nobody has asked for.

    Examples
    --------
    >>> list(in_background(iter("abc"), 2))
    ['a', 'b', 'c']
    """
    context, coming = copy_context(), deque[Future[_Item]]()
    thread = ThreadPoolExecutor(1, "xpnet data")

    def make() -> _Item:
        return next(items, _END)

    try:
        while True:
            while len(coming) <= ahead:
                coming.append(thread.submit(context.run, make))
            item = coming.popleft().result()
            if item is _END:
                return
            yield item
            del item  # it need not stay while the next one is waited for
    finally:
        thread.shutdown(cancel_futures=True)
