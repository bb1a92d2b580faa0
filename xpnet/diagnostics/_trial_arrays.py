"""A user's arrays, of any library: read on the host, copied in float64, and put back bit for bit."""

import copy
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

import numpy as np

from xpnet._typing import Array
from xpnet.backend import HostArray, find_backend, open_backend


def is_array(value: Any) -> bool:
    """Whether this is an array of a library that is known here."""
    return hasattr(value, "shape") and hasattr(value, "dtype") and find_backend(type(value)) is not None


def on_host(value: Any) -> HostArray:
    """A copy of the values on the host, of their own type."""
    backend = find_backend(type(value))
    return np.array(value if backend is None else backend.to_host(value))


def type_of(value: Any) -> str:
    """The name of an array's type: `"float32"`."""
    return str(value.dtype).rpartition(".")[2]


def is_float(value: Any) -> bool:
    """Whether an array is of a floating-point type."""
    return "float" in type_of(value)


def like(values: HostArray, array: Array, dtype: str | None = None) -> Array:
    """A new array of `array`'s library, device and type (or `dtype`) with these values."""
    backend = find_backend(type(array))
    dtype = type_of(array) if dtype is None else dtype
    if backend is None or backend.name == "numpy":
        return np.array(values, dtype=dtype)
    made = open_backend(backend.name, device=backend.device_of(array), dtype="float64").asarray(values)
    made = backend.copy(backend.xp.astype(made, getattr(backend.xp, dtype)))
    if getattr(array, "requires_grad", False):
        made.requires_grad_(True)
    return made


def write(values: Array, array: Array) -> None:
    """Copies values of the same library and type into an array's own memory."""
    target = array.detach() if hasattr(array, "detach") else array
    target[...] = values


def duplicate(value: Any) -> Any:
    """A copy that shares no memory: of arrays, and of lists, tuples and dicts of them; anything else is itself."""
    if is_array(value):
        backend = find_backend(type(value))
        copied = copy.copy(value) if backend is None or backend.name == "numpy" else backend.copy(value)
        if getattr(value, "requires_grad", False):
            copied.requires_grad_(True)
        return copied
    if type(value) in (list, tuple):
        return type(value)(duplicate(each) for each in value)
    if type(value) is dict:
        return {key: duplicate(each) for key, each in value.items()}
    return value


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays have the same shape, type and bits."""
    one, two = on_host(a), on_host(b)
    return one.shape == two.shape and one.dtype == two.dtype and one.tobytes() == two.tobytes()


@final
class Snapshot:
    """How arrays, dicts and objects were, to be so again.

    Parameters
    ----------
    values : arrays, dicts, lists and tuples of them, or objects with arrays as attributes.
    """

    def __init__(self, *values: Any) -> None:
        self._arrays: list[tuple[Array, Array]] = []
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._lists: list[tuple[list[Any], list[Any]]] = []
        self._generators: list[tuple[Any, Any]] = []
        self._seen: set[int] = set()
        for value in values:
            self._take(value, attributes=True)

    def _take(self, value: Any, attributes: bool = False) -> None:
        if id(value) in self._seen:
            return
        if is_array(value):
            self._arrays.append((value, duplicate(value)))
        elif isinstance(value, dict):
            self._dicts.append((value, dict(value)))
        elif isinstance(value, list):
            self._lists.append((value, list(value)))
        elif isinstance(value, (np.random.Generator, np.random.RandomState)):
            self._generators.append((_bits(value), copy.deepcopy(_bits(value).state)))
        elif isinstance(value, random.Random):
            self._generators.append((value, value.getstate()))
        elif not isinstance(value, tuple):
            if attributes and isinstance(getattr(value, "__dict__", None), dict):
                self._take(vars(value))
            return
        self._seen.add(id(value))
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
        for each in inner:
            self._take(each)

    def restore(self) -> None:
        """Everything as it was: the same objects, with the same bits."""
        for items, before in self._dicts:
            if list(items) != list(before) or any(items[key] is not before[key] for key in before):
                items.clear()
                items.update(before)
        for items_, before_ in self._lists:
            items_[:] = before_
        for array, values in self._arrays:
            if not same_bits(array, values):
                write(values, array)
        for generator, state in self._generators:
            if isinstance(generator, random.Random):
                generator.setstate(state)
            else:
                generator.state = copy.deepcopy(state)


def _bits(generator: Any) -> Any:
    """What a generator of NumPy draws from."""
    return generator.bit_generator if isinstance(generator, np.random.Generator) else generator._bit_generator


@contextmanager
def kept(*values: Any) -> Iterator[None]:
    """Values, and the random states of NumPy, Python and the arrays' libraries, are afterwards as before."""
    snapshot = Snapshot(*values)
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002 - the state others draw from
    libraries = {id(xp): xp for array, _ in snapshot._arrays if (xp := _namespace(array)) is not None}
    states = [(xp, xp.get_rng_state()) for xp in libraries.values() if hasattr(xp, "get_rng_state")]
    try:
        yield
    finally:
        snapshot.restore()
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
        for xp, state in states:
            xp.set_rng_state(state)


def _namespace(array: Array) -> Any:
    backend = find_backend(type(array))
    return None if backend is None else backend.xp


_PREFIXES = ("d", "d_", "g", "g_", "grad_", "grad.", "grad", "delta_", "dL_d", "dL/d", "nabla_")
_SUFFIXES = ("_grad", ".grad", "_gradient", "_g", "_d")


def key_of(name: str, found: Mapping[Any, Any]) -> Any:
    """The key under which a parameter's gradient stands: its name, or that with a usual prefix or suffix, or None."""
    keys = (name, *(prefix + name for prefix in _PREFIXES), *(name + suffix for suffix in _SUFFIXES))
    return next((key for key in keys if found.get(key) is not None), None)


def items_of(parameters: Any) -> Mapping[str, Any]:
    """The entries of a dict, or the attributes of an object, by name.

    Raises
    ------
    TypeError : it is neither.
    """
    if isinstance(parameters, Mapping):
        return parameters
    attributes = getattr(parameters, "__dict__", None)
    if isinstance(attributes, dict) and not isinstance(parameters, type):
        return attributes
    raise TypeError(
        "parameters: expected a dict of arrays, or an object with arrays as attributes, "
        f"got {type(parameters).__name__}"
    )
