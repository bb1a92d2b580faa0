"""A step of a run: a pass, or several, over parts of a batch, and the update that follows from all of them."""

from collections.abc import Mapping
from typing import final

from xpnet._typing import Array, Shape
from xpnet.backend import Captured, depends_on
from xpnet.functional import Part
from xpnet.layers import FlatStore, Layer
from xpnet.optimizers import Optimizer
from xpnet.penalties import Penalty
from xpnet.training._evaluate import Loss, Metric
from xpnet.training._ledger import Ledger
from xpnet.training._precision import gradients
from xpnet.training._ranks import Ranks


def update(optimizer: Optimizer, loss: Array | None, penalty: Penalty | None) -> Array | None:
    """The penalty's gradient, and the optimizer's step; the penalty's value, if there is one."""
    cost = None
    if penalty is not None:
        store = optimizer.store
        store.clear_unreached()
        cost, dcost = penalty(store.weights())
        gradient = store.weight_gradients()
        gradient += dcost()
    optimizer.step(loss)
    return cost


@final
class Step:
    """One step: `go` on each batch of it, then `finish`.

    The gradient of a step is the mean over all its examples, wherever they were worked on: each pass counts by its
    share of a nominal number of examples, all ranks' gradients are added by one all-reduce, and where there were
    more or fewer examples than that number, the sum is scaled. Without ranks and accumulation nothing of it is done.

    Parameters
    ----------
    loss, metrics, penalty, precision, capture, accumulate : see `fit`.
    ledger : takes what the step shows.
    ranks : that share it.
    """

    def __init__(
        self,
        model: Layer,
        optimizer: Optimizer,
        ledger: Ledger,
        ranks: Ranks,
        *,
        loss: Loss,
        metrics: Mapping[str, Metric],
        penalty: Penalty | None,
        precision: str,
        capture: str,
        accumulate: int,
    ) -> None:
        self.model, self.optimizer, self.ledger, self.ranks = model, optimizer, ledger, ranks
        self.loss, self.metrics, self.penalty, self.precision = loss, metrics, penalty, precision
        self.accumulate = accumulate
        self.part: Part = optimizer.store.part
        self.part.alone()
        self.plain = ranks.alone and accumulate == 1
        if not ranks.alone:
            self.part.add = ranks.add
        recorded = capture == "auto" and accumulate == 1 and (ranks.alone or ranks.communicator.recordable)
        self.captured = Captured(self._whole) if recorded else None
        self.shapes: tuple[Shape, Shape] | None = None
        self.nominal: int | None = None
        self._examples = self._own = self._passes = 0
        self._shown: list[Array] = []

    def go(self, x: Array, t: Array, whole: int) -> None:
        """A pass over a part of a batch, of which all ranks together have `whole` examples; the only one is a step."""
        own = x.shape[0]
        self.ranks.check_size(self.model, whole)
        if not self.plain:
            self.nominal = self.nominal or whole * self.accumulate
            self.part.first = self._examples + self.ranks.share.of(whole).start
            self.part.own, self.part.whole = own, whole
        self._examples, self._own, self._passes = self._examples + whole, self._own + own, self._passes + 1
        if self.accumulate > 1 or not own:
            self._pass(x, t)
            return
        shapes = x.shape, t.shape
        self.shapes = self.shapes or shapes
        if self.captured is None or shapes != self.shapes:
            self._whole(x, t)
        else:
            self.captured(x, t)

    def finish(self) -> bool:
        """The update, if it has not been done; whether there was anything to do."""
        if not self._passes:
            return False
        if self.accumulate > 1 or not self._own:
            self._update()
        self.ledger.count(self._own)
        self._examples = self._own = self._passes = 0
        return True

    def _whole(self, x: Array, t: Array) -> None:
        self._pass(x, t)
        self._update()

    def _pass(self, x: Array, t: Array) -> None:
        if not x.shape[0]:
            return
        optimizer, weight = self.optimizer, None
        if not self.plain:
            depends_on(lambda: (self.part.own, self.nominal))
            weight = self.part.own / (self.nominal or 1)
        value, y = gradients(
            *(self.model, x, t), loss=self.loss, optimizer=optimizer, precision=self.precision, weight=weight
        )
        y = y[0] if isinstance(y, tuple) else y
        shown = [value, *(metric(y, t) for metric in self.metrics.values())]
        if self.accumulate > 1:
            before = self._shown or [0.0] * len(shown)
            self._shown = [float(self.part.own) * new + old for new, old in zip(shown, before, strict=True)]
        else:
            self._shown = shown
        if not self.plain:  # a loss that is not finite shows in the gradient, which all ranks see
            start = optimizer.store.grad[:1]
            start += 0.0 * value

    def _update(self) -> None:
        shown, self._shown = self._shown, []
        if self.accumulate > 1:
            shown = [each / max(self._own, 1) for each in shown]
        if not shown:
            shown = [0.0] * (1 + len(self.metrics))
        if not self.plain:
            self._reduce(self.optimizer.store)
        cost = update(self.optimizer, shown[0] if self.plain else None, self.penalty)
        self.ledger.note(*shown, *(() if cost is None else (cost,)))

    def _reduce(self, store: FlatStore) -> None:
        depends_on(lambda: (self._examples, self.nominal))
        if self._own:
            store.clear_unreached()
        else:
            store.clear_all()
        if not self.ranks.alone:
            self.ranks.add(store.grad)
        if self._examples != self.nominal:
            gradient = store.grad
            gradient *= (self.nominal or 1) / self._examples
