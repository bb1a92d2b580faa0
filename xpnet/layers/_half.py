from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, final

from xpnet._typing import Array
from xpnet.backend import goes_by
from xpnet.layers._layer import Layer
from xpnet.layers._parameter import Parameter

if TYPE_CHECKING:
    from xpnet.layers._store import FlatStore


@final
class HalfStore:
    """A flat store's parameters in float16, and the gradients that a pass in float16 leaves, in one array each.

    The store's float32 values stay the ones that are trained. Inside `parameters_of` a model computes with the copies,
    and its layers know nothing of it.

    Attributes
    ----------
    data, grad : (size,) float16 arrays, laid out as the store's.

    Raises
    ------
    ValueError : the store's library has no float16, or its parameters are not float32.
    """

    def __init__(self, store: "FlatStore") -> None:
        backend, xp = store.backend, store.backend.xp
        if backend.half is None:
            raise ValueError(f"precision: backend {backend.name!r} has no float16; 'float32' is the precision for it")
        if store.data.dtype != xp.float32:
            raise ValueError(
                f"precision: 'float16' is for models of float32, this one is of {store.data.dtype}; "
                "set_backend(name, dtype='float32') makes such models, as does model.to(backend)"
            )
        place = {"dtype": backend.half, "device": backend.device_of(store.data)}
        self.store = store
        self.data, self.grad = (xp.zeros((store.size,), **place) for _ in range(2))
        self._views = list(
            zip(store.parameters.values(), store.views_of(self.data), store.views_of(self.grad), strict=True)
        )
        self._model: Layer | None = None
        self._frozen: list[tuple[Parameter, Array]] = []

    def refresh(self) -> None:
        """Takes over the values as they are now: one operation."""
        self.data[...] = self.store.data

    @contextmanager
    def parameters_of(self, model: Layer) -> Iterator[None]:
        """Inside, the model's parameters are the float16 copies, and gradients land in `grad`, the first overwriting.

        Parameters that are to stay float32 do, but for their gradients. Gradients of parameters outside the store are
        thrown away. At the end all is as it was before, and so it
        is when an error passes through, but that a parameter that a gradient has reached is no longer stale.
        """
        for p in self.store.parameters.values():
            goes_by(p, "stale")
        before = [(p, p.data, p.grad, p.stale) for p in self.store.parameters.values()]
        frozen = [(p, p.data, p.grad, p.stale) for p, _ in self._frozen_of(model)]
        try:
            for p, data, grad in self._views:
                p.exchange(data if p.half else p.data, grad, stale=True)
            for p, copy in self._frozen:
                p.exchange(copy, None, stale=True)
            yield
        finally:
            for p, data, grad, stale in (*before, *frozen):
                p.exchange(data, grad, stale=stale)

    def reached(self) -> list[bool]:
        """Inside `parameters_of`: for each parameter whether a gradient has come."""
        return [not p.stale for p, *_ in self._views]

    def hand_over(self, inverse: Array, reached: list[bool]) -> None:
        """Brings the gradients, times `inverse`, to the store, as a pullback in float32 would leave them."""
        store = self.store
        if all(p.stale for p, *_ in self._views):
            store.backend.scale_into(self.grad, inverse, store.grad)
            for (p, *_), came in zip(self._views, reached, strict=True):
                p.stale = not came
            return
        gradients = store.backend.xp.zeros_like(store.grad)  # some have one already, to which these are added
        store.backend.scale_into(self.grad, inverse, gradients)
        for (p, *_), gradient, came in zip(self._views, store.views_of(gradients), reached, strict=True):
            if came:
                p.accumulate(gradient)

    def refresh_frozen(self, model: Layer) -> None:
        """Takes over the values of the model's frozen parameters, which are copied only when first met."""
        for p, copy in self._frozen_of(model):
            copy[...] = p.data

    def _frozen_of(self, model: Layer) -> list[tuple[Parameter, Array]]:
        """Parameters outside the store with their copies; those that another optimizer trains are copied anew."""
        if self._model is not model:
            ours = {id(p) for p in self.store.parameters.values()}
            others = [t for t in model.tensors().values() if isinstance(t, Parameter) and id(t) not in ours and t.half]
            xp, half = self.store.backend.xp, self.store.backend.half
            self._model, self._frozen = model, [(p, xp.astype(p.data, half)) for p in others]
        for p, copy in self._frozen:
            if p.store is not None:
                copy[...] = p.data
        return self._frozen
