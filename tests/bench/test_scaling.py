"""Ranks that are measured, and the model that predicts how training scales."""

import json
from pathlib import Path

import pytest

from bench import scaling
from bench.networks import GPU_NETWORKS, NETWORKS
from bench.scaling_model import Cluster, Link, all_reduce, computing, fitted, gradient_bytes, step, strong, weak
from bench.scaling_report import page, prediction

MLP, RESNET = NETWORKS["784-1024-1024-10"], GPU_NETWORKS["resnet50-224"]
CLUSTER = Cluster(inside=Link(1e-6, 1e11), between=Link(1e-5, 1e10))


def test_a_line_is_fitted_to_times():
    sizes = [4, 1024, 2**20, 2**26]
    assert fitted(sizes, [3e-6 + size / 5e9 for size in sizes]) == pytest.approx((3e-6, 1 / 5e9))


def test_times_that_fall_with_the_size_are_latency_alone_and_none_is_below_zero():
    latency, by_byte = fitted([4, 32, 256], [5e-6, 4e-6, 3e-6])
    assert 3e-6 < latency < 5e-6
    assert by_byte == 0.0
    latency, by_byte = fitted([1024, 4096, 16384], [1e-6, 6e-6, 40e-6])
    assert latency == 0.0
    assert 1e-9 < by_byte < 3e-9


def test_a_ring_sends_each_byte_twice_and_waits_for_each_neighbour():
    assert all_reduce(1e6, 1, "ring", CLUSTER) == 0.0
    assert all_reduce(1e6, 2, "ring", CLUSTER) == pytest.approx(2 * 1e-6 + 1e6 / 1e11)
    assert all_reduce(1e6, 16, "ring", CLUSTER) == pytest.approx(30 * 1e-5 + 30 / 16 * 1e6 / 1e10)


def test_a_tree_waits_for_each_level():
    assert all_reduce(1e6, 8, "tree", CLUSTER) == pytest.approx(6 * 1e-6 + 2 * 1e6 / 1e11)
    assert all_reduce(1e6, 1000, "tree", CLUSTER) == pytest.approx(20 * 1e-5 + 2 * 1e6 / 1e10)


def test_gradients_are_as_large_as_the_networks():
    assert gradient_bytes(MLP) == 4 * (785 * 1024 + 1025 * 1024 + 1025 * 10)
    assert 4 * 25.4e6 < gradient_bytes(RESNET) < 4 * 25.6e6


def test_one_gpu_computes_and_sends_nothing():
    for overlap in (False, True):
        assert step(RESNET, 64, 1, "ring", CLUSTER, overlap=overlap) == pytest.approx(computing(RESNET, 64, CLUSTER))
    assert weak(RESNET, 64, 1, "tree", CLUSTER, overlap=False) == 1.0


@pytest.mark.parametrize("network", [MLP, RESNET], ids=lambda network: network.name)
@pytest.mark.parametrize("way", ["ring", "tree"])
@pytest.mark.parametrize("gpus", [2, 16, 1024])
def test_overlap_hides_at_most_the_backward_pass(network, way, gpus):
    plain, overlapped = (step(network, 64, gpus, way, CLUSTER, overlap=each) for each in (False, True))
    busy = computing(network, 64, CLUSTER)
    assert plain == pytest.approx(busy + all_reduce(gradient_bytes(network), gpus, way, CLUSTER))
    assert max(busy, plain - CLUSTER.backward * busy) < overlapped <= plain


def test_strong_scaling_shares_the_examples():
    gained = [strong(RESNET, 8192, p, "ring", CLUSTER, overlap=True) for p in (1, 4, 8)]
    assert gained[0] == 1.0
    assert 1.0 < gained[1] < 4.0 < gained[2] < 8.0


@pytest.mark.long
def test_a_run_measures_predicts_and_writes(tmp_path, capfd):
    pytest.importorskip("mpi4py")
    arguments = ["--ranks", "2", "--networks", "784-40-20-10", "--turns", "2", "--seconds", "0.01", "--most", "256"]
    found = scaling.main([*arguments, "--out", str(tmp_path / "made")])
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"scaling.json", "scaling.md", "scaling.png"}
    assert json.loads((tmp_path / "made" / "scaling.json").read_text()) == json.loads(json.dumps(found))
    [reduction] = found["reductions"]
    assert (reduction["ranks"], reduction["bytes"]) == (2, [4, 32, 256])
    assert all(seconds > 0.0 for seconds in reduction["seconds"])
    for each in found["steps"]:  # none on a machine of one core
        assert set(each["seconds"]) == {"process", "rank", "ranks", "share"}
        assert each["expected"] >= each["seconds"]["share"] or each["ranks"] != 2
    printed = capfd.readouterr().out
    assert "Nothing here was measured" in printed
    assert "resnet50-224, 64 on each" in printed
    assert (tmp_path / "made" / "scaling.md").read_text().strip() in printed


def test_the_documentation_shows_what_the_model_predicts():
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- prediction: begin -->\n")[2].partition("\n<!-- prediction: end -->")[0]
    assert shown == prediction(scaling.predicted(Cluster()))


def test_a_page_without_steps_has_its_predictions():
    about = {"processor": "A", "cores": 1, "date": "2026-01-02", "load_before": 0.0}
    text = page({"about": about, "reductions": [], "steps": [], "predicted": scaling.predicted(Cluster())})
    assert "Steps, measured" in text
    assert "busy" not in text
    about["load_before"] = 3.0
    text = page({"about": about, "reductions": [], "steps": [], "predicted": scaling.predicted(Cluster())})
    assert "**The machine was busy with other work.**" in text
    assert "tree, overlapped" in text
