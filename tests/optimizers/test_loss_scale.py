"""The dynamic loss scale against its rule, written out."""

import numpy as np
import pytest

from xpnet.layers import FlatStore, Linear
from xpnet.optimizers._loss_scale import LossScale


class Reference:
    """The rule in Python's own numbers and branches."""

    def __init__(self, scale=2.0**16):
        self.scale, self.count, self.skipped, self.healthy, self.good = scale, 0, 0, True, False

    def adapt(self, finite):
        self.good = self.healthy and finite
        if self.good:
            self.count += 1
            if self.count == 2000:
                self.count = 0
                self.scale = min(2.0 * self.scale, 2.0**24)
        elif self.healthy and self.scale > 1.0:
            self.scale, self.count, self.skipped = self.scale / 2.0, 0, self.skipped + 1
        else:
            self.healthy, self.count = False, 0


def values(scale, healthy):
    return (
        *(float(scale.scale), 1.0 / float(scale.inverse), int(scale.count), int(scale.skipped)),
        *(bool(healthy), bool(scale.good)),
    )


@pytest.mark.parametrize("start", [2.0**16, 4.0, 2.0**24])
def test_the_scale_follows_the_rule(backend, start):
    scale, reference = LossScale(FlatStore.of(Linear(2, 1))), Reference(start)
    assert values(scale, True)[:4] == (2.0**16, 2.0**16, 0, 0)
    scale.scale[...] = start
    scale.match_inverse()
    healthy = backend.xp.asarray(True, device=backend.device)
    finite, infinite, nan = (backend.asarray(np.asarray(value, np.float32)) for value in (3.0, np.inf, np.nan))
    random = np.random.default_rng(0)
    for i in range(40):
        if i % 10 == 5:
            reference.count = 1998
            scale.count[...] = 1998
        kind = random.integers(3 if start == 4.0 else -9, 6)
        squares, loss = {3: (infinite, finite), 4: (finite, nan), 5: (nan, infinite)}.get(int(kind), (finite, finite))
        good = scale.adapt(healthy, squares, loss)
        reference.adapt(bool(kind < 3))
        expected = (reference.scale, reference.scale, reference.count, reference.skipped)
        assert values(scale, healthy) == (*expected, reference.healthy, reference.good), i
        assert bool(good) is reference.good
    assert reference.healthy is (start > 4.0)
    assert reference.skipped > 1


def test_a_loss_need_not_be_given(backend):
    scale = LossScale(FlatStore.of(Linear(2, 1)))
    healthy = backend.xp.asarray(True, device=backend.device)
    assert bool(scale.adapt(healthy, backend.asarray(np.asarray(1.0, np.float32)), None))
    assert not bool(scale.adapt(healthy, backend.asarray(np.asarray(np.inf, np.float32)), None))
