"""Numba's loops give the numbers of the plain bodies."""

import numpy as np
import pytest

from xpnet import models
from xpnet.backend import _numba, compiled_loops


def test_compiled_loops_agree_with_plain_bodies(monkeypatch, rule, descend, values_of):
    pytest.importorskip("numba")
    runs = []
    loop = _numba._Loop.__call__
    monkeypatch.setattr(_numba._Loop, "__call__", lambda *a, **named: runs.append(a[0]) or loop(*a, **named))
    arrived = []
    for compiled in (False, True):
        compiled_loops(compiled)
        model = models.mlp([130, 130])
        model.load_state(
            {path: np.linspace(-1, 1, p.data.size).reshape(p.data.shape) for path, p in model.parameters().items()}
        )
        optimizer = rule(model, 0.02, weight_decay=0.1, clip_norm=5.0)
        assert optimizer.store.size > _numba.SMALLEST
        descend(model, optimizer, range(4))
        arrived.append(values_of(model) | optimizer.state())
        assert bool(runs) is compiled
    plain, looped = arrived
    for name in plain:
        np.testing.assert_allclose(looped[name], plain[name], rtol=2e-5, atol=1e-6, err_msg=name)
