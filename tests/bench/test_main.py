"""The command: options, and a run of a network small enough to end at once."""

import json

import pytest

import bench.__main__ as command
from bench import machine
from bench.contenders import Contender
from bench.networks import NETWORKS
from bench.results import Results

MICRO = ["--quick", "--networks", "784-40-20-10", "--contenders", "xpnet-plain", "book", "xpnet-cupy"]
MICRO += ["--threads", "1", "--turns", "2", "--seconds", "0.001"]


def test_a_quick_run_prints_tables_and_writes_figures_and_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(machine, "SIDE", 64)
    monkeypatch.setattr(command, "SCALED_NETWORKS", ("784-40-20-10",))
    monkeypatch.setattr(command, "SCALED_CONTENDERS", ("xpnet-plain",))
    monkeypatch.setattr(command, "BATCHES", (1, 3))
    results = command.main([*MICRO, "--scaling", "--out", str(tmp_path / "made")])
    printed = capsys.readouterr().out
    assert "784-40-20-10, batch 100, 1 thread: forward" in printed
    assert "NumPy by the book" in printed
    assert "Left out: xpnet on CuPy: " in printed or any(record.device == "gpu" for record in results.records)
    name = machine.file_name(results.about)
    assert {path.name for path in (tmp_path / "made").iterdir()} == {
        f"{name}.json",
        f"{name}.png",
        f"{name}-scaling.png",
    }
    assert Results.load(tmp_path / "made" / f"{name}.json") == results
    assert {record.name for record in results.records} == {"forward", "step"}
    assert [(record.batch, record.threads) for record in results.scaling] == [(1, 1), (3, 1), (100, 1)]
    assert {"processor", "cores", "versions", "date", "turns"} <= set(json.loads(json.dumps(results.about)))


def test_contenders_that_miss_the_same_thing_share_a_line(capsys):
    absent = [Contender(name, name, "nowhere", missing=lambda: "not installed: pip install it") for name in ("a", "b")]
    present = Contender("c", "c", "nowhere")
    assert command._present([*absent, present]) == [present]
    assert capsys.readouterr().out == "Left out: a; b: not installed: pip install it\n"


def test_quick_is_a_part_of_the_full_run_and_goes_to_a_folder_of_its_own():
    quick, full = command._options(["--quick"]), command._options([])
    assert set(quick.networks) < set(full.networks) == set(NETWORKS)
    assert set(quick.contenders) < set(full.contenders)
    assert (quick.turns, quick.seconds) < (full.turns, full.seconds)
    assert (quick.out.name, full.out.name) == ("out", "results")
    assert command._options(["--networks", "simple_cnn"]).out.name == "out"
    assert command._options(["--threads", "1", "2"]).threads == [1, 2]


def test_options_override_what_quick_sets():
    options = command._options(["--quick", "--turns", "9", "--passes", "backward"])
    assert (options.turns, options.passes) == (9, ["backward"])


@pytest.mark.parametrize("wrong", [["--networks", "lenet"], ["--threads", "0"], ["--contenders", "theano"]])
def test_wrong_options_are_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        command._options(wrong)
    assert wrong[1] in capsys.readouterr().err


def test_outputs_that_differ_stop_the_run(monkeypatch, tmp_path):
    def differ(*_, **__):
        raise command.Mismatch("simple_cnn: two and one do not compute the same")

    monkeypatch.setattr(command, "compare", differ)
    monkeypatch.setattr(machine, "rates", lambda *_, **__: {})
    with pytest.raises(SystemExit, match="bench stops: simple_cnn: two and one"):
        command.main([*MICRO, "--out", str(tmp_path)])
