from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

from xpnet._typing import Array
from xpnet.backend import array_namespace, backend_of, draw, get_backend, goes_by
from xpnet.initializers import Initializer
from xpnet.layers._layout import SAME_LAYOUT, TorchLayout

if TYPE_CHECKING:
    from xpnet.layers._store import FlatStore


@final
class Parameter:
    """An array that training changes, and the gradient of the loss by it.

    The first gradient after `optimizer.step()` or `clear_gradients()` overwrites the last one, later ones are added:
    a layer used twice, or several batches before a step, come out right, and nobody has to zero anything.

    Parameters
    ----------
    data : the values. An optimizer moves them into its model's flat store, of which `data` then is a view.
    decay : whether penalties and weight decay apply: to weights, not to biases and normalization.
    layout : how PyTorch arranges the same values.
    half : whether mixed precision computes with a float16 copy: of what stands in products, not of normalization.

    Attributes
    ----------
    data, grad : the values and the gradient, of one shape; `grad` is None until a pullback or an optimizer needs it.
    stale : whether the next gradient overwrites `grad`.

    Examples
    --------
    >>> import numpy as np
    >>> p = Parameter(np.zeros(2))
    >>> p.accumulate(np.ones(2)); p.accumulate(np.ones(2)); p.grad
    array([2., 2.])
    """

    def __init__(
        self, data: Array, *, decay: bool = True, layout: TorchLayout = SAME_LAYOUT, half: bool = True
    ) -> None:
        array_namespace(data)
        self._data = data
        self._grad: Array | None = None
        self.decay = decay
        self.layout = layout
        self.half = half
        self.stale = True
        self.store: FlatStore | None = None

    def __repr__(self) -> str:
        return f"Parameter(shape={tuple(self.data.shape)}, dtype={self.data.dtype})"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_grad": None, "stale": True, "store": None}  # a copy starts a life of its own

    @property
    def data(self) -> Array:
        """The values. Setting them copies into the array that is there, which an optimizer may share."""
        return self._data

    @data.setter
    def data(self, values: Array) -> None:
        self._data[...] = self._fitting("data", values)

    @property
    def grad(self) -> Array | None:
        """The gradient. Setting it overwrites what there is; None sets it to zero."""
        return self._grad

    @grad.setter
    def grad(self, gradient: Array | None) -> None:
        if gradient is None:
            self.clear()
            return
        gradient = self._fitting("grad", gradient)
        goes_by(self, "stale")
        self.stale = True
        self.accumulate(gradient)

    def _fitting(self, name: str, values: Array) -> Array:
        if tuple(values.shape) != tuple(self._data.shape):
            raise ValueError(
                f"parameter.{name}: expected shape {tuple(self._data.shape)}, got {tuple(values.shape)}; "
                "nothing is broadcast"
            )
        return backend_of(self._data).at(self._data).asarray(values)

    def move(self, data: Array, grad: Array | None = None, store: "FlatStore | None" = None) -> None:
        """From now on lives in these arrays, whose values it takes as they are."""
        self._data, self._grad, self.store = data, grad, store

    def exchange(self, data: Array, grad: Array | None, *, stale: bool) -> None:
        """Lives in other arrays for a while; its place in the store stays its own."""
        self._data, self._grad, self.stale = data, grad, stale

    @property
    def place(self) -> Array | None:
        """Where a pullback may write the whole gradient; None if there is one to be added to."""
        goes_by(self, "stale")
        if not self.stale:
            return None
        if self._grad is None:
            self._grad = array_namespace(self._data).zeros_like(self._data)
        return self._grad

    def accumulate(self, gradient: Array) -> None:
        """Takes one pullback's gradient in: the first overwrites, later ones are added."""
        place = self.place
        if place is None:
            self._grad += gradient
        elif gradient is not place:
            place[...] = gradient
        self.stale = False

    @contextmanager
    def gradient_aside(self) -> Iterator[None]:
        """Gradients that come inside the block are thrown away; the one from before stays."""
        goes_by(self, "stale")
        before = self._grad, self.stale
        self._grad, self.stale = None, True
        try:
            yield
        finally:
            self._grad, self.stale = before

    def clear(self) -> None:
        """Sets the gradient to zero; the next one overwrites it."""
        goes_by(self, "stale")
        if self._grad is not None:
            self._grad[...] = 0.0
        self.stale = True


@final
class Buffer:
    """An array that belongs to a layer's state but that no gradient changes, such as running statistics.

    Parameters
    ----------
    data : the values, which the layer changes in place.
    """

    def __init__(self, data: Array) -> None:
        array_namespace(data)
        self.data = data

    def move(self, data: Array) -> None:
        """From now on lives in this array, whose values it takes as they are."""
        self.data = data

    def __repr__(self) -> str:
        return f"Buffer(shape={tuple(self.data.shape)}, dtype={self.data.dtype})"


def new_parameter(
    shape: tuple[int, ...],
    initializer: Initializer,
    *,
    decay: bool = True,
    layout: TorchLayout = SAME_LAYOUT,
    half: bool = True,
) -> Parameter:
    """A parameter on the current backend, drawn on the host from the process's generator."""
    return Parameter(get_backend().asarray(draw(initializer, shape)), decay=decay, layout=layout, half=half)
