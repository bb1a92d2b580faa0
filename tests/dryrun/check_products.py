"""Compares products as xpnet asks cuBLAS for them with NumPy's, for every layout of the factors; prints JSON.

Run by test_dryrun_precision.py. The dry run's memory is the host's, so a cuBLAS of a few lines can work on it: it reads
matrices by columns, with leading dimensions and strides, as the real one does.
"""

import ctypes
import itertools
import json

import cupy_dryrun
import cupy
import numpy as np

import xpnet
from xpnet.backend import backend_of, open_backend

TYPES = {0: np.float32, 2: np.float16}
random = np.random.default_rng(0)


def memory(pointer, dtype, size):
    buffer = (ctypes.c_char * (size * np.dtype(dtype).itemsize)).from_address(pointer)
    return np.frombuffer(buffer, dtype)


def matrix(pointer, kind, leading, rows, columns):
    """(rows, columns), a view of memory that holds it column by column."""
    return memory(pointer, TYPES[kind], leading * columns).reshape(columns, leading)[:, :rows].T


def gemm(flip_a, flip_b, m, n, k, a, kind_a, lda, b, kind_b, ldb, c, kind_c, ldc):
    left = matrix(a, kind_a, lda, k, m).T if flip_a else matrix(a, kind_a, lda, m, k)
    right = matrix(b, kind_b, ldb, n, k).T if flip_b else matrix(b, kind_b, ldb, k, n)
    matrix(c, kind_c, ldc, m, n)[...] = left.astype(np.float32) @ right.astype(np.float32)


def gemm_ex(handle, ta, tb, m, n, k, one, a, kind_a, lda, b, kind_b, ldb, zero, c, kind_c, ldc, compute, algorithm):
    assert memory(one, np.float32, 1) == 1.0
    assert memory(zero, np.float32, 1) == 0.0
    gemm(ta, tb, m, n, k, a, kind_a, lda, b, kind_b, ldb, c, kind_c, ldc)


def gemm_strided(handle, ta, tb, m, n, k, one, *rest):
    a, kind_a, lda, step_a, b, kind_b, ldb, step_b, _, c, kind_c, ldc, step_c, planes, _, _ = rest
    for p in range(planes):
        places = (
            pointer + p * step * np.dtype(TYPES[kind]).itemsize
            for pointer, step, kind in ((a, step_a, kind_a), (b, step_b, kind_b), (c, step_c, kind_c))
        )
        at_a, at_b, at_c = places
        gemm(ta, tb, m, n, k, at_a, kind_a, lda, at_b, kind_b, ldb, at_c, kind_c, ldc)


cupy_dryrun._cublas.gemmEx = gemm_ex
cupy_dryrun._cublas.gemmStridedBatchedEx = gemm_strided


def filled(shape, dtype, turned):
    """An array of that shape with random values, and the same on the host; `turned` has its last axes swapped."""
    stored = (*shape[:-2], *reversed(shape[-2:])) if turned else shape
    array = cupy.empty(stored, dtype)
    host = memory(array.data.ptr, dtype, array.size).reshape(stored)
    host[...] = random.normal(size=stored)
    return (array.swapaxes(-1, -2), host.swapaxes(-1, -2)) if turned else (array, host)


def on_host(array):
    return memory(array.data.ptr, array.dtype, array.size).reshape(array.shape)


def difference(found, expected):
    return float(np.abs(on_host(found).astype(np.float32) - expected).max() / np.abs(expected).max())


found = {}
for matmul, dtype in (("float32", "float32"), ("tf32", "float32"), ("float32", "float16")):
    with xpnet.use_backend(open_backend("cupy", matmul=matmul)):
        for turn_a, turn_b in itertools.product((False, True), repeat=2):
            name = f"{matmul}, {dtype}, {turn_a}, {turn_b}"
            for sizes in ((5, 7, 3), (1, 7, 3), (5, 7, 1), (5, 1, 3)):
                n, k, m = sizes
                (a, host_a), (b, host_b) = filled((n, k), dtype, turn_a), filled((k, m), dtype, turn_b)
                expected = host_a.astype(np.float32) @ host_b.astype(np.float32)
                seam = backend_of(a)
                found[f"{name}, {sizes}"] = difference(seam.matmul(a, b), expected)
                out = cupy.empty((n, m), "float32")
                found[f"{name}, {sizes}, into float32"] = difference(seam.matmul(a, b, out), expected)
            (a, host_a), (b, host_b) = filled((4, 5, 7), dtype, turn_a), filled((4, 7, 3), dtype, turn_b)
            expected = host_a.astype(np.float32) @ host_b.astype(np.float32)
            found[f"{name}, planes"] = difference(backend_of(a).matmul_planes(a, b), expected)
print(json.dumps(found))
