"""The report, the picture and the README's tables of a GPU, from records that are made up."""

import dataclasses
import json

import pytest

from bench import readme
from bench.contenders import NO_TF32
from bench.gpu import steps
from bench.gpu.aims import AIMS, judge
from bench.gpu.processes import Finished
from bench.gpu.report import Step, report
from bench.gpu.writing import facts, version, write
from bench.machine import gpu_file_name
from bench.picture import save_overview
from bench.results import Record, Results, groups, ours

MACHINE = {"gpu": "NVIDIA H000", "free": 2**40, "cupy": "14.2.0", "cuda": 13000, "driver": 13010, "absent": ["h5py"]}
ABOUT = {
    "processor": "AMD EPYC",
    "cores": 16,
    "device": "gpu",
    "gpus": ["GPU 0: NVIDIA H000, 139.8 GiB", "CUDA runtime 13000, driver 13010"],
    "driver": "580.1",
    "date": "2026-01-02",
    "versions": {"numpy": "2.5.2", "cupy-cuda13x": "14.2.0", "torch": "2.11.0", "nvidia-cudnn-cu13": "9.1"},
    "left_out": ["PyTorch, compiled is left out of simple_cnn: no compiler"],
}
TIMES = {"xpnet-captured": 1.0, "xpnet-cupy": 4.0, "pytorch-cuda": 5.0, "pytorch-cuda-fused": 3.5}
TIMES |= {"pytorch-cuda-graph": 0.9, "jax-gpu": 2.0}


def record(network, name, contender, milliseconds, precision="float32"):
    suffix = "" if precision == "float32" else "-tf32"
    return Record(
        network=network,
        batch=128,
        threads=16,
        name=name,
        contender=contender + suffix,
        title=f"title of {contender}{suffix}",
        ours=contender.startswith("xpnet"),
        device="gpu",
        seconds=milliseconds * 1e-3,
        spread=0.01,
        operations=10**9,
        traffic=10**7,
        idle_memory=2**20,
        peak_memory=2**28,
        precision=precision,
    )


RECORDS = [
    record(network, name, contender, time / (2 if precision == "tf32" else 1), precision)
    for network in ("784-1024-1024-10", "simple_cnn", "resnet50-224")
    for precision in ("float32", "tf32")
    for name in ("forward", "step")
    for contender, time in TIMES.items()
]
RATES = {"float32": {"operations": 5e13, "bytes": 4e12}, "tf32": {"operations": 4e14, "bytes": 4e12}}
RESULTS = Results(ABOUT, RATES, RECORDS, [])
STEPS = [
    Step("tests", True, 100.0, 200.0, "2000 passed"),
    Step("checks", False, 50.0, 100.0, "30 passed, 1 failed", ["FAILED tests/gpu/test_fused.py::test_x - 2 != 1"]),
    Step("bench", True, 240.0, 280.0, "6 cases", [], ABOUT["left_out"]),
]


def test_an_aim_takes_the_fastest_of_both_sides():
    eager, graph = (judge(aim, RECORDS) for aim in AIMS[:2])
    assert (eager.ours.contender, eager.theirs.contender) == ("xpnet-captured", "pytorch-cuda-fused")
    assert (eager.ratio, eager.met) == (pytest.approx(3.5), True)
    assert (graph.ratio, graph.met) == (pytest.approx(0.9), False)
    half = judge(AIMS[-1], RECORDS)
    assert half.theirs.contender == "pytorch-cuda-fused-tf32"
    assert half.met


def test_an_aim_without_figures_is_neither_met_nor_missed():
    verdict = judge(AIMS[0], [r for r in RECORDS if r.ours])
    assert (verdict.ratio, verdict.met) == (None, None)


def test_records_of_two_precisions_are_no_group():
    found = groups(RECORDS)
    assert len(found) == 3 * 2 * 2
    assert all(len({r.precision for r in group}) == 1 for group in found)
    assert ours(found[0]).contender == "xpnet-captured"


def test_the_report_tells_checks_aims_times_rates_and_what_is_missing():
    text = report("NVIDIA H000", facts(MACHINE, ABOUT), STEPS, RESULTS)
    lines = text.splitlines()
    assert lines[0] == "# NVIDIA H000"
    assert "- 2026-01-02; driver 580.1, CUDA 13.0, CuPy 14.2.0" in lines
    assert "- numpy 2.5.2, torch 2.11.0, nvidia-cudnn-cu13 9.1" in lines
    assert "- not there: h5py" in lines
    assert "| tests | passed | 100 | 200 | 2000 passed |" in lines
    assert "| checks | **failed** | 50 | 100 | 30 passed, 1 failed |" in lines
    assert "- FAILED tests/gpu/test_fused.py::test_x - 2 != 1" in lines
    first = "| 784-1024-1024-10, float32 | at least 3 × PyTorch eager's speed | 1.00 ms (title of xpnet-captured) "
    assert f"{first}| 3.50 ms (title of pytorch-cuda-fused) | 3.50 | met |" in lines
    assert sum("**not met**" in line for line in lines) == 2
    assert "### resnet50-224, batch 128, TF32" in lines
    assert "| contender | inference | × | training step | × | spread | memory |" in lines
    assert "| title of jax-gpu | 2.00 ms | 2.00 | 2.00 ms | 2.00 | 1.0% | 256 MiB |" in lines
    assert "float32: 50.0 TFLOP/s in products of matrices and 4.00 TB/s in copies" in text
    assert "simple_cnn 2%" in text
    assert "- PyTorch, compiled is left out of simple_cnn: no compiler" in lines


def test_a_report_without_figures_and_one_with_many_failures():
    many = dataclasses.replace(STEPS[1], bad=[f"FAILED {i}" for i in range(70)])
    text = report("NVIDIA H000", facts(MACHINE, {}), [many], None)
    assert "## Aims" not in text
    assert "and 10 more" in text
    assert "driver 13.1" in text


def test_a_contender_without_a_pass_has_dashes():
    some = [r for r in RECORDS if not (r.contender == "jax-gpu" and r.name == "forward")]
    text = report("NVIDIA H000", [], STEPS, Results(ABOUT, {}, some, []))
    assert "| title of jax-gpu | - | - | 2.00 ms | 2.00 | 1.0% | 256 MiB |" in text


@pytest.fixture
def figures(tmp_path):
    """A folder with what the bench has written."""
    folder = tmp_path / "figures"
    RESULTS.save(folder / "nvidia-h000.json")
    return folder


def test_report_figures_and_picture_are_written_side_by_side(figures, tmp_path):
    written = write(MACHINE, STEPS, figures, tmp_path / "results")
    assert [path.name for path in written] == ["nvidia-h000.md", "nvidia-h000.json", "nvidia-h000.png"]
    assert all(path.stat().st_size > 500 for path in written)
    found = Results.load(written[1])
    assert found.records == RECORDS
    assert [step["name"] for step in found.about["checks"]] == ["tests", "checks", "bench"]


def test_the_picture_that_the_bench_drew_is_taken(figures, tmp_path):
    (figures / "nvidia-h000.png").write_bytes(b"drawn")
    *_, picture = write(MACHINE, STEPS, figures, tmp_path / "results")
    assert picture.read_bytes() == b"drawn"


def test_without_figures_only_a_report_is_written_and_not_among_the_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = write(MACHINE, STEPS, tmp_path, None)
    assert [str(path) for path in written] == ["out/nvidia-h000.md"]
    assert "2000 passed" in written[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("rates", [RATES, {}])
def test_the_picture_has_what_was_measured(rates, tmp_path):
    path = tmp_path / "gpu.png"
    save_overview(Results(ABOUT, rates, RECORDS, []), path)
    assert path.stat().st_size > 10_000


def test_the_readme_has_a_table_for_each_precision_beside_those_of_processors(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"{readme.BEGIN}\n{readme.END}\n", encoding="utf-8")
    RESULTS.save(tmp_path / "results" / "nvidia-h000.json")
    cpu = [dataclasses.replace(r, device="cpu", precision="float32") for r in RECORDS if r.precision == "float32"]
    other = dict(ABOUT, device="cpu")
    path = tmp_path / "results" / "amd-epyc-16-cores.json"
    Results(other, {"16": RATES["float32"]}, cpu, []).save(path)
    old = json.loads(path.read_text())
    for fields in old["records"]:
        del fields["precision"]  # as files were before GPUs
    path.write_text(json.dumps(old))
    readme.main(["--readme", str(page), "--results", str(tmp_path / "results")])
    headings = [line for line in page.read_text(encoding="utf-8").splitlines() if "2026-01-02" in line]
    assert headings == [
        "AMD EPYC, 16 cores, 2026-01-02: NumPy 2.5.2, PyTorch 2.11.0.",
        *(
            f"{'; '.join(ABOUT['gpus'])}, 2026-01-02: products in {precision}: "
            "NumPy 2.5.2, PyTorch 2.11.0, CuPy 14.2.0, cuDNN 9.1."
            for precision in ("float32", "TF32")
        ),
    ]
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| simple_cnn")]
    assert rows[0].startswith("| simple_cnn, batch 128 | 16 | inference | 1.00 ms | **0.90** | 4.00 | 5.00 |")
    assert rows[2].startswith("| simple_cnn, batch 128 | inference | 1.00 ms | **0.90** |")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("GPU 0: NVIDIA H200, 139.8 GiB", "nvidia-h200"),
        ("GPU 0: NVIDIA GeForce RTX 4090, 23.6 GiB", "nvidia-geforce-rtx-4090"),
        ("NVIDIA A100-SXM4-80GB", "nvidia-a100-sxm4-80gb"),
    ],
)
def test_files_are_named_after_the_gpu(line, name):
    assert gpu_file_name({"gpus": [line, "CUDA runtime 13000, driver 13010"]}) == name


def test_versions_are_written_as_people_do():
    assert [version(13000), version(12080)] == ["13.0", "12.8"]


@pytest.fixture
def benched(monkeypatch, tmp_path):
    """`benched(code, results)`: the step of figures, with a bench that ends so and has written these."""

    def go(code, results=None, seconds=100.0, output="one\nlast line"):
        def fake(command, limit):
            assert command[1:5] == ["-m", "bench", "--device", "gpu"]
            assert float(command[command.index("--until") + 1]) == seconds - steps.LAST_CASE
            if results:
                results.save(tmp_path / "nvidia-h000.json")
            return Finished(code, output, limit)

        monkeypatch.setattr(steps, "run", fake)
        return steps.bench(MACHINE, seconds, tmp_path)[0]

    return go


def test_a_bench_without_figures_has_failed(benched):
    assert benched(1).bad == ["the bench ended with exit code 1: last line"]
    assert benched(None).bad == ["the bench was ended after 100 seconds, in the middle of a case"]
    assert not benched(0).passed


def test_aims_without_figures_and_contenders_of_ours_that_fail_are_failures(benched):
    assert benched(0, RESULTS).bad == []
    about = RESULTS.about | {"left_out": ["xpnet, captured is left out of net: reason", "JAX is left out of net: why"]}
    worse = Results(about, RESULTS.rates, [r for r in RESULTS.records if r.network != "simple_cnn"], [])
    step = benched(0, worse)
    assert not step.passed
    assert step.bad == [
        "xpnet, captured is left out of net: reason",
        "no figure for the aim of simple_cnn in float32 against PyTorch eager",
        "no figure for the aim of simple_cnn in float32 against PyTorch's CUDA graph",
    ]
    assert step.left_out == about["left_out"]


def test_a_gpu_without_tf32_fails_nothing(benched):
    missing = f"Left out: xpnet, captured, TF32; PyTorch, TF32: {NO_TF32}"
    about = RESULTS.about | {"left_out": [missing]}
    float32 = [r for r in RESULTS.records if r.precision == "float32"]
    step = benched(0, Results(about, RESULTS.rates, float32, []))
    assert step.passed
    assert step.left_out == [missing]
