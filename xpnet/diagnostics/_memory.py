"""What functions remember from call to call, such as an optimizer's velocity: to be put back before each run."""

import functools
import inspect
from collections.abc import Callable
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, final

from xpnet.diagnostics._trial_arrays import Snapshot


@final
class Memory:
    """The variables that functions close over or name in their module, their defaults, and the objects they belong to.

    Parameters
    ----------
    functions : and all that they call through such variables; None is passed over.
    """

    def __init__(self, *functions: Callable[..., Any] | None) -> None:
        self._cells: list[tuple[CellType, Any]] = []
        self._globals: list[tuple[dict[str, Any], str, Any]] = []
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
            elif not inspect.isroutine(function) and not isinstance(function, type):  # an object that can be called
                waiting.append(type(function).__call__)
                values.append(function)
            elif inspect.isfunction(function):
                values += [function.__defaults__, function.__kwdefaults__, vars(function)]
                for name, value in _named(function):
                    self._globals.append((function.__globals__, name, value))
                    (waiting if _beside(value, function) else values).append(value)
            for cell in getattr(function, "__closure__", None) or ():
                try:
                    content = cell.cell_contents
                except ValueError:  # a variable that has no value yet
                    continue
                self._cells.append((cell, content))
                (waiting if inspect.isroutine(content) else values).append(content)
            if not waiting:
                waiting += [each for each in _with_parts(values) if _remembers(each) and id(each) not in seen]
        self._values = Snapshot(*(each for each in _with_parts(values) if not inspect.isroutine(each)))

    def restore(self) -> None:
        """Everything as it was when this object was made."""
        for cell, content in self._cells:
            cell.cell_contents = content
        for variables, name, value in self._globals:
            variables[name] = value
        self._values.restore()


def _remembers(value: Any) -> bool:
    """Whether a value is a function that closes over variables, or a method."""
    return inspect.ismethod(value) or (inspect.isfunction(value) and value.__closure__ is not None)


def _named(function: FunctionType) -> list[tuple[str, Any]]:
    """The variables of its module that a function, or one inside it, names: no modules, classes or imported functions.

    Modules are left alone, since what stands in a library is not the user's.
    """
    names: set[str] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]
    found = [(name, function.__globals__[name]) for name in sorted(names) if name in function.__globals__]
    return [
        (name, value)
        for name, value in found
        if not isinstance(value, (type, ModuleType)) and (not inspect.isroutine(value) or _beside(value, function))
    ]


def _beside(value: Any, function: FunctionType) -> bool:
    """Whether a value is a function of the same module."""
    return getattr(value, "__globals__", None) is function.__globals__


def _with_parts(values: list[Any]) -> list[Any]:
    """These values, and the objects and functions that stand in their attributes, dicts and lists."""
    found: list[Any] = []
    seen: set[int] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, (type, ModuleType)) or inspect.isbuiltin(value):
            continue
        seen.add(id(value))
        found.append(value)
        if isinstance(value, dict):
            waiting += [each for each in value.values() if hasattr(each, "__dict__")]
        elif isinstance(value, (list, tuple)):
            waiting += [each for each in value if isinstance(value, tuple) or hasattr(each, "__dict__")]
        elif isinstance(getattr(value, "__dict__", None), dict) and not inspect.isroutine(value):
            waiting += [each for each in vars(value).values() if hasattr(each, "__dict__") or type(each) is dict]
    return found
