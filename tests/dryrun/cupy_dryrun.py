"""Counts what a piece of CuPy code would ask of a GPU, on a machine that has none.

Import this module before cupy. The real CuPy 14.2 wheel then runs its own host code over a CUDA that does
nothing: every kernel launch, matrix product, memset, copy and synchronization is counted, no value is ever
computed (arrays hold what was copied to them or garbage, device-to-host reads give zeros). So it answers
"how many launches, and does this step copy or wait?", never "is the result right?".

    import cupy_dryrun
    import cupy as cp
    x = cp.empty((128, 784), "float32"); w = cp.empty((784, 10), "float32")
    with cupy_dryrun.trace() as t:
        y = cp.maximum(x @ w, 0.0)
    print(t)              # launches 1, gemms 1, memsets 0, h2d 0, d2h 0, d2d 0, syncs 0, graphs 0
    print(t.events)       # names in order

Run something once before tracing it, so that compilation and first-time set-up are not counted.
Needs: cupy-cuda12x==14.2.0 (it replaces entries of that version's internals), gcc and the Python headers.
"""

import contextlib, ctypes, os, pathlib, subprocess, sys, sysconfig, tempfile, types

if "cupy" in sys.modules:
    raise ImportError("import cupy_dryrun before cupy")

sys.modules["cudnn"] = None  # on a machine with a GPU it would be handed addresses that mean nothing there
os.environ["CUPY_ACCELERATORS"] = ""  # CUB's reductions are launched where this tool cannot see them

_here = pathlib.Path(__file__).resolve().parent
_build = pathlib.Path(tempfile.mkdtemp(prefix="cupy_dryrun_"))
_so = _build / "dryrun.so"
subprocess.run(
    [
        "gcc",
        "-O1",
        "-shared",
        "-fPIC",
        "-w",
        f"-I{sysconfig.get_paths()['include']}",
        str(_here / "dryrun.c"),
        "-o",
        str(_so),
    ],
    check=True,
)
_lib = ctypes.PyDLL(str(_so))
_lib.dry_name.restype = ctypes.c_char_p
_lib.dry_bytes.restype = ctypes.c_long
_lib.dry_stream.restype = ctypes.c_ssize_t

import cupy_backends.cuda.api.driver as _driver
import cupy_backends.cuda.api.runtime as _runtime

_api = ctypes.pythonapi
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
_api.PyCapsule_GetName.restype = ctypes.c_char_p
_api.PyCapsule_GetName.argtypes = [ctypes.py_object]
_kept = []


def _swap(module, entry, symbol):
    old = module.__pyx_capi__[entry]
    name = ctypes.create_string_buffer(_api.PyCapsule_GetName(old))
    address = ctypes.cast(getattr(_lib, symbol), ctypes.c_void_p).value
    new = _api.PyCapsule_New(address, ctypes.addressof(name), None)
    _kept.append((old, name, new))
    module.__pyx_capi__[entry] = new


for _entry, _symbol in {
    "getDevice": "getDevice",
    "setDevice": "setDevice",
    "getDeviceCount": "getDeviceCount",
    "deviceGetAttribute": "deviceGetAttribute",
    "malloc": "dry_malloc",
    "free": "dry_free",
    "hostAlloc": "hostAlloc",
    "freeHost": "dry_free",
    "memsetAsync": "memsetAsync",
    "memcpyAsync": "memcpyAsync",
    "memcpy": "memcpy_sync",
    "_ensure_context": "ensure_context",
    "streamSynchronize": "streamSynchronize",
    "deviceSynchronize": "deviceSynchronize",
    "streamIsCapturing": "streamIsCapturing",
    "runtimeGetVersion": "runtimeGetVersion",
    "driverGetVersion": "driverGetVersion",
    "pointerGetMemoryType": "pointerGetMemoryType",
    "eventCreateWithFlags": "eventCreate",
    "eventDestroy": "event_one",
    "eventRecord": "event_two",
    "eventSynchronize": "event_one",
    "eventQuery": "eventQuery",
    "streamCreateWithPriority": "streamCreate",
    "streamDestroy": "event_one",
    "streamWaitEvent": "event_two",
    "getDeviceProperties": "getDeviceProperties",
    "streamBeginCapture": "beginCapture",
    "streamEndCapture": "endCapture",
    "graphInstantiate": "graphInstantiate",
    "graphLaunch": "graphLaunch",
    "graphUpload": "event_two",
    "graphDestroy": "event_one",
    "graphExecDestroy": "event_one",
}.items():
    _swap(_runtime, _entry, _symbol)
for _entry, _symbol in {
    "launchKernel": "launchKernel",
    "launchCooperativeKernel": "launchCooperative",
    "moduleGetFunction": "moduleGetFunction",
    "moduleLoadData": "moduleLoadData",
    "moduleUnload": "moduleUnload",
    "ctxGetCurrent": "ctxGetCurrent",
    "occupancyMaxActiveBlocksPerMultiprocessor": "occupancy",
}.items():
    _swap(_driver, _entry, _symbol)
_runtime.getDevice = lambda: 0
_runtime.getDeviceCount = lambda: 1
_runtime.setDevice = lambda device: None
_runtime.runtimeGetVersion = lambda: 12090
_runtime.driverGetVersion = lambda: 13000
_runtime.deviceGetAttribute = lambda a, d: _lib.deviceGetAttribute(a, d, 0)
_runtime.memGetInfo = lambda: (140 << 30, 141 << 30)
_runtime.getDeviceProperties = lambda device: {
    "name": b"dry run",
    "multiProcessorCount": 132,
    "totalGlobalMem": 141 << 30,
}

import cupy
from cupy.cuda import compiler as _compiler, function as _function

if not cupy.__version__.startswith("14.2."):
    raise ImportError(f"cupy_dryrun knows CuPy 14.2; found {cupy.__version__}")


def _no_compile(*args, **kwargs):
    module = _function.Module()
    module.load(b"x")
    return module


_compiler._compile_module_with_cache = _no_compile
import cuda.pathfinder as _pathfinder

_pathfinder.find_nvidia_header_directory = lambda name: tempfile.gettempdir()

import cupy_backends.cuda.libs as _libs

_cublas = types.ModuleType("cupy_backends.cuda.libs.cublas")
gemm_calls = []


def _gemm(name):
    number = _lib.dry_register(f"<gemm:{name}>".encode())

    def call(*args):
        gemm_calls.append((name, args))
        _lib.dry_gemm(number)

    return call


for _name in (
    "gemmEx",
    "sgemm",
    "dgemm",
    "sgemmBatched",
    "dgemmBatched",
    "gemmStridedBatchedEx",
    "sgemmEx",
    "sgemv",
    "dgemv",
):
    setattr(_cublas, _name, _gemm(_name))
_cublas.setMathMode = lambda handle, mode: None
_cublas.create = lambda: 1
_cublas.destroy = lambda handle: None
for _name, _value in dict(
    CUBLAS_COMPUTE_32F=68,
    CUBLAS_COMPUTE_32F_PEDANTIC=69,
    CUBLAS_COMPUTE_32F_FAST_TF32=77,
    CUBLAS_COMPUTE_64F=70,
    CUBLAS_COMPUTE_64F_PEDANTIC=71,
    CUBLAS_GEMM_DEFAULT=-1,
    CUBLAS_GEMM_DEFAULT_TENSOR_OP=99,
    CUBLAS_OP_N=0,
    CUBLAS_OP_T=1,
    CUBLAS_POINTER_MODE_HOST=0,
    CUBLAS_POINTER_MODE_DEVICE=1,
).items():
    setattr(_cublas, _name, _value)
sys.modules["cupy_backends.cuda.libs.cublas"] = _cublas
_libs.cublas = _cublas


class Trace:
    """What one traced block asked for: `events` in order, the `streams` they were given to, and the counts."""

    events = ()
    streams = ()
    bytes_allocated = 0

    def _number(self, tag):
        return sum(e == tag for e in self.events)

    launches = property(lambda self: sum(not e.startswith("<") for e in self.events))
    gemms = property(lambda self: sum(e.startswith("<gemm") for e in self.events))
    memsets = property(lambda self: self._number("<memset>"))
    h2d = property(lambda self: self._number("<H2D>"))
    d2h = property(lambda self: self._number("<D2H>"))
    d2d = property(lambda self: self._number("<D2D>"))
    syncs = property(lambda self: self._number("<sync>"))
    graphs = property(lambda self: self._number("<graph>"))
    total = property(lambda self: len(self.events))

    def __str__(self):
        fields = ("launches", "gemms", "memsets", "h2d", "d2h", "d2d", "syncs", "graphs")
        return ", ".join(f"{name} {getattr(self, name)}" for name in fields)


@contextlib.contextmanager
def trace():
    t = Trace()
    gemm_calls.clear()
    _lib.dry_start()
    try:
        yield t
    finally:
        _lib.dry_stop()
        t.events = tuple(_lib.dry_name(i).decode() for i in range(_lib.dry_count()))
        t.streams = tuple(_lib.dry_stream(i) for i in range(_lib.dry_count()))
        t.bytes_allocated = _lib.dry_bytes()
