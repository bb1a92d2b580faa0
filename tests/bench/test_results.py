"""What is made of the figures: ratios, tables, the README's part, files."""

import dataclasses

import pytest

from bench import readme
from bench.machine import file_name
from bench.results import Record, Results, best_peer, groups, ours
from bench.table import duration, table

RECORD = Record(
    network="net",
    batch=8,
    threads=2,
    name="step",
    contender="xpnet",
    title="xpnet",
    ours=True,
    device="cpu",
    seconds=0.002,
    spread=0.015,
    operations=10**9,
    traffic=10**7,
    idle_memory=2**20,
    peak_memory=2**28,
)


def record(title, milliseconds, **fields):
    known = {"title": title, "contender": title, "ours": title.startswith("xpnet"), "seconds": milliseconds * 1e-3}
    return dataclasses.replace(RECORD, **(known | fields))


RECORDS = [
    record("xpnet", 2.0),
    record("xpnet without Numba", 3.0),
    record("PyTorch", 2.5),
    record("JAX", 5.0),
    record("xpnet", 1.0, name="forward"),
    record("PyTorch", 0.5, name="forward"),
    record("xpnet on CuPy", 0.1, device="gpu"),
    record("PyTorch on CUDA", 0.2, device="gpu"),
    record("PyTorch", 1.0, name="backward"),
]
ABOUT = {
    "processor": "AMD EPYC",
    "cores": 2,
    "gpus": ["GPU 0: H"],
    "date": "2026-01-02",
    "versions": {"numpy": "2.4.6", "torch": "2.13.0"},
}
RESULTS = Results(ABOUT, {"2": {"operations": 1e11, "bytes": 1e10}}, RECORDS, [])


def test_only_what_ran_the_same_case_on_the_same_device_is_compared():
    step, forward, gpu, backward = groups(RECORDS)
    assert [len(group) for group in (step, forward, gpu, backward)] == [4, 2, 2, 1]
    assert (ours(step).title, best_peer(step).title) == ("xpnet", "PyTorch")
    assert (ours(gpu).title, best_peer(gpu).title) == ("xpnet on CuPy", "PyTorch on CUDA")
    assert ours(backward) is None
    assert best_peer([RECORD]) is None


def test_the_table_has_medians_spreads_ratios_and_memory():
    heading, *lines = table(RECORDS[:4]).splitlines()
    assert " ".join(heading.split()) == "net, batch 8, 2 threads: step median spread / xpnet best peer / memory"
    assert lines[0].split() == ["xpnet", "2.00", "ms", "1.5%", "1.00", "1.25", "256", "MiB"]
    assert lines[3].split() == ["JAX", "5.00", "ms", "1.5%", "2.50", "0.50", "256", "MiB"]


def test_a_table_without_xpnet_or_without_peers():
    assert table([record("PyTorch", 1.0)]).splitlines()[1].split()[-3:] == ["1.00", "256", "MiB"]
    assert table([RECORD]).splitlines()[1].split()[-3:] == ["1.00", "256", "MiB"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(12.34, "12.3 s"), (1.0, "1.00 s"), (0.1234, "123 ms"), (0.0010004, "1.00 ms"), (4.2e-5, "42.0 µs")],
)
def test_durations_have_three_digits(seconds, text):
    assert duration(seconds) == text


def test_results_come_back_from_their_file(tmp_path):
    path = tmp_path / "folder" / "results.json"
    RESULTS.save(path)
    assert Results.load(path) == RESULTS


@pytest.mark.parametrize(
    ("processor", "name"),
    [
        ("AMD EPYC", "amd-epyc-4-cores"),
        ("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", "intel-xeon-platinum-8375c-4-cores"),
        ("AMD EPYC 9R14 96-Core Processor", "amd-epyc-9r14-4-cores"),
    ],
)
def test_files_are_named_after_the_machine(processor, name):
    assert file_name({"processor": processor, "cores": 4}) == name


def test_the_readme_has_a_table_for_each_device_of_each_machine():
    heading, cpu, gpu_heading, gpu = readme.text([RESULTS]).split("\n\n")
    assert heading == "AMD EPYC, 2 cores, 2026-01-02: NumPy 2.4.6, PyTorch 2.13.0."
    assert cpu.splitlines() == [
        "| network | threads | pass | xpnet | best other | xpnet without Numba | PyTorch | JAX |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| net, batch 8 | 2 | training step | 2.00 ms | **1.25** | 1.50 | 1.25 | 2.50 |",
        "| net, batch 8 | 2 | inference | 1.00 ms | **0.50** | - | 0.50 | - |",
    ]
    assert gpu_heading.startswith("GPU 0: H, 2026-01-02")
    assert gpu.splitlines()[-1] == "| net, batch 8 | training step | 100 µs | **2.00** | 2.00 |"


def test_a_readme_without_results_says_so():
    assert "No machine has been measured yet" in readme.text([])


@pytest.fixture
def page(tmp_path):
    """A README with marks, and a folder with one file of results."""
    path = tmp_path / "README.md"
    path.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n", encoding="utf-8")
    RESULTS.save(tmp_path / "results" / "amd-epyc-2-cores.json")
    return path


def run(page, *options):
    readme.main(["--readme", str(page), "--results", str(page.parent / "results"), *options])


def test_the_readme_is_renewed_between_its_marks(page):
    run(page)
    text = page.read_text(encoding="utf-8")
    assert text == f"before\n{readme.BEGIN}\n{readme.text([RESULTS])}\n{readme.END}\nafter\n"
    run(page)
    assert page.read_text(encoding="utf-8") == text


def test_the_clinics_figures_are_no_machines(page):
    (page.parent / "results" / "clinic.json").write_text('{"scores": {}, "verdicts": []}', encoding="utf-8")
    run(page)
    assert readme.text([RESULTS]) in page.read_text(encoding="utf-8")


def test_check_fails_on_an_old_table_and_changes_nothing(page):
    before = page.read_text(encoding="utf-8")
    with pytest.raises(SystemExit, match="out of date"):
        run(page, "--check")
    assert page.read_text(encoding="utf-8") == before
    run(page)
    run(page, "--check")


@pytest.mark.parametrize(
    "text", ["no marks", f"{readme.END}{readme.BEGIN}", f"{readme.BEGIN}{readme.BEGIN}{readme.END}"]
)
def test_a_readme_without_its_marks_is_refused(text):
    with pytest.raises(SystemExit, match="once each, in this order"):
        readme.replaced(text, "")
