"""The table of what steps have shown, where looking waits for a device."""

import numpy as np

from xpnet.training._ledger import Ledger


def test_a_table_has_room_for_so_many_steps_and_is_read_when_it_is_full(backend, monkeypatch):
    monkeypatch.setattr(type(backend), "readable", lambda self, x: False)
    like = backend.asarray(np.zeros(1))
    ledger = Ledger(backend, like, ("loss",), 10**9)
    assert ledger._table.shape[1] <= 1024
    ledger.begin()
    for i in range(2500):
        ledger.note(backend.asarray(np.asarray(float(i))))
        ledger.count(1)
    assert ledger.read_steps == 2048
    ledger.read()
    assert list(ledger.losses()) == [float(i) for i in range(2500)]
