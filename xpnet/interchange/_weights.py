import os
from os import PathLike
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from xpnet._typing import Shape
from xpnet.backend import HostArray, backend_of
from xpnet.layers import Buffer, Layer, Parameter, TorchLayout, check_names_and_shapes

_STATISTICS, _COUNT = "running_var", "num_batches_tracked"
"""PyTorch counts the batches beside running statistics. It uses the count only without a momentum, which xpnet always
has; so it is written as 0, and passed over in reading."""


def save_weights(model: Layer, path: str | PathLike[str]) -> None:
    """Writes a model's parameters and buffers as safetensors, in PyTorch's names and layouts.

    PyTorch opens the file with `safetensors.torch.load_file`. The file is written under another name first and then
    moved, so an interrupted call leaves an older file whole.

    Parameters
    ----------
    model : the model; frozen layers are saved too.
    path : the file.

    Raises
    ------
    OSError : the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import xpnet
    >>> model = xpnet.models.mlp([2, 3, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(model, folder + "/weights.safetensors")
    ...     load_weights(model, folder + "/weights.safetensors")

    References
    ----------
    https://huggingface.co/docs/safetensors
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"save_weights: there is no folder {path.parent}")
    tensors = {name: _to_torch(tensor) for name, tensor in model.tensors().items()}
    tensors |= {name: np.zeros((), np.int64) for name in map(_count_of, tensors) if name}
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        # Not `save_file`: its files can be read by their owner alone, whatever the umask.
        part.write_bytes(safetensors.numpy.save(tensors, metadata={"format": "pt"}))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load_weights(model: Layer, path: str | PathLike[str]) -> None:
    """Reads a model's parameters and buffers from a safetensors file in PyTorch's names and layouts.

    All of it is checked first: either everything is loaded, or nothing is changed.

    Parameters
    ----------
    model : the model that the file's names and shapes have to fit exactly.
    path : the file.

    Raises
    ------
    FileNotFoundError : there is no such file.
    ValueError : the file is no whole safetensors file, or names, shapes or types do not fit; nothing is changed.

    Examples
    --------
    >>> import xpnet
    >>> load_weights(xpnet.models.mlp([2, 1]), "missing.safetensors")
    Traceback (most recent call last):
    ...
    FileNotFoundError: load_weights: there is no file missing.safetensors
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"load_weights: there is no file {path}")
    try:
        stored: dict[str, HostArray] = safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"load_weights: {path} is no safetensors file that can be read ({error})") from error
    for name in map(_count_of, list(stored)):
        stored.pop(name, None)
    tensors = model.tensors()
    check_names_and_shapes(
        f"load_weights: {path}",
        {name: values.shape for name, values in stored.items()},
        {name: _torch_shape(tensor) for name, tensor in tensors.items()},
    )
    wrong = [f"{name} is {values.dtype}" for name, values in stored.items() if values.dtype.kind != "f"]
    if wrong:
        raise ValueError(f"load_weights: {path}: expected floating-point values, but {', '.join(wrong)}")
    backend = model.backend
    new = {name: backend.asarray(_from_torch(tensor, stored[name])) for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        tensor.data[...] = new[name]


def _count_of(name: str) -> str:
    """The name of the count that PyTorch keeps beside this one; empty for other names."""
    return name.removesuffix(_STATISTICS) + _COUNT if name.rpartition(".")[2] == _STATISTICS else ""


def _layout(tensor: Parameter | Buffer) -> TorchLayout:
    return tensor.layout if isinstance(tensor, Parameter) else TorchLayout()


def _torch_shape(tensor: Parameter | Buffer) -> Shape:
    return _layout(tensor).shape(tuple(tensor.data.shape))


def _to_torch(tensor: Parameter | Buffer) -> HostArray:
    return np.ascontiguousarray(_layout(tensor).to_torch(backend_of(tensor.data).to_host(tensor.data)))


def _from_torch(tensor: Parameter | Buffer, values: HostArray) -> HostArray:
    return _layout(tensor).from_torch(values, tuple(tensor.data.shape))
