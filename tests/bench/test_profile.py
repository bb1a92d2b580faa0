"""Where the time goes: every layer once, times that add up, a table that can be read."""

import numpy as np
import pytest

from bench import profile as tool
from bench.networks import NETWORKS, BatchNorm, Conv, GlobalAvgPool, Linear, MaxPool, Network, ReLU, Residual

SMALL = Network(
    "small",
    (
        *(Conv(3, 4, 3, padding=1), BatchNorm(4), ReLU(), MaxPool(2, 2)),
        *(Residual((Conv(4, 4, 3, padding=1), BatchNorm(4))), ReLU(), GlobalAvgPool(), Linear(4, 10)),
    ),
    (8, 8, 3),
    batch=2,
)


@pytest.fixture(scope="module")
def profiles():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "small", SMALL)
        return tool.profile("small", threads=1, calls=3)


def test_every_layer_is_counted_once(profiles):
    for found in profiles:
        counts = {row.kind: row.count for row in found.rows}
        assert counts == {
            "Conv2d(3, 4, 3, padding=1) on 8×8": 1,
            "Conv2d(4, 4, 3, padding=1) on 4×4": 1,
            "Linear(4, 10)": 1,
            **{"BatchNorm": 2, "ReLU": 2, "MaxPool2d": 1, "GlobalAvgPool": 1, "Identity": 1},
        }


def test_times_are_parts_of_the_whole(profiles):
    inference, step = profiles
    assert (inference.name, step.name) == ("small, inference", "small, training step")
    for found in profiles:
        assert 0.0 < sum(row.forward + row.backward for row in found.rows) < 2.0 * found.seconds
        assert [row.forward + row.backward for row in found.rows] == sorted(
            (row.forward + row.backward for row in found.rows), reverse=True
        )
    assert all(row.backward == 0.0 for row in inference.rows)
    assert all(row.backward > 0.0 for row in step.rows)


def test_operations_are_those_of_the_definition(profiles):
    operations = {row.kind: row.operations for row in profiles[0].rows if row.operations}
    assert operations == {
        "Conv2d(3, 4, 3, padding=1) on 8×8": 2 * 2 * 8 * 8 * 4 * 27,
        "Conv2d(4, 4, 3, padding=1) on 4×4": 2 * 2 * 4 * 4 * 4 * 36,
        "Linear(4, 10)": 2 * 2 * 40,
    }


def test_the_table_has_a_line_for_each_kind(profiles, capsys, monkeypatch):
    monkeypatch.setattr(tool, "profile", lambda *arguments: profiles)
    assert tool.main(["simple_cnn"]) == profiles
    printed = capsys.readouterr().out
    assert printed.count("between the layers") == 2
    assert len(str(profiles[0]).splitlines()) == len(profiles[0].rows) + 2
    assert np.all([len(line) < 120 for line in printed.splitlines()])


def test_an_unknown_network_is_named(capsys):
    with pytest.raises(SystemExit):
        tool.main(["resnet"])
    assert "invalid choice: 'resnet'" in capsys.readouterr().err
