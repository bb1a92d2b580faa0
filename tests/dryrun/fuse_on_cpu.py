"""Runs on the CPU the C++ that `cupy.fuse` writes, to compare its values with the plain body's.

`fuse(function)` stands in for `cupy.fuse`: the result takes NumPy arrays and Python numbers, has CuPy write the kernel
for CuPy arrays of the same shapes and types, compiles its operation with g++ in a plain loop, and runs that.
"""

import ctypes
import functools
import pathlib
import re
import subprocess
import tempfile

import cupy_dryrun  # noqa: F401 - must come before cupy
import cupy
import numpy as np
from cupy._core import _fusion_thread_local, fusion

C_TYPES = {
    "float16": "float16",
    "float32": "float",
    "float64": "double",
    "int32": "int",
    "int64": "long long",
    "bool": "bool",
}
NUMBERS = {"float": ctypes.c_float, "double": ctypes.c_double, "int": ctypes.c_int, "long long": ctypes.c_longlong}
PRELUDE = """
#include <algorithm>
#include <cmath>
using std::isfinite; using std::isnan; using std::max; using std::min;
#define __device__ static inline
typedef _Float16 float16;
"""


def fuse(function):
    def run(*arguments):
        kernel = _write_kernel(function, arguments)
        return _run(kernel, arguments)

    return run


def _write_kernel(function, arguments):
    history = fusion._FusionHistory()
    local = _fusion_thread_local.thread_local
    local.history, local.is_old_fusing = history, True
    try:
        on_device = [cupy.empty(a.shape, a.dtype) if isinstance(a, np.ndarray) else a for a in arguments]
        return history.get_fusion(function, on_device, function.__name__)[0]
    finally:
        local.history, local.is_old_fusing = None, False


def _run(kernel, arguments):
    shape = np.broadcast_shapes(*(a.shape for a in arguments if isinstance(a, np.ndarray)))
    values = {f"v{i}": a for i, a in enumerate(arguments)}
    inputs, outputs = ([p.name for p in params] for params in (kernel.in_params, kernel.out_params))
    types = {p.name: np.dtype(p.dtype).name for p in (*kernel.in_params, *kernel.out_params) if p.dtype is not None}
    new = [name for name in outputs if name not in values]
    written = {*outputs, *(p.name for p in kernel.in_params if not p.is_const)}
    values |= {name: np.empty(shape, types[name]) for name in new}

    signature, load, store, passed, spread = [], [], [], [], {}
    for name in dict.fromkeys(inputs + outputs):
        value = values[name]
        if isinstance(value, np.ndarray):
            c_type = C_TYPES[value.dtype.name]
            spread[name] = np.array(np.broadcast_to(value, shape), order="C")
            signature.append(f"{c_type}* p_{name}")
            load.append(f"{c_type} {name} = p_{name}[i];")
            if name in written:
                store.append(f"p_{name}[i] = {name};")
            passed.append(spread[name].ctypes.data_as(ctypes.c_void_p))
        else:
            c_type = C_TYPES[types[name]]
            signature.append(f"{c_type} {name}")
            passed.append(NUMBERS[c_type](value))
    preamble = re.sub(r'#include "cupy[^\n]*', "", kernel.preamble)
    loop = f"for (long i = 0; i < n; i++) {{ {' '.join(load)}\n{kernel.operation};\n{' '.join(store)} }}"
    source = f'{PRELUDE}{preamble}\nextern "C" void run({", ".join(signature)}, long n) {{ {loop} }}\n'
    _compile(source).run(*passed, ctypes.c_long(int(np.prod(shape))))
    for name in written.difference(new):
        values[name][...] = spread[name]
    fresh = tuple(spread[name] for name in new)
    return fresh[0] if len(fresh) == 1 else fresh or None


@functools.cache
def _compile(source):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fuse_on_cpu_"))
    (folder / "kernel.cpp").write_text(source)
    command = ["g++", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-w", "kernel.cpp", "-o", "kernel.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "kernel.so"))
