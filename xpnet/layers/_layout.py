import math
from dataclasses import dataclass
from typing import final

from xpnet._typing import Shape
from xpnet.backend import HostArray


@final
@dataclass(frozen=True)
class TorchLayout:
    """How PyTorch arranges the values of a parameter: unfold, put the axes in another order, fold.

    Parameters
    ----------
    axes : the order of axes in PyTorch's layout; empty where it is the same.
    unfold : the shape to bring our values to before their axes change places; empty where it is their own.
    fold : how many axes in a row PyTorch has as one, for each axis of its array; empty where all stay apart.

    Examples
    --------
    A fully connected layer behind 7×7 pixels of 512 channels: PyTorch counts its inputs channel by channel.

    >>> layout = TorchLayout((3, 2, 0, 1), unfold=(7, 7, 512, 4096), fold=(1, 3))
    >>> layout.shape((25088, 4096))
    (4096, 25088)

    A 1×1 convolution that we keep as a product of matrices:

    >>> TorchLayout((3, 2, 0, 1), unfold=(1, 1, 256, 16)).shape((256, 16))
    (16, 256, 1, 1)
    """

    axes: Shape = ()
    unfold: Shape = ()
    fold: Shape = ()

    def shape(self, ours: Shape) -> Shape:
        """The shape of PyTorch's array for ours."""
        shape = self._ordered(ours)
        if not self.fold:
            return shape
        ends = [sum(self.fold[: i + 1]) for i in range(len(self.fold))]
        return tuple(math.prod(shape[end - length : end]) for end, length in zip(ends, self.fold, strict=True))

    def to_torch(self, ours: HostArray) -> HostArray:
        """A host array in PyTorch's layout; a view where that is possible."""
        unfolded = ours.reshape(self.unfold or ours.shape)
        return unfolded.transpose(self.axes or range(unfolded.ndim)).reshape(self.shape(ours.shape))

    def from_torch(self, theirs: HostArray, ours: Shape) -> HostArray:
        """The inverse: from PyTorch's layout to ours, of shape `ours`."""
        return self.unfolded_from_torch(theirs, ours).reshape(ours)

    def unfolded_from_torch(self, theirs: HostArray, ours: Shape) -> HostArray:
        """PyTorch's values with their axes in our order, still unfolded: a view."""
        ordered = theirs.reshape(self._ordered(ours))
        back = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        return ordered.transpose(back or range(ordered.ndim))

    def _ordered(self, ours: Shape) -> Shape:
        """PyTorch's shape before it is folded."""
        unfolded = self.unfold or tuple(ours)
        return tuple(unfolded[axis] for axis in self.axes) if self.axes else unfolded


SAME_LAYOUT = TorchLayout()
"""PyTorch's array is arranged as ours."""
