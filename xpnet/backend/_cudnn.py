"""Convolution by cuDNN, through nvidia-cudnn-frontend, on CuPy's arrays, streams and memory.

x and y stay as they are, channels last. The weight is copied into the order (outputs, *kernel, inputs // groups), and
its gradient back. cuDNN would also take strides that describe our order, but it chooses the same engines for any order
in which a channel's step is smaller than a pixel's, which says nothing about what they read.
"""

import ctypes
import functools
import threading
import warnings
from contextlib import AbstractContextManager
from typing import Any

from xpnet._typing import Array, Shape
from xpnet.backend._cudnn_plans import FILTERS, NoPlanError, Plan, Problem, X, Y
from xpnet.backend._registry import BackendUnavailableError, open_backend
from xpnet.backend._window_seams import WindowSeams
from xpnet.backend._windows import Windows

_ALIGNMENT = 16
"""Bytes: cuDNN's engines may load so many at once."""


class Device:
    """What cuDNN has to know of CuPy: where memory and streams are."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy

    def number(self, x: Array) -> int:
        """The GPU that x lives on."""
        return int(x.device.id)

    def entered(self, x: Array) -> AbstractContextManager[Any]:
        """A context in which that GPU is the current one."""
        context: AbstractContextManager[Any] = x.device
        return context

    def stream(self) -> int:
        """CuPy's current stream, which is the one that is captured, if any."""
        return int(self._cupy.cuda.get_current_stream().ptr)

    def pointer(self, x: Array) -> int:
        """Where x begins."""
        return int(x.data.ptr)

    def workspace(self, size: int) -> tuple[Any, int]:
        """Memory from CuPy's current pool, and where it begins; it goes back to the pool when nobody holds it.

        So it is reused from call to call in the order of the stream, and a captured graph's lies in the graph's pool.
        """
        memory = self._cupy.cuda.alloc(max(1, size))
        return memory, int(memory.ptr)

    def most(self) -> int:
        """How large a workspace may be: an eighth of the GPU's memory."""
        return int(self._cupy.cuda.runtime.memGetInfo()[1]) // 8


class Library:
    """cuDNN: its handles, one for each thread and GPU, and its convolutions, one for each shape.

    Nothing of either is ever given up: a captured graph may run a plan long after the last call.
    """

    def __init__(self, cudnn: Any, device: Device) -> None:
        self.cudnn, self.device = cudnn, device
        self._handles: dict[tuple[int, int], tuple[Any, list[int]]] = {}
        self._unusable: dict[int, str] = {}
        self._convolutions: dict[tuple[Any, ...], CuDNNConvolution | None] = {}

    def why_unusable(self, weight: Array) -> str | None:
        """Why cuDNN cannot be used on this array's GPU, or None if it can."""
        number = self.device.number(weight)
        if number not in self._unusable:
            try:
                with self.device.entered(weight):
                    self.handle(number)
            except RuntimeError as error:
                self._unusable[number] = f"cuDNN cannot be used on GPU {number}: {error}"
            else:
                self._unusable[number] = ""
        return self._unusable[number] or None

    def handle(self, number: int) -> Any:
        """This thread's handle for the current GPU, on CuPy's current stream."""
        stream, key = self.device.stream(), (threading.get_ident(), number)
        if key not in self._handles:
            self._handles[key] = self.cudnn.create_handle(), [-1]
        handle, of = self._handles[key]
        if of[0] != stream:
            self.cudnn.set_stream(handle=handle, stream=stream)
            of[0] = stream
        return handle

    def convolution(
        self, backend: WindowSeams, n: int, weight: Array, windows: Windows, groups: int
    ) -> "CuDNNConvolution | None":
        """The convolution of n examples with such a weight; None where cuDNN is not asked."""
        tf32 = backend.products_in_tf32
        key = (n, tuple(weight.shape), windows, groups, str(weight.dtype), tf32)
        try:
            return self._convolutions[key]
        except KeyError:
            *_, inputs, outputs = weight.shape
            problem = Problem(n, inputs * groups, outputs, groups, windows, str(weight.dtype), tf32)
            found = CuDNNConvolution(self, backend, problem) if problem.suits else None
            return self._convolutions.setdefault(key, found)


class CuDNNConvolution:
    """One convolution by cuDNN; each of its products is planned when it is first asked for."""

    def __init__(self, library: Library, backend: WindowSeams, problem: Problem) -> None:
        self._library, self._backend, self._problem = library, backend, problem
        self._plans: dict[tuple[int, int, str], tuple[Plan, bool] | None] = {}

    def filters(self, weight: Array) -> Array:
        """(*kernel, inputs // groups, outputs) -> (outputs, *kernel, inputs // groups), in one copy."""
        return self._compact(self._backend.xp.moveaxis(weight, -1, 0))

    def correlate(self, x: Array, filters: Array) -> Array | None:
        """(n, *size, inputs) -> (n, *output, outputs)."""
        problem, plan = self._problem, self._plan("forward", x)
        if plan is None:
            return None
        y = self._backend.empty((problem.n, *problem.windows.output, problem.outputs), x)
        self._run(plan[0], {X: self._seen(x, plan), FILTERS: filters, Y: y})
        return y

    def adjoint(self, dy: Array, filters: Array) -> Array | None:
        """(n, *output, outputs) -> (n, *size, inputs)."""
        problem, plan = self._problem, self._plan("data gradient", dy)
        if plan is None:
            return None
        windows = problem.windows
        size: Shape = windows.reach if plan[1] else windows.size
        dx = self._backend.empty((problem.n, *size, problem.inputs), dy)
        self._run(plan[0], {Y: self._compact(dy), FILTERS: filters, X: dx})
        return self._backend.unpad(dx, windows) if plan[1] else dx

    def weight_gradient(self, x: Array, dy: Array, out: Array | None) -> Array | None:
        """(n, *size, inputs), (n, *output, outputs) -> (*kernel, inputs // groups, outputs)."""
        problem, plan = self._problem, self._plan("weight gradient", x)
        if plan is None:
            return None
        shape = (problem.outputs, *problem.windows.kernel, problem.inputs // problem.groups)
        dfilters = self._backend.empty(shape, x)
        self._run(plan[0], {X: self._seen(x, plan), Y: self._compact(dy), FILTERS: dfilters})
        dweight = self._backend.xp.moveaxis(dfilters, 0, -1)
        if out is None:
            return dweight
        out[...] = dweight
        return out

    def _seen(self, x: Array, plan: tuple[Plan, bool]) -> Array:
        """x as the plan wants it: padded before, where cuDNN cannot."""
        return self._compact(self._backend.pad(x, self._problem.windows) if plan[1] else x)

    def _compact(self, x: Array) -> Array:
        """x without gaps, in row-major order, and beginning where cuDNN may load it."""
        aligned = self._library.device.pointer(x) % _ALIGNMENT == 0
        return x if x.flags.c_contiguous and aligned else x.copy()

    def _run(self, plan: Plan, arrays: dict[int, Array]) -> None:
        device, first = self._library.device, arrays[FILTERS]
        with device.entered(first):
            memory, workspace = device.workspace(plan.workspace)
            handle = self._library.handle(device.number(first))
            plan.run(handle, {uid: device.pointer(x) for uid, x in arrays.items()}, workspace)
            del memory  # the pool gives it to what comes later on this stream

    def _plan(self, product: str, like: Array) -> tuple[Plan, bool] | None:
        """This thread's plan, and whether the input is padded before; None, after a warning, where there is none."""
        number = self._library.device.number(like)
        key = (threading.get_ident(), number, product)
        if key not in self._plans:
            with self._library.device.entered(like):
                self._plans[key] = self._planned(product, number)
        return self._plans[key]

    def _planned(self, product: str, number: int) -> tuple[Plan, bool] | None:
        library, problem, reasons = self._library, self._problem, []
        handle, most = library.handle(number), library.device.most()
        for cut in (False, True) if problem.windows.padded else (False,):
            try:
                return Plan(library.cudnn, handle, product, problem.cut() if cut else problem, most), cut
            except NoPlanError as error:
                reasons.append(str(error))
        warnings.warn(
            f"cuDNN has no engine for the {product} of a convolution ({problem}), which is computed the generic way: "
            f"{reasons[0]}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def convolution(
    backend: WindowSeams, n: int, weight: Array, windows: Windows, groups: int, required: bool
) -> CuDNNConvolution | None:
    """cuDNN's convolution of CuPy's arrays; None where cuDNN is missing or not asked.

    Raises
    ------
    BackendUnavailableError : `required`, and cuDNN cannot be used.
    """
    library = opened()
    why = library if isinstance(library, str) else library.why_unusable(weight)
    if why is None and isinstance(library, Library):
        return library.convolution(backend, n, weight, windows, groups)
    if required:
        raise BackendUnavailableError(f"convolution 'cudnn': {why}")
    return None


def require_cudnn() -> None:
    """Sees to it that cuDNN can be used on this machine.

    Raises
    ------
    BackendUnavailableError : CuPy or cuDNN is missing; the message says what mends it.
    """
    try:
        open_backend("cupy")
    except BackendUnavailableError as error:
        raise BackendUnavailableError(f"convolution 'cudnn' is for CuPy arrays: {error}") from error
    library = opened()
    if isinstance(library, str):
        raise BackendUnavailableError(f"convolution 'cudnn': {library}")


def describe() -> str:
    """One line for `python -m xpnet`: cuDNN's version, or why there is none."""
    library = opened()
    if isinstance(library, str):
        return f"no cuDNN: {library}"
    return f"cuDNN {library.cudnn.backend_version()}"


@functools.cache
def opened() -> Library | str:
    """cuDNN for CuPy, or why it cannot be used here and what mends it."""
    import cupy

    major = cupy.cuda.runtime.runtimeGetVersion() // 1000
    install = f"pip install 'xpnet[cudnn{major}]'"
    try:
        import cudnn
    except (ImportError, OSError, AssertionError) as error:  # the last: two of its libraries are installed
        return f"nvidia-cudnn-frontend cannot be imported ({error}): {install}"
    try:
        version = cudnn.backend_version()
    except RuntimeError as error:
        return f"nvidia-cudnn-frontend is installed but finds no cuDNN library ({error}): {install}"
    if version < 90000:
        return f"the cuDNN library found is version {version}, older than 9: {install}"
    built_for = _cuda_of_cudnn()
    if built_for not in (None, major):
        return f"the cuDNN library found is for CUDA {built_for}, CuPy is for CUDA {major}: {install}"
    return Library(cudnn, Device(cupy))


def _cuda_of_cudnn() -> int | None:
    """The CUDA major version that the loaded cuDNN was built for; None where it does not tell."""
    try:
        ask = ctypes.CDLL("libcudnn.so.9").cudnnGetCudartVersion
    except (OSError, AttributeError):
        return None
    ask.restype = ctypes.c_size_t
    return int(ask()) // 1000
