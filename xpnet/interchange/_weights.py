from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

import numpy as np

from xpnet.backend import HostArray, backend_of, find_backend
from xpnet.files import Stored, Written, cut, open_safetensors, path_of, shown, target, write_safetensors
from xpnet.interchange._loading import LoadReport, load
from xpnet.interchange._matching import Tensor, counts_beside, layout_of, named_tensors, torch_shape
from xpnet.layers import Layer, check_model


def save_weights(model: Layer, path: str | PathLike[str]) -> None:
    """Writes a model's parameters and buffers as safetensors, in PyTorch's names, layouts and types.

    PyTorch opens the file with `safetensors.torch.load_file`. The file is written under another name first and then
    moved, so an interrupted call leaves an older file whole. A layer that is used twice is written under both of its
    names, as PyTorch expects it.

    Parameters
    ----------
    model : the model; frozen layers are saved too.
    path : the file.

    Raises
    ------
    OSError : the file cannot be written; there is no such folder, or the path is one.
    TypeError : no model, or no path.

    Examples
    --------
    >>> import tempfile
    >>> import xpnet
    >>> model = xpnet.models.mlp([2, 3, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(model, folder + "/weights.safetensors")
    ...     load_weights(model, folder + "/weights.safetensors")
    LoadReport: 4 arrays loaded

    References
    ----------
    https://huggingface.co/docs/safetensors
    """
    check_model("save_weights", model)
    path = target("save_weights", path)
    tensors = named_tensors(model)
    arrays = {name: _written(tensor) for name, tensor in tensors.items()}
    arrays |= {name: Written((), "int64", lambda: np.zeros((), np.int64)) for name in sorted(counts_beside(tensors))}
    write_safetensors(path, arrays)


def _written(tensor: Tensor) -> Written:
    def values() -> HostArray:
        return layout_of(tensor).to_torch(backend_of(tensor.data).to_host(tensor.data))

    return Written(torch_shape(tensor), backend_of(tensor.data).at(tensor.data).dtype, values)


def load_weights(
    model: Layer,
    path: str | PathLike[str],
    strict: bool = True,
    skip: str | Iterable[str] = (),
    allow_nonfinite: bool = False,
) -> LoadReport:
    """Reads a model's parameters and buffers from a safetensors file in PyTorch's names and layouts.

    All of it is checked first: either everything is loaded, or nothing is changed. Values take the model's type:
    float16 and bfloat16 exactly, float64 rounded to the nearest float32 where the model has that. Where all names in
    the file begin with `module.` (`DataParallel`) or `_orig_mod.` (`torch.compile`), that is passed over.

    Parameters
    ----------
    model : the model that the file's names and shapes have to fit.
    path : the file.
    strict : whether the file has to hold exactly the model's names. If not, names that are missing are left as they
        are, unexpected ones ignored, and the report names both; shapes have to fit all the same, and some name.
    skip : names to leave as they are in the model and to ignore in the file: one, or several. A path stands for all
        below it, `"fc"` for `fc.weight` and `fc.bias`; `*`, `?` and `[…]` work as in a shell, `*` across dots too.
    allow_nonfinite : whether NaN and infinite values are loaded.

    Returns
    -------
    A `LoadReport`: the names that were loaded, those left as they were, those ignored.

    Raises
    ------
    FileNotFoundError : there is no such file.
    OSError : it cannot be read.
    TypeError : no model, no path, or no names to skip.
    ValueError : the file is no whole safetensors file; names, shapes or types do not fit; values are not finite;
        something to skip is nowhere. Nothing is changed then.

    Examples
    --------
    A network for other classes keeps what lies before its last layer:

    >>> import tempfile
    >>> import xpnet
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(xpnet.models.mlp([2, 3, 10]), folder + "/weights.safetensors")
    ...     load_weights(xpnet.models.mlp([2, 3, 4]), folder + "/weights.safetensors", skip="2")
    LoadReport: 2 arrays loaded; left as they were: 2.weight, 2.bias; ignored: 2.weight, 2.bias
    """
    check_model("load_weights", model)
    if isinstance(path, Mapping):
        raise TypeError("load_weights: expected the path of a file, got a mapping; load_torch takes state dicts")
    path = path_of("load_weights", path)
    if not path.exists():
        raise FileNotFoundError(f"load_weights: there is no file {path}")
    where = f"load_weights: {path}"
    with open_safetensors(path, where) as stored:
        return load(where, model, stored, strict=strict, skip=skip, allow_nonfinite=allow_nonfinite)


def load_torch(
    model: Layer,
    state_dict: Mapping[str, Any],
    strict: bool = True,
    skip: str | Iterable[str] = (),
    allow_nonfinite: bool = False,
) -> LoadReport:
    """Takes a model's parameters and buffers from arrays in PyTorch's names and layouts: `module.state_dict()`.

    Parameters
    ----------
    model : the model that the names and shapes have to fit.
    state_dict : arrays by name: PyTorch's tensors on any device, or arrays of any other library.
    strict, skip, allow_nonfinite : as for `load_weights`.

    Returns
    -------
    A `LoadReport`, as from `load_weights`.

    Raises
    ------
    TypeError : no mapping of names to arrays.
    ValueError : names, shapes or types do not fit; values are not finite; something to skip is nowhere. Nothing is
        changed then.

    Examples
    --------
    >>> import numpy as np
    >>> import xpnet
    >>> load_torch(xpnet.layers.Linear(3, 2), {"weight": np.ones((2, 3)), "bias": np.zeros(2)})
    LoadReport: 2 arrays loaded
    """
    check_model("load_torch", model)
    if not isinstance(state_dict, Mapping):
        got = type(state_dict).__name__
        raise TypeError(f"load_torch: expected arrays by name, such as module.state_dict(), got {got}")
    inside = [repr(shown(str(name))) for name, values in state_dict.items() if isinstance(values, Mapping)]
    hint = f"; if a state dict is inside, pass it alone: mappings are at {', '.join(cut(inside))}" if inside else ""
    stored = {name: _stored(name, values, hint) for name, values in state_dict.items()}
    return load("load_torch", model, stored, strict=strict, skip=skip, allow_nonfinite=allow_nonfinite)


def _stored(name: Any, values: Any, hint: str) -> Stored:
    if not (isinstance(name, str) and hasattr(values, "shape") and hasattr(values, "dtype")):
        raise TypeError(
            f"load_torch: expected arrays by name, but {shown(str(name))} is a {type(values).__name__}{hint}"
        )
    dtype = str(values.dtype).rpartition(".")[2]
    is_float = dtype in ("float64", "float32", "float16", "bfloat16")

    def read(wanted: str) -> HostArray:
        try:
            return np.array(_to_host(values, dtype), wanted)
        except (TypeError, ValueError, RuntimeError) as error:  # it has no values, or none that the host can have
            raise ValueError(f"load_torch: {name} cannot be read ({error}); nothing was changed") from error

    return Stored(tuple(values.shape), dtype, is_float, read)


def _to_host(values: Any, dtype: str) -> HostArray:
    if dtype == "bfloat16":  # which NumPy does not have
        values = values.float() if hasattr(values, "float") else values.astype("float32")
    if np.ma.is_masked(values):
        raise ValueError("some of its values are masked")
    origin = find_backend(type(values))
    return np.asarray(values) if origin is None else origin.to_host(values)
