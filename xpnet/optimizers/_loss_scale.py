from typing import Any, final

from xpnet._typing import Array
from xpnet.backend import elementwise
from xpnet.layers import FlatStore

START, LOWEST, HIGHEST = 2.0**16, 1.0, 2.0**24
PATIENCE = 2000
"""Steps without overflow after which the scale is doubled."""


@elementwise(updates=6)
def _adapt(
    xp: Any,
    scale: Array,
    inverse: Array,
    count: Array,
    skipped: Array,
    good: Array,
    healthy: Array,
    squares: Array,
    loss: Array,
) -> tuple[Array, ...]:
    """A finite step counts; one that is not is skipped and halves the scale, and at the lowest scale is an error."""
    finite = xp.isfinite(squares) & xp.isfinite(loss)
    through = healthy & finite
    lowered = healthy & xp.logical_not(finite) & (scale > LOWEST)
    full = through & (count >= PATIENCE - 1)
    grown = xp.astype(full & (scale < HIGHEST), scale.dtype)
    halved = xp.astype(lowered, scale.dtype)
    healthy &= finite | lowered
    good &= through
    good |= through
    scale *= 1.0 - 0.5 * halved + grown
    inverse *= 1.0 + halved - 0.5 * grown
    count += 1
    count *= xp.astype(through & xp.logical_not(full), count.dtype)
    skipped += xp.astype(lowered, skipped.dtype)
    return scale, inverse, count, skipped, good, healthy


@final
class LossScale:
    """The factor by which gradients in float16 are kept away from zero, adapted from step to step on the device.

    A step whose gradients are not finite is skipped and halves the scale; after 2000 steps in a row that are, it is
    doubled, up to 2²⁴. It is a power of two, so that it rounds nothing.

    Attributes
    ----------
    scale, inverse : 0-d float32 arrays, one divided by the other.
    count, skipped : 0-d int32 arrays: steps since the last change, and steps that were skipped.
    good : 0-d boolean array: whether the last step was let through.
    pending : whether the gradients in the store were computed under this scale, and no step has been made of them.

    References
    ----------
    P. Micikevicius et al., "Mixed precision training", ICLR 2018, section 3.2. Variant: dynamic, with the numbers of
    PyTorch's `GradScaler`, and a lowest scale, at which a gradient that is not finite is an error.
    """

    def __init__(self, store: FlatStore) -> None:
        xp, place = store.backend.xp, {"device": store.backend.device_of(store.data)}
        self.scale, self.inverse = (xp.zeros((), dtype=xp.float32, **place) for _ in range(2))
        self.count, self.skipped = (xp.zeros((), dtype=xp.int32, **place) for _ in range(2))
        self.good = xp.zeros((), dtype=xp.bool, **place)
        self.pending = False
        self.reset()

    def reset(self) -> None:
        """As before the first step."""
        self.count[...] = self.skipped[...] = 0
        self.scale[...] = START
        self.match_inverse()

    def match_inverse(self) -> None:
        """After the scale was set."""
        self.inverse[...] = 1.0 / self.scale

    def adapt(self, healthy: Array, squares: Array, loss: Array | None) -> Array:
        """Looks at a step's gradients and loss; the flag that lets the step through."""
        loss = squares if loss is None else loss
        _adapt(self.scale, self.inverse, self.count, self.skipped, self.good, healthy, squares, loss)
        return self.good

    def arrays(self) -> dict[str, Array]:
        """What a state holds."""
        return {"loss_scale": self.scale, "good_steps": self.count, "skipped_steps": self.skipped}
