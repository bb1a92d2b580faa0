"""`@elementwise` for NumPy: the body compiled for scalars, inside one generated loop (needs `xpnet[fast]`)."""

import functools
import importlib.util
import os
import types
from importlib import metadata
from typing import Any

import numpy as np

from xpnet.backend import _memory, _threads
from xpnet.backend._elementwise import Body

SMALLEST = 16_384
"""Elements from which a compiled loop is used; below, NumPy's own calls are quick enough to spare the compilation."""

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
"""What Numba compiles for: neither float16 and longdouble nor the other order of bytes."""

_compiles = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
"""False where Numba is told to leave Python as it is, for a debugger, which is no use here."""

_enabled = _compiles and importlib.util.find_spec("numba") is not None


def version() -> str | None:
    """Numba's version, or None where it is not installed."""
    return metadata.version("numba") if importlib.util.find_spec("numba") else None


def compiled_loops(enabled: bool | None = None) -> bool:
    """Whether NumPy's element-wise chains run as compiled Numba loops; given a value, switches them on or off.

    They are on where Numba is installed, unless NUMBA_DISABLE_JIT is set. The results agree to rounding.

    Raises
    ------
    RuntimeError : switched on where Numba is missing, or not to compile.
    """
    global _enabled
    if enabled and version() is None:
        raise RuntimeError("compiled loops need Numba: pip install 'xpnet[fast]'")
    if enabled and not _compiles:
        raise RuntimeError("compiled loops: NUMBA_DISABLE_JIT is set; start without it")
    if enabled is not None:
        _enabled = enabled
    return _enabled


def fits(*arrays: Any) -> bool:
    """Whether the loops over images are on, and made for these arrays."""
    return _enabled and all(a.flags.c_contiguous and a.dtype in _FLOATS for a in arrays)


@functools.cache
def loops() -> types.ModuleType:
    """The loops over images; compiled when first called."""
    from xpnet.backend import _loops

    return _loops


@functools.cache
def winograd() -> types.ModuleType:
    """The loops of Winograd's transforms; compiled when first called."""
    from xpnet.backend import _winograd_loops

    return _winograd_loops


@functools.cache
def tiles() -> types.ModuleType:
    """The convolution of images with few channels; compiled when first called."""
    from xpnet.backend import _tile_loops

    return _tile_loops


def compiled(body: Body, updates: int, plain: Body) -> Body:
    """`plain` for small or irregular arguments, a loop compiled for their layout for the others."""
    loops: dict[tuple[Any, ...], Body] = {}

    def call(*arguments: Any) -> Any:
        first = arguments[0]
        if not _enabled or first.size < SMALLEST or not first.flags.c_contiguous or first.dtype not in _FLOATS:
            return plain(*arguments)
        laid_out = _lay_out(arguments)
        if laid_out is None:
            return plain(*arguments)
        layout, operands = laid_out
        key = (first.dtype, *layout)
        loop = loops.get(key)
        if loop is None:
            loop = loops[key] = _Loop(body, updates, plain, layout, operands)
        return loop(*operands, shape=first.shape)

    return call


def _lay_out(arguments: tuple[Any, ...]) -> tuple[list[str], list[Any]] | None:
    """How the loop indexes each argument, and the argument reshaped for it; None where one does not fit.

    `f` full, `r` one value a column, `c` one value a row, `s` a scalar. Without `r` and `c` the loop goes over all
    elements at once, else over (row, column).
    """
    first = arguments[0]
    shape, columns = first.shape, first.shape[-1]
    layout = []
    for a in arguments:
        if not isinstance(a, np.ndarray) or a.size == 1:
            layout.append("s")
        elif not (a.flags.c_contiguous and a.dtype.isnative):
            return None
        elif a.shape == shape:
            layout.append("f")
        elif a.size == columns == a.shape[-1]:
            layout.append("r")
        elif a.shape == (*shape[:-1], 1):
            layout.append("c")
        else:
            return None
    full = (-1, columns) if "r" in layout or "c" in layout else (-1,)
    operands: list[Any] = []
    for kind, a in zip(layout, arguments, strict=True):
        if kind == "s":
            a = a.reshape(())[()] if isinstance(a, np.ndarray) else first.dtype.type(a) if isinstance(a, float) else a
        elif kind == "f":
            a = a if a.ndim == len(full) else a.reshape(full)
        else:
            a = a.reshape(-1)
        operands.append(a)
    return layout, operands


class _Loop:
    """One body compiled for one layout of its arguments."""

    def __init__(self, body: Body, updates: int, plain: Body, layout: list[str], operands: list[Any]) -> None:
        # Arrays of one element, not NumPy's scalars: those warn where integers wrap.
        tiny = [np.ones(1, a.dtype) if isinstance(a, (np.ndarray, np.generic)) else a for a in operands]
        new = plain(*tiny)
        new = () if new is None else new if isinstance(new, tuple) else (new,)
        self.dtypes, self.layout = [a.dtype for a in new], layout
        self.run = _build(body, layout, updates, len(new), operands[0].dtype.type)

    def __call__(self, *operands: Any, shape: tuple[int, ...]) -> Any:
        first = operands[0]
        new = [_memory.empty(first.shape, dtype) for dtype in self.dtypes]

        def part(start: int, stop: int) -> None:
            pieces = (a[start:stop] if kind in "fc" else a for kind, a in zip(self.layout, operands, strict=True))
            self.run(*(a[start:stop] for a in new), *pieces)

        if first.size < _threads.LARGE:
            self.run(*new, *operands)
        else:
            _threads.share(len(first), first.size, part)
        results = tuple(a.reshape(shape) for a in new)
        return None if not results else results[0] if len(results) == 1 else results


def _build(body: Body, layout: list[str], updates: int, n_new: int, scalar: type) -> Body:
    """Compiles `for each row, column: new… = body(…)`.

    `error_model="numpy"` divides without a branch, and the body's float constants take the operands' type: both are
    needed for the loop to vectorize. `contract` lets products and sums fuse; NaN and infinity keep their meaning.
    """
    import numba

    constants = tuple(scalar(c) if type(c) is float else c for c in body.__code__.co_consts)
    code = body.__code__.replace(co_consts=constants)
    options = {"error_model": "numpy", "fastmath": {"contract"}}
    formula = types.FunctionType(code, body.__globals__, body.__name__, body.__defaults__, body.__closure__)
    inner = numba.njit(formula, inline="always", **options)

    arguments = [f"a{i}" for i in range(len(layout))]
    new = [f"n{i}" for i in range(n_new)]
    by_rows = "r" in layout or "c" in layout
    index = {"f": "[i, j]" if by_rows else "[i]", "r": "[j]", "c": "[i]", "s": ""}
    targets = ", ".join(name + index["f"] for name in arguments[:updates] + new)
    values = ", ".join(name + index[kind] for name, kind in zip(arguments, layout, strict=True))
    source = (
        f"def loop({', '.join(new + arguments)}):\n"
        f"    for i in range(a0.shape[0]):\n"
        + ("        for j in range(a0.shape[1]):\n    " if by_rows else "")
        + f"        {targets} = inner(xp, {values})\n"
    )
    space = {"inner": inner, "xp": _scalar_namespace()}
    exec(source, space)
    loop: Body = numba.njit(space["loop"], nogil=True, **options)
    return loop


@functools.cache
def _scalar_namespace() -> types.ModuleType:
    """The part of the standard that bodies use, for scalars.

    Numba wants an implementation's parameters written exactly as its overload's, annotations included.
    """
    import numba
    from numba.extending import overload, overload_attribute

    xp = types.ModuleType("scalar_namespace")
    for name in ("abs", "exp", "expm1", "isfinite", "log", "log1p", "maximum", "minimum", "sqrt", "tanh"):
        setattr(xp, name, getattr(np, name))

    for kind in (numba.types.Float, numba.types.Integer):

        def dtype_of_scalar(x: Any) -> Any:
            dtype = np.dtype(x.name)

            def implementation(x: Any) -> Any:
                return dtype

            return implementation

        overload_attribute(kind, "dtype")(dtype_of_scalar)

    def astype(x: Any, dtype: Any) -> Any: ...

    def astype_of_scalar(x: Any, dtype: Any) -> Any:
        convert = np.dtype(dtype.dtype.name).type

        def implementation(x: Any, dtype: Any) -> Any:
            return convert(x)

        return implementation

    overload(astype)(astype_of_scalar)

    vars(xp).update(
        astype=numba.njit(lambda x, dtype: astype(x, dtype)),
        where=numba.njit(lambda condition, a, b: a if condition else b),
    )
    return xp
