"""What errors of array libraries mean, told by their texts: CuPy, PyTorch, cuBLAS and cuDNN share no classes."""

_OUT_OF_MEMORY = (
    *("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "CUDA error: out of memory", "CUDA out of memory"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    *("can't allocate memory", "not enough memory"),  # PyTorch on the host
)
_LOST = (
    *("an illegal memory access was encountered", "unspecified launch failure", "misaligned address"),
    *("an illegal instruction was encountered", "invalid program counter", "device-side assert triggered"),
    *("hardware stack error", "operation not supported on global/shared address space"),
    *("uncorrectable ECC error encountered", "uncorrectable NVLink error", "the launch timed out and was terminated"),
    *("busy or unavailable", "no CUDA-capable device is detected", "GPU access blocked by the operating system"),
    *("cudaErrorDevicesUnavailable", "cudaErrorECCUncorrectable", "cudaErrorIllegalAddress", "cudaErrorLaunchFailure"),
    *("cudaErrorNoDevice", "cudaErrorSystemNotReady", "cudaErrorContextIsDestroyed", "cudaErrorUnknown"),
    *("CUDA_ERROR_ILLEGAL_ADDRESS", "CUDA_ERROR_LAUNCH_FAILED", "CUDA_ERROR_ECC_UNCORRECTABLE"),
    *("CUDA_ERROR_NO_DEVICE", "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA_ERROR_CONTEXT_IS_DESTROYED"),
    "CUDA_ERROR_UNKNOWN",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether memory could not be had."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _says(error, _OUT_OF_MEMORY))


def lost(error: BaseException) -> bool:
    """Whether a device can no longer be used by this process, nor anything on it be read."""
    return isinstance(error, RuntimeError) and _says(error, _LOST)


def _says(error: BaseException, phrases: tuple[str, ...]) -> bool:
    text = str(error)
    return any(phrase in text for phrase in phrases)
