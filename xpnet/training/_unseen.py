from typing import final

from xpnet._typing import Array
from xpnet.backend import readable
from xpnet.distributed import raised_alike
from xpnet.layers import FlatStore, Layer
from xpnet.optimizers import NonFiniteError
from xpnet.training._blame import explained, first_of_all
from xpnet.training._evaluate import Loss
from xpnet.training._ranks import Ranks


@final
class Unseen:
    """The steps that no one has looked at: their batches by the step's number, and the buffers from before them."""

    def __init__(self, model: Layer, loss: Loss, precision: str, ranks: Ranks) -> None:
        self.model, self.loss, self.precision, self.copy = model, loss, precision, model.backend.copy
        self.ranks = ranks
        self.at_once = readable(next(iter(model.parameters().values())).data)
        self.batches: dict[int, list[tuple[Array, Array]]] = {}
        self.buffers = list(model.buffers().values())
        self.clear()

    def clear(self) -> None:
        """All has been looked at."""
        self.batches.clear()
        self.before = [self.copy(buffer.data) for buffer in self.buffers]

    def note(self, step: int, x: Array, t: Array) -> None:
        """A batch of the step of that number."""
        self.batches.setdefault(step, []).append((x, t))

    def explain(self, error: NonFiniteError) -> NonFiniteError:
        """Puts the buffers back, and names the layer and the direction, on whatever rank it was."""
        for buffer, before in zip(self.buffers, self.before, strict=True):
            buffer.data[...] = before
        FlatStore.of(self.model).part.alone()
        found = first_of_all(self.model, self.batches[error.step], self.loss, self.precision)
        return raised_alike(explained(error, self.model, self.ranks.first_of(found), self.precision))
