"""Which backends may be chosen, and which one makes new arrays here and now."""

import contextlib
from collections.abc import Iterator
from typing import Any

from xpnet.backend._backend import Backend
from xpnet.backend._chosen import choose, chosen, override
from xpnet.backend._registry import Entry, add, known_backends, open_backend, why_unavailable


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
    add(Entry(name, namespace, library, kind, install or f"pip install {library.replace('_', '-')}"))


def available_backends() -> tuple[str, ...]:
    """The names of the backends that can be used on this machine, now.

    Examples
    --------
    >>> "numpy" in available_backends()
    True
    """
    return tuple(name for name in known_backends() if why_unavailable(name) is None)


def set_backend(name: str, *, device: Any = None, dtype: str = "float32", matmul: str = "float32") -> Backend:
    """Chooses where new arrays (parameters, batches) are made, for the whole process.

    Functions never ask for it: they run wherever their arguments live.

    Parameters
    ----------
    name : `"numpy"`, `"cupy"`, `"torch"`, `"array_api_strict"`, or a name given to `register_backend`.
    device : the library's own name for a device (CuPy: a number; PyTorch: `"cuda:1"`); None is its default.
    dtype : `"float32"` or, for gradient checks, `"float64"`.
    matmul : how products of float32 arrays are computed. `"float32"`, the default, is strict. `"tf32"` rounds their
        factors to 10 bits and adds up in float32, several times as fast on GPUs of compute capability 8.0 and more;
        for CuPy, and for PyTorch on a CUDA device. It holds for all products of that library's arrays, in the whole
        process, or inside `use_backend`.

    Returns
    -------
    The chosen backend.

    Raises
    ------
    ValueError : an unknown name, device or type, or a precision that the library or the device does not have.
    BackendUnavailableError : the library is missing or finds no usable GPU; the message says what mends it.

    Examples
    --------
    >>> set_backend("numpy")
    Backend('numpy', device=None, dtype='float32')
    """
    backend = open_backend(name, device=device, dtype=dtype, matmul=matmul)
    choose(backend)
    backend.make_current()
    return backend


def get_backend() -> Backend:
    """The backend that makes new arrays here and now: NumPy until `set_backend` or `use_backend` say otherwise.

    Examples
    --------
    >>> get_backend().name
    'numpy'
    """
    return chosen() or open_backend("numpy")


@contextlib.contextmanager
def use_backend(
    name: str | Backend, *, device: Any = None, dtype: str = "float32", matmul: str = "float32"
) -> Iterator[Backend]:
    """Like `set_backend`, but only inside a `with` block, and only in this thread or task.

    A thread that is started inside begins with the process's backend, a task of asyncio with the block's.

    Examples
    --------
    >>> with use_backend("numpy", dtype="float64") as backend:
    ...     backend.asarray([1.0]).dtype
    dtype('float64')
    """
    backend = name if isinstance(name, Backend) else open_backend(name, device=device, dtype=dtype, matmul=matmul)
    with override.by(backend), backend.here():
        yield backend
