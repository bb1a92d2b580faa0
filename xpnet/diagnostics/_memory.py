"""What functions remember from call to call, such as an optimizer's velocity: to be put back before each run."""

import functools
import inspect
from collections.abc import Callable
from types import CellType, ModuleType
from typing import Any, final

from xpnet.diagnostics._trial_arrays import Snapshot


@final
class Memory:
    """The variables that functions close over, and the objects whose methods they are, with the objects in these.

    Parameters
    ----------
    functions : and all that they call through such variables; None is passed over.
    """

    def __init__(self, *functions: Callable[..., Any] | None) -> None:
        self._cells: list[tuple[CellType, Any]] = []
        values: list[Any] = []
        seen: set[int] = set()
        waiting: list[Any] = [function for function in functions if function is not None]
        while waiting:
            function = waiting.pop()
            if id(function) in seen:
                continue
            seen.add(id(function))
            if isinstance(function, functools.partial):
                waiting.append(function.func)
                values += [*function.args, *function.keywords.values()]
            elif inspect.ismethod(function):
                waiting.append(function.__func__)
                values.append(function.__self__)
            for cell in getattr(function, "__closure__", None) or ():
                try:
                    content = cell.cell_contents
                except ValueError:  # a variable that has no value yet
                    continue
                self._cells.append((cell, content))
                (waiting if inspect.isroutine(content) else values).append(content)
        self._values = Snapshot(*_with_parts(values))

    def restore(self) -> None:
        """Everything as it was when this object was made."""
        for cell, content in self._cells:
            cell.cell_contents = content
        self._values.restore()


def _with_parts(values: list[Any]) -> list[Any]:
    """These values, and the objects that stand in their attributes."""
    found: list[Any] = []
    seen: set[int] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, (type, ModuleType)) or inspect.isroutine(value):
            continue
        seen.add(id(value))
        found.append(value)
        if isinstance(getattr(value, "__dict__", None), dict):
            waiting += [each for each in vars(value).values() if hasattr(each, "__dict__")]
    return found
