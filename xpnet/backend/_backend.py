"""The backend room's one class: an array library seen through the few operations that may be faster than plain code."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np

from xpnet._typing import Array, Result
from xpnet.backend import _failures
from xpnet.backend._chosen import chosen_precision
from xpnet.backend._column_seams import ColumnSeams
from xpnet.backend._elementwise import Body, fresh
from xpnet.backend._random import scramble
from xpnet.backend._registry import find_backend, open_backend
from xpnet.backend._staging import Staging
from xpnet.backend._winograd_seams import WinogradSeams

if TYPE_CHECKING:
    from xpnet.backend._capture import Recorder

DTYPES = ("float32", "float64")
MATMUL = ("float32", "tf32")
_PIECE = 2**30
"""Bytes that a block may need, where nothing else says so."""


class Backend(WinogradSeams, ColumnSeams):
    """One array library, and the device and floating-point type for the arrays made on it.

    This class holds the plain Array API body of every seam; a subclass overrides those that its library does faster.
    The seams work on arrays of any device and type of the library; `device` and `dtype` only say where and how
    *new* arrays are made.

    Parameters
    ----------
    name : the name it is registered under, such as `"numpy"`.
    xp : the library's Array API namespace.
    device : where new arrays are made, in the library's own terms; `None` is the library's default.
    dtype : `"float32"` or `"float64"`, the type of new floating-point arrays.

    Attributes
    ----------
    half : the library's type for half precision, float16; None where it has none.
    matmul_precision : `"float32"` or `"tf32"`: how products of float32 arrays are computed while this one is chosen.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.backend import get_backend
    >>> backend = get_backend()
    >>> x = backend.asarray(np.arange(3.0))
    >>> x.dtype, backend.to_host(x)
    (dtype('float32'), array([0., 1., 2.], dtype=float32))
    """

    has_devices = True
    """Whether two arrays of this library can live on different devices, so that a call has to compare them."""
    uploads_ahead = False
    """Whether an array can be on its way to the device while the device computes: `upload` a batch before its turn."""

    matmul_precision = "float32"

    def __init__(self, name: str, xp: Any, *, device: Any = None, dtype: str = "float32") -> None:
        if not (isinstance(dtype, str) and dtype in DTYPES):
            raise ValueError(f"dtype: expected one of {', '.join(map(repr, DTYPES))}, got {dtype!r}")
        self.name, self.xp, self.device, self.dtype = name, xp, device, dtype
        self._type_names = {"float": dtype, "int": "int64", "bool": "bool"}
        self._types = {kind: getattr(xp, each) for kind, each in self._type_names.items()}
        self._kept: dict[tuple[Any, ...], Array] = {}
        self._floats: dict[Any, bool] = {}
        half = getattr(xp, "float16", None)
        self.half = np.dtype(half) if isinstance(half, type) else half  # two types compare faster than type and class
        self._check_device()

    def __repr__(self) -> str:
        matmul = "" if self.matmul_precision == "float32" else f", matmul={self.matmul_precision!r}"
        return f"Backend({self.name!r}, device={self.device!r}, dtype={self.dtype!r}{matmul})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Backend) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[str, str, str, str]:
        return self.name, str(self.device), self.dtype, self.matmul_precision

    def set_precision(self, matmul: str) -> None:
        """How its products are computed while it is chosen; said once, when it is opened.

        Raises
        ------
        ValueError : an unknown precision, or one that the library or the device does not have.
        """
        if not (isinstance(matmul, str) and matmul in MATMUL):
            raise ValueError(f"matmul: expected one of {', '.join(map(repr, MATMUL))}, got {matmul!r}")
        if matmul == "tf32":
            why = self.why_no_tf32()
            if why is not None:
                raise ValueError(f"matmul: 'tf32' is not to be had on {self.name}: {why}; 'float32' is")
        self.matmul_precision = matmul

    def why_no_tf32(self) -> str | None:
        """Why products cannot be computed in TF32 on this backend's device, or None if they can."""
        return "it is a format of NVIDIA's tensor cores, which CuPy uses, and PyTorch on a CUDA device"

    @property
    def products_in_tf32(self) -> bool:
        """Whether products of float32 go by TF32 here and now: the choice of the process, or of the context."""
        return chosen_precision(self.name) == "tf32"

    def _check_device(self) -> None:
        """Raises where `device` does not exist: at the earliest moment, not at the first array."""
        if self.device is None:
            return
        try:
            self.xp.zeros((1,), device=self.device)
        except Exception as error:
            raise ValueError(f"device: {self.name} has no device {self.device!r} ({error})") from error

    def owns(self, kind: type) -> bool:
        """Whether arrays of this type, which comes from this backend's library, follow the standard."""
        return True

    # Arrays in and out ------------------------------------------------------------------------------------------

    def asarray(self, values: Any) -> Array:
        """Host values (or an array of any registered library) as an array of this backend.

        Floating-point values take this backend's `dtype`, integers become int64, booleans stay. Values that are
        already there are returned as they are, without a copy.

        Raises
        ------
        TypeError : values of any other kind (objects, text, complex numbers).
        ValueError : a masked array with masked values.
        """
        origin = find_backend(type(values))
        if origin is not None and origin.name == self.name:
            return self.xp.astype(self._place(values), self.dtype_for(origin.kind(values)), copy=False)
        if np.ma.is_masked(values):
            raise ValueError("values: some are masked and so have no value; give them one first: values.filled(0.0)")
        host = np.asarray(values if origin is None else origin.to_host(values))
        return self._from_host(host, self.dtype_for(_host_kind(host)))

    def upload(self, host: np.ndarray[Any, Any], rows: Any = None) -> Callable[[], Array]:
        """Begins to bring rows of a host array here: those of a slice or of these numbers, or all.

        Returns
        -------
        A function to call once, when the array is needed: it gives what `asarray(host[rows])` does. Where
        `uploads_ahead`, the device may compute something else meanwhile.
        """
        array = self.asarray(host if rows is None else host[rows])
        return lambda: array

    def bytes_of(self, host: np.ndarray[Any, Any]) -> int:
        """How many bytes a host array would take here, in the type that `asarray` gives it."""
        return host.size * self.host_type(host).itemsize

    def room(self) -> int | None:
        """Bytes that new arrays can still take in the device's own memory; None where that is the host's."""
        return None

    def zeros(self, shape: int | Sequence[int]) -> Array:
        """A writable array of zeros on this backend; `()` gives a 0-d array, never a scalar."""
        return self.xp.zeros(shape, dtype=getattr(self.xp, self.dtype), device=self.device)

    def to_host(self, x: Array) -> np.ndarray[Any, Any]:
        """The values of `x` as a NumPy array; on a device this waits for the device and copies."""
        return np.array(np.from_dlpack(x))

    def staging(self, x: Array) -> Staging:
        """`x` for what reads and writes the host's memory; here by a copy."""
        host = np.empty_like(self.to_host(x), order="C")

        def fetch() -> None:
            host[...] = self.to_host(x)

        def put() -> None:
            x[...] = self.xp.asarray(host, dtype=x.dtype, device=self.device_of(x))

        return Staging(host, fetch, put)

    def copy(self, x: Array) -> Array:
        """A copy that shares no memory with `x`."""
        return self.xp.asarray(x, copy=True)

    def dtype_for(self, kind: str) -> Any:
        """This backend's type for values of a kind: `"float"`, `"int"` or `"bool"`."""
        found = self._types.get(kind)
        if found is None:
            raise TypeError(f"values: expected numbers (floating-point, integer or boolean), got {kind}")
        return found

    def host_type(self, host: np.ndarray[Any, Any]) -> np.dtype[Any]:
        """The type that `asarray` gives a host array, in NumPy's terms."""
        kind = _host_kind(host)
        self.dtype_for(kind)
        return np.dtype(self._type_names[kind])

    def kind(self, x: Array) -> str:
        """`"float"`, `"int"` or `"bool"`; for anything else the name of its type."""
        for kind, standard in (("float", "real floating"), ("int", "integral"), ("bool", "bool")):
            if self.xp.isdtype(x.dtype, standard):
                return kind
        return str(x.dtype)

    def is_float(self, x: Array) -> bool:
        """Whether `x` is of a real floating-point type."""
        found = self._floats.get(x.dtype)
        if found is None:
            found = self._floats[x.dtype] = self.kind(x) == "float"
        return found

    def _place(self, x: Array) -> Array:
        return x if self.device is None else array_api_compat.to_device(x, self.device)

    def _from_host(self, host: np.ndarray[Any, Any], dtype: Any) -> Array:
        return self.xp.asarray(host, dtype=dtype, device=self.device)

    def device_of(self, x: Array) -> Any:
        """The device that `x` lives on, in the library's own terms."""
        return array_api_compat.device(x)

    def at(self, x: Array) -> "Backend":
        """The backend that makes new arrays where `x` lives, and of its type; beside float16, of float32."""
        dtype = "float32" if x.dtype == self.half else str(x.dtype).rpartition(".")[2]
        matmul = chosen_precision(self.name)
        return open_backend(self.name, device=self.device_of(x), dtype=dtype, matmul=matmul)

    # Seams ------------------------------------------------------------------------------------------------------

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """The product of two 2-D arrays, (n, k) @ (k, m) -> (n, m), written into `out` if given.

        Products of float16 are added up in float32; `out` may be float32 for them.
        """
        if out is None:
            return a @ b
        out[...] = a @ b
        return out

    def strict_matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """`matmul` without TF32, whatever is chosen: for sums and transforms, which are no products to the user."""
        return self.matmul(a, b, out)

    def matmul_planes(self, a: Array, b: Array) -> Array:
        """Plane by plane the product of two stacks of matrices, (planes, n, k) @ (planes, k, m)."""
        return self.xp.matmul(a, b)

    def column_sum(self, x: Array, out: Array | None = None) -> Array:
        """Sums over the rows, (n, c) -> (c,), written into `out` if given. Those of float16 are float32."""
        x = self.wide(x)
        ones = self.ones_row(x.shape[0], x)  # (1, n)
        if out is None:
            return self.xp.reshape(self.strict_matmul(ones, x), (-1,))
        if out.dtype != x.dtype:
            out[...] = self.xp.reshape(self.strict_matmul(ones, x), (-1,))
        else:
            self.strict_matmul(ones, x, self.xp.reshape(out, (1, -1)))
        return out

    def row_max(self, x: Array) -> Array:
        """The largest of each row, (n, c) -> (n, 1)."""
        return self.xp.max(x, axis=-1, keepdims=True)

    def row_sum(self, x: Array) -> Array:
        """Sums over the columns, (n, c) -> (n, 1). Those of float16 are float32."""
        return self.xp.sum(self.wide(x), axis=-1, keepdims=True)

    def shifted_exponentials(self, x: Array) -> tuple[Array, Array, Array] | None:
        """Of (n, c): x - max(x) of each row, exp of that, and its sums (n, 1); None where nothing does it at once."""
        return None

    def total(self, x: Array) -> Array:
        """The sum of all elements of (n, c), as a 0-d array: over the rows first, which uses all of a GPU."""
        return self.xp.sum(self.column_sum(x))

    def sum_of_squares(self, x: Array) -> Array:
        """x · x of a 1-D array, as a 0-d array."""
        product = self.matmul(self.xp.reshape(x, (1, -1)), self.xp.reshape(x, (-1, 1)))
        return self.xp.reshape(product, ())

    def compile(self, body: Body, updates: int, guarded: bool) -> Body:
        """What `@elementwise` runs on this library: `body` itself, or something faster that gives the same numbers."""

        def plain(*arguments: Any) -> Any:
            if arguments[0].dtype == self.half:
                return self._widened(body, updates, arguments)
            return fresh(body(self.xp, *arguments), updates)

        return self._guard(plain, updates) if guarded else plain

    def _guard(self, run: Body, updates: int) -> Body:
        def guarded(*arguments: Any, guard: Array) -> None:
            if self.readable(guard):
                if bool(guard):
                    run(*arguments)
                return
            before = [self.copy(a) for a in arguments[:updates]]
            run(*arguments)
            for array, old in zip(arguments[:updates], before, strict=True):
                array[...] = self.xp.where(guard, array, old)

        return guarded

    def for_blocks(self, n: int, bytes_each: int, body: Callable[[int, int], Result]) -> list[Result]:
        """`body(start, stop)` over `range(n)` in pieces; the results in order. Here: as few as memory allows.

        `bytes_each` is the memory that one of the n items needs while `body` works on it.
        """
        size = max(1, _PIECE // max(1, bytes_each))
        return [body(start, min(start + size, n)) for start in range(0, n, size)]

    def sum_blocks(
        self, n: int, bytes_each: int, body: Callable[[int, int], tuple[Array, ...]], at_least: int = 1
    ) -> tuple[Array, ...]:
        """The sums of what `body(start, stop)` returns, new arrays all, over `range(n)` in pieces, as `for_blocks`.

        `at_least` is the length of a piece below which adding up its results would cost too much.
        """
        size = max(1, at_least, _PIECE // max(1, bytes_each))
        sums = body(0, min(size, n))
        for start in range(size, n, size):
            for total, part in zip(sums, body(start, min(start + size, n)), strict=True):
                total += part
        return sums

    def readable(self, x: Array) -> bool:
        """Whether the host can read `x` without waiting for a device."""
        return True

    def recorder(self) -> "Recorder | None":
        """What records steps for `capture` on the device; None where operations run as they are called.

        Raises
        ------
        CaptureUnavailableError : there could be one, but not on this machine.
        """
        return None

    def quiet(self) -> AbstractContextManager[Any]:
        """A context without warnings of overflow: for code that looks for infinities and NaN itself."""
        return np.errstate(over="ignore", invalid="ignore", divide="ignore")

    def here(self) -> AbstractContextManager[Any]:
        """A context in which the library works on this backend's device, where it has a current one."""
        return nullcontext()

    def make_current(self) -> None:
        """From now on, the library works on this backend's device in this thread, where it has a current one."""

    def synchronize(self) -> None:
        """Waits until the device has done all that was asked of it."""

    def memory(self) -> dict[str, int]:
        """Bytes in use and in reserve, by name; empty where the library does not tell."""
        return {}

    def release(self) -> None:
        """Gives memory that is held for reuse back to the system."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error means that memory, on the device or the host, could not be had."""
        return _failures.out_of_memory(error)

    def is_lost(self, error: BaseException) -> bool:
        """Whether an error means that the device can no longer be used: nothing on it can be read any more."""
        return _failures.lost(error)

    def describe(self) -> list[str]:
        """One line for each device, for `python -m xpnet`."""
        return ["CPU"]

    # Arrays that never change, made once ------------------------------------------------------------------------

    def ones_row(self, n: int, like: Array) -> Array:
        """(1, n) of ones, of the type and on the device of `like`."""
        return self._prefix("ones", n, like.dtype, self.device_of(like), lambda size: np.ones((1, size)))

    def indices(self, n: int, like: Array) -> Array:
        """(1, n) of int64: 0, 1, …, n - 1, on the device of `like`."""
        return self._prefix("indices", n, self.xp.int64, self.device_of(like), lambda size: np.arange(size)[None, :])

    def scrambled(self, n: int, like: Array) -> Array:
        """(1, n) of int32: the mixed element numbers that the counter-based masks start from."""

        def make(size: int) -> Any:
            return scramble(np.arange(1, size + 1, dtype=np.int32))[None, :]

        return self._prefix("scrambled", n, self.xp.int32, self.device_of(like), make)

    def _prefix(self, name: str, n: int, dtype: Any, device: Any, make: Callable[[int], Any]) -> Array:
        """The first n columns of a kept row, which grows when a longer one is asked for."""
        key = (name, dtype, device)
        row = self._kept.get(key)
        if row is None or row.shape[1] < n:
            row = self._kept[key] = self.xp.asarray(make(n), dtype=dtype, device=device)
        return row[:, :n]


def _host_kind(host: np.ndarray[Any, Any]) -> str:
    """`"float"`, `"int"` or `"bool"`; for anything else the name of its type."""
    return {"f": "float", "i": "int", "u": "int", "b": "bool"}.get(host.dtype.kind, str(host.dtype))
