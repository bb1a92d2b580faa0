"""Runs on the CPU the text of `cupy.ElementwiseKernel`s, to compare their values with the plain seams'.

`ElementwiseKernel` stands in for CuPy's: it compiles the very operation with g++ in a plain loop over i, and takes
NumPy arrays. Only what xpnet's kernels use is there: raw arrays, numbers, one type T, `size=`.
"""

import ctypes
import functools
import pathlib
import subprocess
import tempfile

import numpy as np

C_TYPES = {"float16": "_Float16", "float32": "float", "float64": "double", "int32": "int", "int64": "long long"}
NUMBERS = {"float32": ctypes.c_float, "int32": ctypes.c_int, "int64": ctypes.c_longlong}
PRELUDE = """
#include <stddef.h>
#define __device__ static
"""
MATHEMATICS = """
#include <cmath>
using std::exp;
"""  # which takes as long to read as all the rest


class ElementwiseKernel:
    """One kernel; `launched` counts the launches of all."""

    launched = 0

    def __init__(self, in_params, out_params, operation, name, preamble="", no_return=False):
        assert no_return
        self.parameters = [tuple(each.split()) for each in f"{in_params}, {out_params}".split(", ")]
        self.outputs = {each.split()[-1] for each in out_params.split(", ")}
        self.operation, self.name, self.preamble = operation, name, preamble

    def __call__(self, *arguments, size):
        assert len(arguments) == len(self.parameters), (self.name, len(arguments), self.parameters)
        ElementwiseKernel.launched += 1
        (dtype,) = {a.dtype.name for a, (raw, *_) in zip(arguments, self.parameters) if raw == "raw"}
        signature, passed, after = [], [], []
        for value, (*kind, name) in zip(arguments, self.parameters):
            if kind[0] == "raw":
                flat = np.ascontiguousarray(value)  # as CuPy counts: in C order, whatever the strides
                if name in self.outputs and not np.shares_memory(flat, value):
                    after.append((value, flat))
                signature.append(f"{'' if name in self.outputs else 'const '}T* {name}")
                passed.append(flat.ctypes.data_as(ctypes.c_void_p))
                passed[-1].keep = flat
            else:
                signature.append(f"{C_TYPES[kind[0]]} {name}")
                passed.append(NUMBERS[kind[0]](value))
        source = f"""{PRELUDE}{MATHEMATICS if "exp(" in self.operation else ""}typedef {C_TYPES[dtype]} T;
{self.preamble}
extern "C" void run({", ".join(signature)}, ptrdiff_t n) {{ for (ptrdiff_t i = 0; i < n; ++i) {{ {self.operation}; }} }}
"""
        compiled(source).run(*passed, ctypes.c_long(size))
        for value, flat in after:
            value[...] = flat


@functools.cache
def compiled(source):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kernels_on_cpu_"))
    (folder / "kernel.cpp").write_text(source)
    command = ["g++", "-O0", "-ffp-contract=off", "-shared", "-fPIC", "-w", "kernel.cpp", "-o", "kernel.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "kernel.so"))
