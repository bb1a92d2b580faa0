"""Products that CuPy's own functions do not offer: in TF32, and of float16 with sums and results in float32.

CuPy 14 keeps its compute types in one list for the whole process, and its product of stacks knows no TF32. So cuBLAS is
asked directly, by the same two functions through which CuPy's own products go.
"""

import functools
from typing import Any

import numpy as np

from xpnet._typing import Array

FLOAT32, TF32 = 68, 77
"""CUBLAS_COMPUTE_32F and CUBLAS_COMPUTE_32F_FAST_TF32: how cuBLAS multiplies and adds up."""
_TYPES = {"float16": 2, "float32": 0}
"""CUDA_R_16F and CUDA_R_32F: how the numbers lie in memory."""
_DEFAULT = -1
"""CUBLAS_GEMM_DEFAULT: its other name, 99, would let older GPUs compute float32 in float16."""
_COEFFICIENTS = np.asarray([1.0, 0.0], np.float32)
_ONE, _ZERO = _COEFFICIENTS.ctypes.data, _COEFFICIENTS.ctypes.data + 4


def fits(a: Array, b: Array, out: Array | None = None) -> bool:
    """Whether these functions know the types; arrays without elements, and products of one element, are CuPy's."""
    place = out is None or (out.size > 1 and out.flags.c_contiguous and out.dtype.name in _TYPES)
    return place and a.size > 0 and b.size > 0 and a.dtype == b.dtype and a.dtype.name in _TYPES


def product(a: Array, b: Array, out: Array, compute: int) -> Array:
    """(n, k) @ (k, m), written into `out` (n, m), whose rows lie one after the other."""
    (n, k), m = a.shape, b.shape[1]
    # In cuBLAS's order, by columns, `out` is its own transpose: outᵀ = bᵀ aᵀ.
    (b, by_columns_b, ldb), (a, by_columns_a, lda) = _matrix(b), _matrix(a)
    sizes = m, n, k
    numbers = _ONE, b.data.ptr, _type(b), ldb, a.data.ptr, _type(a), lda, _ZERO, out.data.ptr, _type(out), m
    _cublas().gemmEx(_device().get_cublas_handle(), by_columns_b, by_columns_a, *sizes, *numbers, compute, _DEFAULT)
    return out


def planes(a: Array, b: Array, out: Array, compute: int) -> Array:
    """Plane by plane (p, n, k) @ (p, k, m), written into `out` (p, n, m), which lies in one piece."""
    (p, n, k), m = a.shape, b.shape[2]
    (b, by_columns_b, ldb), (a, by_columns_a, lda) = _stack(b), _stack(a)
    first = _ONE, b.data.ptr, _type(b), ldb, k * m, a.data.ptr, _type(a), lda, n * k
    second = _ZERO, out.data.ptr, _type(out), m, n * m, p
    _cublas().gemmStridedBatchedEx(
        _device().get_cublas_handle(), by_columns_b, by_columns_a, m, n, k, *first, *second, compute, _DEFAULT
    )
    return out


def _matrix(a: Array) -> tuple[Array, int, int]:
    """A matrix that cuBLAS can read, whether it lies there by columns (1) or by rows (0), and its leading dimension."""
    if a.flags.c_contiguous:
        return a, 0, a.shape[1]
    if a.flags.f_contiguous:
        return a, 1, a.shape[0]
    return a.copy(), 0, a.shape[1]


def _stack(a: Array) -> tuple[Array, int, int]:
    """The same for a stack of matrices, which may be one of transposed ones."""
    if a.flags.c_contiguous:
        return a, 0, a.shape[2]
    if a.transpose(0, 2, 1).flags.c_contiguous:
        return a, 1, a.shape[1]
    return a.copy(), 0, a.shape[2]


def _type(a: Array) -> int:
    return _TYPES[a.dtype.name]


@functools.cache
def _cublas() -> Any:
    """CuPy's module, whose functions are looked up at each product: while a step is captured, others stand there."""
    from cupy_backends.cuda.libs import cublas

    return cublas


@functools.cache
def _device() -> Any:
    from cupy.cuda import device

    return device
