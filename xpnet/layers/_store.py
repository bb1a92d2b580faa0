import math
from collections.abc import Iterator
from itertools import chain
from typing import final

from xpnet._typing import Array
from xpnet.backend import backend_of, goes_by, recording
from xpnet.functional import Part
from xpnet.layers._half import HalfStore
from xpnet.layers._layer import Layer
from xpnet.layers._parameter import Parameter

_ALIGNMENT = 16
"""Elements: each parameter starts on a 64-byte line in float32, as vector loads and cuBLAS like it."""

_PART = 256
"""Elements: the decayed and the other part are multiples of this, so that a reduction can go row by row."""


@final
class FlatStore:
    """All parameters of a model in one array and all gradients in another; each parameter is a view of both.

    So a whole optimizer step is one element-wise operation and clipping one norm. Parameters that decay come first.
    Gaps between parameters are zero and stay so.

    Attributes
    ----------
    data, grad : (size,) arrays.
    decayed : how many leading elements belong to parameters that penalties and weight decay apply to.
    step : 0-d int32 array, the number of steps taken, which random masks are counted from.
    part : which of a step's examples a pass works on.
    """

    def __init__(self, parameters: dict[str, Parameter]) -> None:
        self.parameters = parameters
        arrays = [parameter.data for parameter in parameters.values()]
        self.backend = backend_of(*arrays)
        xp, first = self.backend.xp, arrays[0]
        types = {str(a.dtype) for a in arrays}
        if len(types) > 1:
            raise TypeError(f"optimizer: the model's parameters are of several types ({', '.join(sorted(types))})")
        place = {"dtype": first.dtype, "device": self.backend.device_of(first)}

        decaying = [p for p in parameters.values() if p.decay]
        staying = [p for p in parameters.values() if not p.decay]
        self.decayed, rest = (_padded(sum(map(_slot, part)), _PART) for part in (decaying, staying))
        self.size = self.decayed + rest
        self.data, self.grad = (xp.zeros((self.size,), **place) for _ in range(2))
        self.step = xp.zeros((), dtype=xp.int32, device=place["device"])
        self.part = Part()
        self.intact = True
        self._half: HalfStore | None = None
        self._starts: dict[int, int] = {}

        for start, parameter in chain(_places(decaying, 0), _places(staying, self.decayed)):
            self._starts[id(parameter)] = start
            if parameter.store is not None:
                parameter.store.intact = False
            data, grad = (self._view(flat, parameter) for flat in (self.data, self.grad))
            data[...] = parameter.data
            if parameter.grad is not None:
                grad[...] = parameter.grad
            parameter.move(data, grad, self)

    @classmethod
    def of(cls, model: Layer) -> "FlatStore":
        """The model's store: the one it has, or a new one that its parameters move into.

        Raises
        ------
        ValueError : the model has nothing to train.
        """
        parameters = model.parameters()
        if not parameters:
            raise ValueError("optimizer: the model has no parameters to train (are all of its layers frozen?)")
        store = model._store
        if store is None or not store.intact or store.parameters != parameters:
            store = model._store = cls(parameters)
        return store

    def check_intact(self) -> None:
        """Its parameters are still views of it.

        Raises
        ------
        RuntimeError : an optimizer built for a larger model has taken them over.
        """
        if not self.intact:
            raise RuntimeError(
                "optimizer: its parameters have moved into the store of an optimizer that was built later, for another "
                "model that shares them; build one optimizer, for the outermost model"
            )

    def weights(self) -> Array:
        """The parameters that penalties and weight decay apply to: a view of (decayed,) elements."""
        return self.data[: self.decayed]

    def weight_gradients(self) -> Array:
        """Their gradients: a view of (decayed,) elements."""
        return self.grad[: self.decayed]

    def _view(self, flat: Array, parameter: Parameter) -> Array:
        start, shape = self._starts[id(parameter)], parameter.data.shape
        return self.backend.xp.reshape(flat[start : start + math.prod(shape)], shape)

    def views_of(self, flat: Array) -> list[Array]:
        """Each parameter's part of an array laid out as `data` is, in its shape."""
        return [self._view(flat, parameter) for parameter in self.parameters.values()]

    @property
    def half(self) -> HalfStore:
        """The parameters in float16, made when first asked for.

        Raises
        ------
        ValueError : the library has no float16, or the parameters are not float32.
        """
        if self._half is None:
            self._half = HalfStore(self)
        return self._half

    def clear_unreached(self) -> None:
        """A parameter that no pullback reached counts with a gradient of zero.

        Raises
        ------
        RuntimeError : none was reached since the last step: there is nothing to step by.
        """
        if recording() is not None:
            for parameter in self.parameters.values():
                goes_by(parameter, "stale")
        unreached = [parameter for parameter in self.parameters.values() if parameter.stale]
        if len(unreached) == len(self.parameters):
            raise RuntimeError(
                "optimizer: no gradient has come since the last step. Was the pullback called, and is this the "
                "optimizer of that model? (A gradient is set by hand as parameter.grad = array.)"
            )
        for parameter in unreached:
            parameter.clear()
            parameter.stale = False

    def clear_all(self) -> None:
        """A gradient of zero for every parameter, which counts as having come."""
        self.grad[...] = 0.0
        for parameter in self.parameters.values():
            goes_by(parameter, "stale")
            parameter.stale = False

    def mark_stale(self) -> None:
        """From now on, the first gradient of each parameter overwrites the last."""
        for parameter in self.parameters.values():
            parameter.stale = True


def _places(parameters: list[Parameter], start: int) -> Iterator[tuple[int, Parameter]]:
    """Each parameter with the number of its first element."""
    for parameter in parameters:
        yield start, parameter
        start += _slot(parameter)


def _slot(parameter: Parameter) -> int:
    return _padded(math.prod(parameter.data.shape), _ALIGNMENT)


def _padded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
