"""The command: options, and a run of a network small enough to end at once."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import bench.__main__ as command
from bench import machine
from bench.contenders import Contender
from bench.networks import GPU_NETWORKS, NETWORKS
from bench.options import FULL, parse, plans
from bench.results import Results

MICRO = ["--quick", "--networks", "784-40-20-10", "--contenders", "xpnet-plain", "book", "xpnet-cupy"]
MICRO += ["--device", "all", "--threads", "1", "--turns", "2", "--seconds", "0.001"]


def test_a_quick_run_prints_tables_and_writes_figures_and_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(machine, "SIDE", 64)
    monkeypatch.setattr(command, "SCALED_NETWORKS", ("784-40-20-10",))
    monkeypatch.setattr(command, "SCALED_CONTENDERS", ("xpnet-plain",))
    monkeypatch.setattr(command, "BATCHES", (1, 3))
    monkeypatch.setattr(command, "gpu_rates", lambda *_, **__: {"float32": {"operations": 1e12, "bytes": 1e11}})
    results, *others = command.main([*MICRO, "--scaling", "--out", str(tmp_path / "made")])
    printed = capsys.readouterr().out
    assert "784-40-20-10, batch 100, 1 thread: forward" in printed
    assert "NumPy by the book" in printed
    assert others or "Left out: xpnet, step by step: " in printed
    assert {record.device for record in results.records} == {"cpu"}
    name = machine.file_name(results.about)
    assert {path.name for path in (tmp_path / "made").iterdir()} >= {
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


def planned(*arguments):
    return {plan.device: plan for plan in plans(parse(arguments))}


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_quick_is_a_part_of_the_full_run(device):
    quick, full = planned("--quick")[device], planned()[device]
    assert set(quick.networks) < set(full.networks)
    assert set(quick.passes) <= set(full.passes)
    assert set(quick.contenders) <= set(full.contenders)
    assert (quick.turns, quick.seconds) < (full.turns, full.seconds)


def test_each_device_has_its_own_networks_and_contenders():
    full = planned()
    assert list(full) == ["cpu", "gpu"]
    assert set(full["cpu"].networks) == set(NETWORKS)
    assert set(full["gpu"].networks) == set(GPU_NETWORKS)
    assert GPU_NETWORKS["resnet50-224"].batch == 64
    assert not set(full["cpu"].contenders) & set(full["gpu"].contenders)
    assert list(planned("--device", "gpu")) == ["gpu"]
    assert planned("--contenders", "book") == {"cpu": dataclasses.replace(FULL["cpu"], contenders=("book",))}


def test_a_part_goes_to_a_folder_of_its_own():
    assert (parse(["--quick"]).out.name, parse([]).out.name) == ("out", "results")
    assert parse(["--networks", "simple_cnn"]).out.name == "out"
    assert parse(["--threads", "1", "2"]).threads == [1, 2]


def test_options_override_what_quick_sets():
    plan = planned("--quick", "--turns", "9", "--passes", "backward")["cpu"]
    assert (plan.turns, plan.passes) == (9, ("backward",))


@pytest.mark.parametrize("wrong", [["--networks", "lenet"], ["--threads", "0"], ["--contenders", "theano"]])
def test_wrong_options_are_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        parse(wrong)
    assert wrong[1] in capsys.readouterr().err


def test_outputs_that_differ_stop_the_run(monkeypatch, tmp_path):
    def differ(*_, **__):
        raise command.Mismatch("simple_cnn: two and one do not compute the same")

    monkeypatch.setattr(command, "compare", differ)
    monkeypatch.setattr(machine, "rates", lambda *_, **__: {})
    with pytest.raises(SystemExit, match="bench stops: simple_cnn: two and one"):
        command.main([*MICRO, "--out", str(tmp_path)])


@pytest.fixture
def fake_gpu(monkeypatch, tmp_path):
    """`fake_gpu(*arguments)`: a run on a GPU that is made up, with contenders that compute next to nothing."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    options = {"good": {}, "late": {}, "wrong": {"slope": 0.1}, "dead": {"fails": "build"}}
    fakes = {
        name: Contender(name, f"title of {name}", "fake_contenders", given, device="gpu", compiles=name == "late")
        for name, given in options.items()
    }
    fakes["tf32"] = Contender("tf32", "in TF32", "fake_contenders", {"slope": 0.4}, device="gpu", precision="tf32")
    fakes["absent"] = Contender("absent", "title of absent", "nowhere", missing=lambda: "no compiler", device="gpu")
    for name, contender in fakes.items():
        monkeypatch.setitem(command.CONTENDERS, name, contender)
    about = machine.describe() | {"gpus": ["GPU 0: NVIDIA H000, 1.0 GiB"]}
    monkeypatch.setattr(machine, "describe", lambda: dict(about))
    monkeypatch.setattr(command, "gpu_rates", lambda *_, **__: {"float32": {"operations": 1e12, "bytes": 1e11}})
    fixed = ["--device", "gpu", "--contenders", *fakes, "--threads", "1", "--turns", "2", "--seconds", "0.001"]
    return lambda *arguments: command.main([*fixed, "--out", str(tmp_path), *arguments])


def test_a_run_on_a_gpu_goes_on_without_those_that_fail_and_says_so(fake_gpu, tmp_path):
    [results] = fake_gpu("--networks", "784-1024-1024-10")
    assert {path.name for path in tmp_path.iterdir()} == {"nvidia-h000.json", "nvidia-h000.png"}
    assert Results.load(tmp_path / "nvidia-h000.json") == results
    assert {(r.contender, r.name, r.precision) for r in results.records} == {
        (contender, name, precision)
        for contender, precision in (("good", "float32"), ("late", "float32"), ("tf32", "tf32"))
        for name in ("forward", "step")
    }
    missing, dead, wrong = results.about["left_out"]
    assert missing == "Left out: title of absent: no compiler"
    assert dead.startswith("title of dead is left out of 784-1024-1024-10: Traceback")
    assert dead.endswith("… RuntimeError: no such network")
    assert wrong.startswith("title of wrong is left out of 784-1024-1024-10: compared with title of good, the change")


def test_after_its_time_no_case_is_begun_and_that_is_said(fake_gpu, monkeypatch):
    times = iter([0.0, 1.0, 11.0])  # of the start, and before each of two cases
    monkeypatch.setattr(command, "time", SimpleNamespace(monotonic=lambda: next(times)))
    [results] = fake_gpu("--networks", "784-1024-1024-10", "simple_cnn", "--until", "10")
    assert {r.network for r in results.records} == {"784-1024-1024-10"}
    assert results.about["left_out"][-1] == "simple_cnn in float32 and tf32 was not measured: 10 seconds were over"


def test_a_device_where_nobody_can_run_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match="nothing could be measured"):
        command.main(["--device", "gpu", "--contenders", "book", "--out", str(tmp_path)])
