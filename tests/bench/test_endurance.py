"""The table of a long run, and what it may be asked for. The runs themselves: tests/training/test_endurance.py."""

import json

import pytest

from bench import endurance
from bench.endurance import Part

PARTS = [Part(5000 * i, 1e-4 * i, 10**8 + i, 2 * 10**6, 7, 3, 9) for i in range(1, 11)]


@pytest.fixture
def run(monkeypatch, capsys):
    """What the command prints, with a run that takes no time."""
    asked = []

    def endure(network, steps, folder):
        asked.append((network, steps, folder.is_dir()))
        return PARTS

    def call(*arguments):
        endurance.main(arguments)
        return asked, capsys.readouterr().out

    monkeypatch.setattr(endurance, "endure", endure)
    return call


def test_a_line_for_each_tenth_and_the_last_beside_the_second(run):
    asked, out = run("--network", "cnn")
    assert asked == [("cnn", 200_000, True)]
    lines = out.splitlines()
    assert len(lines) == 12
    assert lines[1].split() == ["5000", "100.0", "µs", "100.00", "MB", "2.00", "MB", "7", "3", "9"]
    assert lines[-1] == "a step of the last tenth / of the second: 5.000"


def test_json_has_all_of_it(run):
    assert [Part(**part) for part in json.loads(run("--json", "--steps", "50000")[1])] == PARTS


@pytest.mark.parametrize("steps", ["0", "5001"])
def test_steps_make_whole_epochs_in_each_tenth(run, steps, capsys):
    with pytest.raises(SystemExit):
        run("--steps", steps)
    assert f"--steps: expected a multiple of 5000, got {steps}" in capsys.readouterr().err
