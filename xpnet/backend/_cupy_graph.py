"""A step of CuPy's operations as one CUDA graph.

CuPy 14 refuses cuBLAS while a stream records. That check is CuPy's own: cuBLAS can be recorded if its handle has a
workspace that stays. So products inside `private_products` go to a handle of ours, through ctypes.
"""

import contextlib
import ctypes
import functools
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any, final

import numpy as np

from xpnet._typing import Array
from xpnet.backend._capture import CaptureUnavailableError, Step
from xpnet.backend._chosen import chosen_precision
from xpnet.backend._recording import depends_on

_WORKSPACE = 32 * 2**20
"""Bytes for cuBLAS to work in, NVIDIA's advice for its largest GPUs."""
_COMPUTE_TYPES = {0: 68, 1: 70, 4: 68, 5: 70}
"""Where CuPy passes the type of the numbers (32-bit real, 64-bit real, 32-bit and 64-bit complex), cuBLAS's own
interface wants the type to compute in."""
_PRODUCTS = {"gemmEx": "cublasGemmEx", "gemmStridedBatchedEx": "cublasGemmStridedBatchedEx"}
"""CuPy's functions, and cuBLAS's own."""

_int, _long, _pointer = ctypes.c_int, ctypes.c_longlong, ctypes.c_void_p
_matrix, _plane = [_pointer, _int, _int], [_pointer, _int, _int, _long]
_head = [_pointer, _int, _int, _int, _int, _int, _pointer]
_SIGNATURES: dict[str, list[Any]] = {
    "cublasCreate_v2": [_pointer],
    "cublasDestroy_v2": [_pointer],
    "cublasSetStream_v2": [_pointer, _pointer],
    "cublasSetWorkspace_v2": [_pointer, _pointer, ctypes.c_size_t],
    "cublasGemmEx": [*_head, *_matrix, *_matrix, _pointer, *_matrix, _int, _int],
    "cublasGemmStridedBatchedEx": [*_head, *_plane, *_plane, _pointer, *_plane, _int, _int, _int],
}


def cublas_library(cupy: Any) -> Any:
    """The cuBLAS that CuPy has loaded, with the signatures of the functions used here.

    Raises
    ------
    CaptureUnavailableError : it is not to be found.
    """
    name = f"libcublas.so.{cupy.cuda.runtime.runtimeGetVersion() // 1000}"
    try:
        from cupy_backends.cuda.libs import cublas as _  # noqa: F401 - loads the library

        library = ctypes.CDLL(name)
    except (ImportError, OSError) as error:
        raise CaptureUnavailableError(f"{name} cannot be loaded ({error})") from error
    for function, arguments in _SIGNATURES.items():
        getattr(library, function).argtypes = arguments
        getattr(library, function).restype = _int
    return library


@final
class Products:
    """A cuBLAS handle with a workspace of its own, which lives as long as the graphs that use it."""

    def __init__(self, cupy: Any) -> None:
        self._library = cublas_library(cupy)
        handle = _pointer()
        self._call("cublasCreate_v2", ctypes.byref(handle))
        self._handle = handle.value
        self._workspace = cupy.cuda.Memory(_WORKSPACE)  # from CUDA itself, not from a pool

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self._library.cublasDestroy_v2(self._handle)

    def on(self, stream: Any) -> None:
        """Products are started on this stream; setting it resets the workspace, so it comes first."""
        self._call("cublasSetStream_v2", self._handle, stream.ptr)
        self._call("cublasSetWorkspace_v2", self._handle, self._workspace.ptr, self._workspace.size)

    def start(self, product: str, arguments: tuple[Any, ...]) -> None:
        """A product, with the arguments of CuPy's function of that name, whose handle stands first."""
        _, *operands, compute_type, algorithm = arguments
        compute_type = _COMPUTE_TYPES.get(compute_type, compute_type)
        self._call(_PRODUCTS[product], self._handle, *operands, compute_type, algorithm)

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status:
            raise RuntimeError(f"{function} failed with status {status}")


_redirected = threading.local()
_lock = threading.Lock()
_open = 0
_theirs: dict[str, Callable[..., None]] = {}


@contextlib.contextmanager
def private_products(products: Products) -> Iterator[None]:
    """Inside, CuPy's products in this thread go to this handle; other threads' go where they always go."""
    global _open
    from cupy_backends.cuda.libs import cublas

    with _lock:
        if _open == 0:
            for name in _PRODUCTS:
                _theirs[name] = getattr(cublas, name)
                setattr(cublas, name, _dispatch(name, _theirs[name]))
        _open += 1
    before = getattr(_redirected, "to", None)
    _redirected.to = products
    try:
        yield
    finally:
        _redirected.to = before
        with _lock:
            _open -= 1
            if _open == 0:
                for name in _PRODUCTS:
                    setattr(cublas, name, _theirs[name])


def _dispatch(name: str, theirs: Callable[..., None]) -> Callable[..., None]:
    def call(*arguments: Any) -> None:
        products: Products | None = getattr(_redirected, "to", None)
        if products is None:
            theirs(*arguments)
        else:
            products.start(name, arguments)

    return call


_collecting = threading.Lock()
_paused = 0


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Garbage is not collected inside: what it would free may belong to other streams."""
    global _paused
    with _collecting:
        if _paused == 0 and gc.isenabled():
            gc.collect()
            gc.disable()
            _paused = 1
        elif _paused:
            _paused += 1
    try:
        yield
    finally:
        with _collecting:
            if _paused == 1:
                gc.enable()
            _paused = max(0, _paused - 1)


def _keeping(cupy: Any) -> Callable[[int], Any]:
    """An allocator for a pool that graphs live in: nothing goes back to CUDA before the pool itself is gone.

    A pool that gets no more gives back what it holds free, and that is what its graphs compute in. Where CUDA has
    nothing left, it gets back what CuPy's own pool holds free, which steps that ran as they are have left there.
    """
    kept = []

    def allocate(size: int) -> Any:
        try:
            memory = cupy.cuda.Memory(size)
        except cupy.cuda.runtime.CUDARuntimeError:
            cupy.get_default_memory_pool().free_all_blocks()
            memory = cupy.cuda.Memory(size)
        kept.append(memory)
        return cupy.cuda.MemoryPointer(memory, 0)

    return allocate


@final
class CudaRecorder:
    """Records steps on a stream, in a memory pool and with a cuBLAS handle of its own.

    Raises
    ------
    CaptureUnavailableError : another CuPy than 14, no cuBLAS, or a first product that did not come out right.
    """

    def __init__(self, cupy: Any, kept: dict[Any, Array]) -> None:
        if cupy.__version__.partition(".")[0] != "14":
            raise CaptureUnavailableError(f"recording is written for CuPy 14, and this is {cupy.__version__}")
        self._cupy, self._kept = cupy, kept
        self._products = Products(cupy)
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._pool = cupy.cuda.MemoryPool(_keeping(cupy))
        self.check()

    def check(self) -> None:
        """Records a product, changes its factors, launches, and compares with NumPy's."""
        cupy, random = self._cupy, np.random.default_rng(0)
        a, b = (random.standard_normal(shape).astype("float32") for shape in ((64, 32), (32, 16)))
        expected = a @ b
        try:
            self.rehearse(cupy.matmul, cupy.asarray(b).T, cupy.asarray(a).T)
            graph = self.record(cupy.matmul, cupy.zeros((64, 32), "float32"), cupy.zeros((32, 16), "float32"))
            graph.launch(cupy.asarray(a), cupy.asarray(b))
            got = cupy.asnumpy(graph.outputs)
        except Exception as error:
            raise CaptureUnavailableError(f"a first product could not be recorded ({error})") from error
        worst = float(np.max(np.abs(got - expected)))
        if not worst < 1e-2:  # TF32 may be on
            raise CaptureUnavailableError(f"a first product that was recorded came out wrong, by {worst:g}")

    @contextlib.contextmanager
    def _apart(self) -> Iterator[None]:
        """On the recorder's stream, after what the caller's stream has to do and before what comes there later."""
        caller = self._cupy.cuda.get_current_stream()
        self._stream.wait_event(caller.record())
        self._products.on(self._stream)
        try:
            with self._stream, self._cupy.cuda.using_allocator(self._pool.malloc), private_products(self._products):
                yield
        finally:  # what was begun goes on when an error passes
            caller.wait_event(self._stream.record())

    def rehearse(self, step: Step, *arguments: Array) -> Any:
        """Runs the step as it will be recorded: kernels are compiled and loaded, the pool gets its memory."""
        with self._apart():
            return step(*arguments)

    def record(self, step: Step, *arguments: Array) -> "CudaGraph":
        """Records the step for arguments like these."""
        inputs = tuple(self._cupy.array(a) for a in arguments)  # copies that the graph reads from
        depends_on(functools.partial(chosen_precision, "cupy"))
        with self._apart(), _no_collection():
            self._stream.begin_capture()
            try:
                outputs = step(*inputs)
            except BaseException:
                with contextlib.suppress(Exception):  # what was recorded is thrown away, whole or not
                    self._stream.end_capture()
                self._stream = self._cupy.cuda.Stream(non_blocking=True)
                raise
            graph = self._stream.end_capture()
        graph.upload(self._stream)
        return CudaGraph(self._cupy, graph, inputs, outputs, (self, step, list(self._kept.values())))


@final
class CudaGraph:
    """A recorded step, with all that it reads and writes."""

    def __init__(self, cupy: Any, graph: Any, inputs: tuple[Array, ...], outputs: Any, alive: Any) -> None:
        self._copy, self._graph, self._inputs, self._alive = cupy.copyto, graph, inputs, alive
        self.outputs = outputs

    def launch(self, *arguments: Array) -> None:
        """Copies the arguments in and starts the step, on the current stream."""
        if any(_whole(values) is place for values in arguments for place in self._inputs):  # the step has returned it
            arguments = tuple(values.copy() for values in arguments)
        for place, values in zip(self._inputs, arguments, strict=True):
            self._copy(place, values)
        self._graph.launch()


def _whole(array: Array) -> Array:
    """The array that this one is a view of, or itself."""
    return array if array.base is None else array.base
