"""The measurement of what a checkpoint costs: that it measures checkpoints, and files of the same size."""

import json

import pytest

from bench import checkpoint
from xpnet.training import CheckpointWarning


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(checkpoint, "UNITS", [64, 32, 8])


def test_all_is_measured_and_written(tmp_path, capsys):
    pytest.importorskip("safetensors")
    found = checkpoint.main(["--turns", "2", "--out", str(tmp_path), "--folder", str(tmp_path)])
    assert found["parameters"] == 64 * 32 + 32 + 32 * 8 + 8
    assert found["bytes"] > 3 * 4 * found["parameters"]
    waits = [name for name in checkpoint.TITLES if name != "slower"]
    assert all(found["seconds"][name] > 0.0 for name in waits)
    assert all(len(found["range"][name]) == 2 for name in checkpoint.TITLES)
    assert json.loads((tmp_path / "checkpoint.json").read_text()) == found
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.json"]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(checkpoint.TITLES) + 6
    assert f"{found['ratio']:.2f}" in lines[-4]


def test_a_disk_that_cannot_be_written_is_no_figure(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xpnet.training._checkpoint_folder.write_arrays", full)
    with pytest.raises(CheckpointWarning, match="No space left on device"):
        checkpoint.measure(tmp_path, 1)
