"""Which array libraries there are, and which one an array belongs to."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xpnet._typing import Array

if TYPE_CHECKING:
    from xpnet.backend._backend import Backend


class BackendUnavailableError(RuntimeError):
    """A known backend cannot be used on this machine; the message says why and what mends it."""


@dataclass(frozen=True)
class Entry:
    """What is known of a backend before its library is imported."""

    name: str
    namespace: str
    library: str
    kind: type[Backend]
    install: str


_entries: dict[str, Entry] = {}
_opened: dict[tuple[str, str, str, str], Backend] = {}
_by_type: dict[type, Backend | None] = {}


def add(entry: Entry) -> None:
    """Makes a backend known.

    Raises
    ------
    ValueError : its name stands for another one already.
    """
    known = _entries.setdefault(entry.name, entry)
    if (known.namespace, known.library, known.kind) != (entry.namespace, entry.library, entry.kind):
        raise ValueError(
            f"register_backend: {entry.name!r} already stands for {known.namespace} ({known.kind.__name__}), "
            f"not {entry.namespace} ({entry.kind.__name__})"
        )
    _by_type.clear()


def known_backends() -> tuple[str, ...]:
    """The names of all registered backends, usable here or not."""
    return tuple(_entries)


def why_unavailable(name: str) -> str | None:
    """Why a known backend cannot be used here, or None if it can."""
    try:
        open_backend(name)
    except BackendUnavailableError as error:
        return str(error)
    return None


def open_backend(name: str, *, device: Any = None, dtype: str = "float32", matmul: str = "float32") -> Backend:
    """The backend of that name, device, type and precision of products; the same object for the same four.

    Raises
    ------
    ValueError : an unknown name, device, type or precision, or a precision that is not to be had there.
    BackendUnavailableError : the library is not installed, or finds no usable device.
    """
    key = (name, str(device), dtype, matmul)
    found = _opened.get(key)
    if found is None:
        entry = _entry(name)
        found = entry.kind(name, _import(entry), device=device, dtype=dtype)
        found.set_precision(matmul)
        _check_writable(found)
        _opened[key] = found
    return found


def _entry(name: str) -> Entry:
    if name in _entries:
        return _entries[name]
    close = difflib.get_close_matches(str(name), _entries, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "; others can be added with register_backend"
    raise ValueError(f"unknown backend {name!r}: known are {', '.join(map(repr, _entries))}{hint}")


def _import(entry: Entry) -> Any:
    try:
        return importlib.import_module(entry.namespace)
    except (ImportError, OSError) as error:  # OSError: a shared library that it loads is missing
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
                f"call; move one of them first: xpnet.set_backend({backend.name!r}, device=...).asarray(array)"
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
