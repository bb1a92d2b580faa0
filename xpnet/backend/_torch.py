"""PyTorch, as an array library: none of its layers, and no autograd."""

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from xpnet._typing import Array
from xpnet.backend._backend import Backend
from xpnet.backend._staging import Staging

_precision = threading.RLock()
"""Held while a product is launched on a GPU, in TF32 or not: PyTorch knows one setting for the whole process."""


class Torch(Backend):
    """PyTorch tensors. `device` is PyTorch's name for one: `"cpu"`, `"cuda:1"`."""

    def owns(self, kind: type) -> bool:
        """Tensors and their subclasses; not the rest of what PyTorch's modules hold."""
        import torch

        return issubclass(kind, torch.Tensor)

    def _from_host(self, host: np.ndarray[Any, Any], dtype: Any) -> Array:
        import torch

        # NumPy converts what PyTorch cannot read: other orders of bytes, negative strides, longdouble.
        host = np.asarray(host, dtype=str(dtype).removeprefix("torch."), order="C")
        # A tensor of its own: PyTorch would share the host's memory, and warns of read-only arrays.
        return torch.tensor(host, dtype=dtype, device=self.device)

    def to_host(self, x: Array) -> np.ndarray[Any, Any]:
        host: np.ndarray[Any, Any] = x.detach().cpu().numpy()
        return host

    def staging(self, x: Array) -> Staging:
        """A contiguous CPU tensor's own memory; of a CUDA tensor a copy in pinned memory."""
        import torch

        if x.is_contiguous() and x.device.type == "cpu":
            return Staging(x.detach().numpy())
        pinned = torch.empty(x.shape, dtype=x.dtype, pin_memory=x.device.type == "cuda")
        return Staging(pinned.numpy(), lambda: pinned.copy_(x.detach()), lambda: x.detach().copy_(pinned))

    def copy(self, x: Array) -> Array:
        return x.detach().clone()

    def device_of(self, x: Array) -> Any:
        return x.device

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        return self._in_tf32(a, b, out) if self.products_in_tf32 else self.strict_matmul(a, b, out)

    def strict_matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        if out is not None and out.dtype != a.dtype:
            a, b = (self.xp.astype(values, out.dtype) for values in (a, b))
        with self._as_set(a):
            return self.xp.matmul(a, b) if out is None else self.xp.matmul(a, b, out=out)

    def matmul_planes(self, a: Array, b: Array) -> Array:
        if self.products_in_tf32:
            return self._in_tf32(a, b, None)
        with self._as_set(a):
            return self.xp.matmul(a, b)

    def _as_set(self, a: Array) -> AbstractContextManager[Any]:
        """Inside, no other thread has PyTorch's setting at TF32, where that means something."""
        return _precision if a.device.type == "cuda" else nullcontext()

    def _in_tf32(self, a: Array, b: Array, out: Array | None) -> Array:
        import torch

        with _precision:
            before = torch.backends.cuda.matmul.allow_tf32
            torch.backends.cuda.matmul.allow_tf32 = True
            try:
                return torch.matmul(a, b) if a.ndim > 2 else self.strict_matmul(a, b, out)
            finally:
                torch.backends.cuda.matmul.allow_tf32 = before

    def why_no_tf32(self) -> str | None:
        import torch

        kind = torch.get_default_device().type if self.device is None else torch.device(self.device).type
        return None if kind == "cuda" else f"it is for CUDA devices, and this backend's is {kind!r}"

    def sum_of_squares(self, x: Array) -> Array:
        """By `dot`: on a CPU, a product of a row and a column adds up naively, 2 % short at ten million elements."""
        return self.xp.dot(x, x)

    def readable(self, x: Array) -> bool:
        return bool(x.device.type == "cpu")

    def _gpu(self) -> Any:
        """The GPU that new arrays are made on, or None."""
        import torch

        device = torch.get_default_device() if self.device is None else torch.device(self.device)
        return device if device.type == "cuda" else None

    def room(self) -> int | None:
        """On a GPU, what it has free and what PyTorch holds for reuse."""
        import torch

        if (gpu := self._gpu()) is None:
            return None
        memory = self.memory()
        return int(torch.cuda.mem_get_info(gpu)[0]) + memory["reserved"] - memory["used"]

    def memory(self) -> dict[str, int]:
        """PyTorch's pool on a GPU: in use, and in use or held for reuse."""
        import torch

        if (gpu := self._gpu()) is None:
            return {}
        return {"used": int(torch.cuda.memory_allocated(gpu)), "reserved": int(torch.cuda.memory_reserved(gpu))}

    def release(self) -> None:
        import torch

        if self._gpu() is not None:
            torch.cuda.empty_cache()

    def synchronize(self) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize(self.device)

    def describe(self) -> list[str]:
        import torch

        gpus = [f"GPU {i}: {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
        return [f"CPU: {torch.get_num_threads()} threads", *gpus]
