"""NCCL on one GPU, alone in its group: its calls, on which stream they are, and that a recorded step may have them."""

import numpy as np
import pytest

import xpnet

pytestmark = pytest.mark.needs_gpu


@pytest.fixture
def group(device):
    return device.nccl_group(0, 1, device.nccl_identity())


def test_sums_and_broadcasts_of_one_leave_the_values(device, group):
    x = device.asarray(np.arange(1000.0))
    for action in (
        lambda: group.all_reduce(x, "sum"),
        lambda: group.start_all_reduce(x, "max")(),
        lambda: group.broadcast(x, 0),
    ):
        action()
        assert device.to_host(x).tolist() == list(range(1000))


def test_a_reduction_can_be_part_of_a_recorded_step(device, group):
    total = device.zeros(4)

    def step(x):
        y = x * 2.0
        group.all_reduce(y, "sum")
        done = group.start_all_reduce(y, "sum")
        done()
        total[...] = total + y
        return y

    captured = xpnet.capture(step)
    for i in range(5):
        captured(device.asarray(np.full(4, float(i))))
    assert captured.why_not is None
    assert captured.replays == 3
    assert device.to_host(total).tolist() == [2.0 * (0 + 1 + 2 + 3 + 4)] * 4
