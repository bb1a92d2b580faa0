from abc import abstractmethod

from xpnet._typing import Array, Pullback, Shape
from xpnet.backend import array_namespace
from xpnet.layers._layer import Layer


class FunctionLayer(Layer):
    """A layer without parameters, the same in training and inference: a function of one array and some settings."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings()})"

    @abstractmethod
    def _settings(self) -> str:
        """The constructor's arguments, as they were written."""

    @abstractmethod
    def _run(self, x: Array) -> tuple[Array, Pullback]:
        """The value, and the pullback that returns the one gradient."""

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        array_namespace(x)
        self.output_shape(x.shape)
        y, pull = self._run(x)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            return pull(dy) if input_gradient else None

        return y, pullback


def short(sizes: Shape) -> int | Shape:
    """One number for all axes where they are alike, as it is mostly written.

    Examples
    --------
    >>> short((2, 2)), short((2, 1))
    (2, (2, 1))
    """
    return sizes[0] if len(set(sizes)) == 1 else sizes


def settings(*plain: object, **changed: tuple[object, object]) -> str:
    """Arguments as a constructor's text: positional ones, and of the named ones those that differ from their default.

    Examples
    --------
    >>> settings(2, stride=(None, None), padding=(1, 0))
    '2, padding=1'
    """
    named = [f"{name}={value!r}" for name, (value, default) in changed.items() if value != default]
    return ", ".join([*map(repr, plain), *named])
