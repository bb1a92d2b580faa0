"""Runs on the CPU the text of `cupy.ElementwiseKernel`s, to compare their values with the plain seams'.

`ElementwiseKernel` stands in for CuPy's: it compiles the very operation with g++ in a plain loop over i, and takes
NumPy arrays. Only what xpnet's kernels use is there: raw arrays, numbers, types T and S, `size=`. Raw arrays know how
long they are: a kernel that reads or writes beyond one is an error here.
"""

import ctypes
import functools
import pathlib
import subprocess
import tempfile

import numpy as np

C_TYPES = {"float16": "_Float16", "float32": "float", "float64": "double", "int32": "int", "int64": "long long"}
NUMBERS = {"float32": ctypes.c_float, "float64": ctypes.c_double, "int32": ctypes.c_int, "int64": ctypes.c_longlong}
PRELUDE = """
#include <stddef.h>
#define __device__ static
static bool beyond;
template <typename V> struct Raw {
  V* data; ptrdiff_t size;
  V& operator[](ptrdiff_t k) const { if (k < 0 || k >= size) { beyond = true; k = 0; } return data[k]; }
};
"""
MATHEMATICS = """
#include <cmath>
using std::exp; using std::sqrt;
"""  # which takes as long to read as all the rest


class ElementwiseKernel:
    """One kernel."""

    def __init__(self, in_params, out_params, operation, name, preamble="", no_return=False):
        assert no_return
        self.parameters = [tuple(each.split()) for each in f"{in_params}, {out_params}".split(", ")]
        self.outputs = {each.split()[-1] for each in out_params.split(", ")}
        self.operation, self.name, self.preamble = operation, name, preamble

    def __call__(self, *arguments, size):
        assert len(arguments) == len(self.parameters), (self.name, len(arguments), self.parameters)
        types, signature, arrays, passed, results = {}, [], [], [], []
        for value, (*raw, kind, name) in zip(arguments, self.parameters):
            if raw:
                assert types.setdefault(kind, value.dtype.name) == value.dtype.name, (self.name, name, value.dtype)
                flat = np.array(value, order="C")  # as CuPy counts: in C order, whatever the strides
                const = "" if name in self.outputs else "const "
                if name in self.outputs:
                    results.append((value, flat))
                signature += [f"{const}{kind}* {name}_data", f"ptrdiff_t {name}_size"]
                arrays.append(f"Raw<{const}{kind}> {name}{{{name}_data, {name}_size}};")
                passed += [flat.ctypes.data_as(ctypes.c_void_p), ctypes.c_long(flat.size)]
            else:
                signature.append(f"{C_TYPES[kind]} {name}")
                passed.append(NUMBERS[kind](value))
        source = f"""{PRELUDE}{MATHEMATICS if any(f in self.operation for f in ("exp(", "sqrt(")) else ""}
{" ".join(f"typedef {C_TYPES[dtype]} {kind};" for kind, dtype in types.items())}
{self.preamble}
extern "C" bool run({", ".join(signature)}, ptrdiff_t n) {{
  {" ".join(arrays)}
  for (ptrdiff_t i = 0; i < n; ++i) {{ {self.operation}; }}
  return beyond;
}}
"""
        assert not compiled(source)(*passed, ctypes.c_long(size)), f"{self.name}: beyond an array"
        for value, flat in results:
            value[...] = flat


@functools.cache
def compiled(source):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kernels_on_cpu_"))
    (folder / "kernel.cpp").write_text(source)
    command = ["g++", "-O0", "-ffp-contract=off", "-shared", "-fPIC", "-w", "kernel.cpp", "-o", "kernel.so"]
    subprocess.run(command, cwd=folder, check=True)
    run = ctypes.CDLL(str(folder / "kernel.so")).run
    run.restype = ctypes.c_bool
    return run
