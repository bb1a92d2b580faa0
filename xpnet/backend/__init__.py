"""The only room that names an array library: choosing one, moving arrays, and the seams that may be fast.

Everything else computes with what it gets: `xp = array_namespace(x)`.
"""

from xpnet.backend._backend import Backend
from xpnet.backend._capture import Captured, CaptureUnavailableError, CaptureWarning, Graph, Recorder, capture
from xpnet.backend._choice import available_backends, get_backend, register_backend, set_backend, use_backend
from xpnet.backend._convolution import Convolution
from xpnet.backend._cudnn import require_cudnn
from xpnet.backend._cupy import CuPy
from xpnet.backend._elementwise import elementwise
from xpnet.backend._failures import asked_bytes
from xpnet.backend._nccl import NcclGroup
from xpnet.backend._numba import compiled_loops
from xpnet.backend._numpy import NumPy
from xpnet.backend._override import Override
from xpnet.backend._random import (
    Generator,
    HostArray,
    Key,
    checked_seed,
    current_seed,
    draw,
    host_zeros,
    next_key,
    random_key,
    scramble,
    seed,
    use_seed,
)
from xpnet.backend._recording import Recording, depends_on, goes_by, on_host, recording, watched
from xpnet.backend._registry import (
    BackendUnavailableError,
    array_namespace,
    backend_of,
    find_backend,
    known_backends,
    open_backend,
    why_unavailable,
)
from xpnet.backend._seams import column_sum, for_blocks, matmul, readable, row_max, row_sum, sum_of_squares, to_host
from xpnet.backend._staging import Staging
from xpnet.backend._torch import Torch
from xpnet.backend._units import in_units
from xpnet.backend._windows import Windows

register_backend("numpy", "numpy", kind=NumPy)
register_backend(
    "cupy",
    "array_api_compat.cupy",
    library="cupy",
    kind=CuPy,
    install="pip install 'xpnet[cuda12]' (CUDA 12) or 'xpnet[cuda13]' (CUDA 13)",
)
register_backend("torch", "array_api_compat.torch", library="torch", kind=Torch)
register_backend("array_api_strict", "array_api_strict")

__all__ = [
    "Backend",
    "BackendUnavailableError",
    "CaptureUnavailableError",
    "CaptureWarning",
    "Captured",
    "Convolution",
    "CuPy",
    "Generator",
    "Graph",
    "HostArray",
    "Key",
    "NcclGroup",
    "Override",
    "Recorder",
    "Recording",
    "Staging",
    "Windows",
    "array_namespace",
    "asked_bytes",
    "available_backends",
    "backend_of",
    "capture",
    "checked_seed",
    "column_sum",
    "compiled_loops",
    "current_seed",
    "depends_on",
    "draw",
    "elementwise",
    "find_backend",
    "for_blocks",
    "get_backend",
    "goes_by",
    "host_zeros",
    "in_units",
    "known_backends",
    "matmul",
    "next_key",
    "on_host",
    "open_backend",
    "random_key",
    "readable",
    "recording",
    "register_backend",
    "require_cudnn",
    "row_max",
    "row_sum",
    "scramble",
    "seed",
    "set_backend",
    "sum_of_squares",
    "to_host",
    "use_backend",
    "use_seed",
    "watched",
    "why_unavailable",
]
