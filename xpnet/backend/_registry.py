"""Which array libraries there are, which one makes new arrays, and which one an array belongs to."""

import contextlib
import difflib
import importlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from xpnet._typing import Array
from xpnet.backend._backend import Backend


class BackendUnavailableError(RuntimeError):
    """A known backend cannot be used on this machine; the message says why and what mends it."""


@dataclass(frozen=True)
class _Entry:
    name: str
    namespace: str
    library: str
    kind: type[Backend]
    install: str


_entries: dict[str, _Entry] = {}
_opened: dict[tuple[str, str, str], Backend] = {}
_by_type: dict[type, Backend | None] = {}
_default: Backend | None = None
_override: ContextVar[Backend | None] = ContextVar("xpnet_backend", default=None)


def register_backend(
    name: str,
    namespace: str,
    *,
    library: str | None = None,
    kind: type[Backend] = Backend,
    install: str | None = None,
) -> None:
    """Makes an array library known under a name, for `set_backend` and for arrays that meet xpnet's functions.

    Parameters
    ----------
    name : the name for `set_backend`.
    namespace : import path of the library's Array API namespace, such as `"array_api_compat.torch"`.
    library : the package that its array type comes from; the first part of `namespace` if not given.
    kind : a subclass of `Backend` with faster seams.
    install : the line that installs the library, for the error when it is missing.

    Raises
    ------
    ValueError : the name is taken by another library.

    Examples
    --------
    >>> register_backend("array_api_strict", "array_api_strict")
    >>> "array_api_strict" in available_backends()
    True
    """
    library = library or namespace.partition(".")[0]
    entry = _Entry(name, namespace, library, kind, install or f"pip install {library.replace('_', '-')}")
    known = _entries.get(name)
    if known is not None and known.library != library:
        raise ValueError(f"register_backend: {name!r} already stands for {known.library}, not {library}")
    if known is None:
        _entries[name] = entry
        _by_type.clear()


def known_backends() -> tuple[str, ...]:
    """The names of all registered backends, usable here or not."""
    return tuple(_entries)


def available_backends() -> tuple[str, ...]:
    """The names of the backends that can be used on this machine, now.

    Examples
    --------
    >>> "numpy" in available_backends()
    True
    """
    return tuple(name for name in _entries if why_unavailable(name) is None)


def why_unavailable(name: str) -> str | None:
    """Why a known backend cannot be used here, or None if it can."""
    try:
        open_backend(name)
    except BackendUnavailableError as error:
        return str(error)
    return None


def open_backend(name: str, *, device: Any = None, dtype: str = "float32") -> Backend:
    """The backend of that name, device and type; the same object for the same three.

    Raises
    ------
    ValueError : an unknown name, device or type.
    BackendUnavailableError : the library is not installed, or finds no usable device.
    """
    key = (name, str(device), dtype)
    found = _opened.get(key)
    if found is None:
        entry = _entry(name)
        found = entry.kind(name, _import(entry), device=device, dtype=dtype)
        _check_writable(found)
        _opened[key] = found
    return found


def _entry(name: str) -> _Entry:
    if name in _entries:
        return _entries[name]
    close = difflib.get_close_matches(str(name), _entries, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "; others can be added with register_backend"
    raise ValueError(f"unknown backend {name!r}: known are {', '.join(map(repr, _entries))}{hint}")


def _import(entry: _Entry) -> Any:
    try:
        return importlib.import_module(entry.namespace)
    except ImportError as error:
        raise BackendUnavailableError(
            f"backend {entry.name!r} needs {entry.library}, which cannot be imported ({error}): {entry.install}"
        ) from error


def _check_writable(backend: Backend) -> None:
    """xpnet keeps all parameters in one array and works on views of it, so views have to be writable."""
    flat = backend.zeros(2)
    try:
        view = backend.xp.reshape(flat[:1], (1, 1))
        view += 1.0
    except (TypeError, ValueError, RuntimeError) as error:
        raise _not_writable(backend) from error
    if backend.readable(flat) and float(flat[0]) != 1.0:
        raise _not_writable(backend)


def _not_writable(backend: Backend) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"backend {backend.name!r}: its arrays cannot be written in place through a view, which xpnet's optimizers need"
    )


def set_backend(name: str, *, device: Any = None, dtype: str = "float32") -> Backend:
    """Chooses where new arrays (parameters, batches) are made, for the whole process.

    Functions never ask for it: they run wherever their arguments live.

    Parameters
    ----------
    name : `"numpy"`, `"cupy"`, `"torch"`, `"array_api_strict"`, or a name given to `register_backend`.
    device : the library's own name for a device (CuPy: a number; PyTorch: `"cuda:1"`); None is its default.
    dtype : `"float32"` or, for gradient checks, `"float64"`.

    Returns
    -------
    The chosen backend.

    Raises
    ------
    ValueError : an unknown name, device or type.
    BackendUnavailableError : the library is missing or finds no usable GPU; the message says what mends it.

    Examples
    --------
    >>> set_backend("numpy")
    Backend('numpy', device=None, dtype='float32')
    """
    global _default
    _default = open_backend(name, device=device, dtype=dtype)
    return _default


def get_backend() -> Backend:
    """The backend that makes new arrays here and now: NumPy until `set_backend` or `use_backend` say otherwise.

    Examples
    --------
    >>> get_backend().name
    'numpy'
    """
    return _override.get() or _default or open_backend("numpy")


@contextlib.contextmanager
def use_backend(name: str | Backend, *, device: Any = None, dtype: str = "float32") -> Iterator[Backend]:
    """Like `set_backend`, but only inside a `with` block, and only in this thread or task.

    Examples
    --------
    >>> with use_backend("numpy", dtype="float64") as backend:
    ...     backend.asarray([1.0]).dtype
    dtype('float64')
    """
    backend = name if isinstance(name, Backend) else open_backend(name, device=device, dtype=dtype)
    token = _override.set(backend)
    try:
        yield backend
    finally:
        _override.reset(token)


def find_backend(kind: type) -> Backend | None:
    """The backend whose arrays are of this type, or None."""
    if kind not in _by_type:
        library = kind.__module__.partition(".")[0]
        name = next((entry.name for entry in _entries.values() if entry.library == library), None)
        found = None if name is None else open_backend(name)
        _by_type[kind] = found if found is not None and found.owns(kind) else None
    return _by_type[kind]


def backend_of(*arrays: Array) -> Backend:
    """The backend whose arrays these are; None among them is passed over.

    Raises
    ------
    TypeError : something is no array, or the arrays belong to different libraries.
    ValueError : the arrays live on different devices.
    """
    first = arrays[0]
    backend = _by_type.get(type(first)) or _find(first)
    for other in arrays[1:]:
        if other is None:
            continue
        if type(other) is not type(first) and _find(other) is not backend:
            raise TypeError(
                f"arrays of {backend.name} and {_find(other).name} meet in one call; "
                f"move one of them first: get_backend().asarray(array), or model.to({backend.name!r})"
            )
        if backend.has_devices and backend.device_of(other) != backend.device_of(first):
            raise ValueError(
                f"{backend.name} arrays on {backend.device_of(first)} and {backend.device_of(other)} meet in one "
                "call; move one of them first: get_backend().asarray(array)"
            )
    return backend


def _find(value: Any) -> Backend:
    backend = find_backend(type(value))
    if backend is None:
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise TypeError(
            f"expected an array of {', '.join(_entries)}, got {kind}; make one with xpnet.get_backend().asarray(values)"
        )
    return backend


def array_namespace(*arrays: Array) -> Any:
    """The Array API namespace of these arrays: the first line of every function that computes.

    Raises
    ------
    TypeError : something is no array, or the arrays belong to different libraries.
    ValueError : the arrays live on different devices.

    Examples
    --------
    >>> import numpy as np
    >>> array_namespace(np.ones(3)).__name__
    'numpy'
    """
    return backend_of(*arrays).xp
