"""What errors of array libraries mean, told by their texts: CuPy, PyTorch, cuBLAS and cuDNN share no classes."""

import re

_OUT_OF_MEMORY = (
    *("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "CUDA error: out of memory", "CUDA out of memory"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    *("can't allocate memory", "not enough memory"),  # PyTorch on the host
)
_LOST = (
    *("an illegal memory access was encountered", "unspecified launch failure", "misaligned address"),
    *("an illegal instruction was encountered", "invalid program counter", "device-side assert triggered"),
    *("hardware stack error", "operation not supported on global/shared address space", "context is destroyed"),
    *("uncorrectable ECC error encountered", "uncorrectable NVLink error", "cudaErrorContained"),
    *("the launch timed out and was terminated", "busy or unavailable", "no CUDA-capable device is detected"),
    *("GPU access blocked by the operating system", "system not yet initialized"),
    *("cudaErrorUnknown", "CUDA_ERROR_UNKNOWN", "CUDA error: unknown error"),
)
_ASKED = re.compile(r"allocat\w+ ([\d.,]+) ?(bytes|B|KiB|MiB|GiB|TiB|PiB|EiB)\b")
_BYTES = {"bytes": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50, "EiB": 2**60}


def out_of_memory(error: BaseException) -> bool:
    """Whether memory could not be had."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _says(error, _OUT_OF_MEMORY))


def lost(error: BaseException) -> bool:
    """Whether a device can no longer be used by this process, nor anything on it be read."""
    return isinstance(error, RuntimeError) and _says(error, _LOST)


def asked_bytes(error: BaseException) -> int | None:
    """How much memory could not be had, as far as the error tells."""
    found = _ASKED.search(str(error))
    return None if found is None else int(float(found[1].replace(",", "")) * _BYTES[found[2]])


def _says(error: BaseException, phrases: tuple[str, ...]) -> bool:
    text = str(error)
    return any(phrase in text for phrase in phrases)
