"""`make gpu` without a GPU: how it ends there, its tests file by file, its steps."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.gpu import __main__ as command
from bench.gpu import steps
from bench.gpu.processes import Finished, run
from bench.gpu.report import Step
from bench.gpu.suite import Tally, check_files, missing_imports, processes, run_files, suite_files
from bench.gpu.surroundings import NotHere, look

ROOT = Path(__file__).parents[2]
MACHINE = {"gpu": "NVIDIA H000", "free": 2**40, "cupy": "14.2.0", "cuda": 13000, "driver": 13010, "absent": ["h5py"]}


def without(*names):
    return lambda name: name not in names


def test_a_missing_package_ends_it_with_its_name_at_once():
    with pytest.raises(NotHere, match=r"has no cupy-cuda12x or cupy-cuda13x, no pytest; install it there, or PYTHON="):
        look(without("cupy", "pytest"))


def test_a_gpu_that_cannot_compute_ends_it_with_the_reason():
    with pytest.raises(NotHere, match=r"CuPy finds no usable GPU \(RuntimeError: no driver\)"):
        look(without(), "raise RuntimeError('no driver')")


def test_what_is_found_is_told():
    found = look(without("jax", "cudnn"), "print('a line'); print('{\"gpu\": \"NVIDIA H000\"}')")
    assert found == {"gpu": "NVIDIA H000", "absent": ["jax", "cudnn"]}


def test_on_a_machine_without_a_gpu_it_ends_at_once_with_exit_code_1():
    started = time.monotonic()
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "bench.gpu"]
    finished = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 1
    assert finished.stderr.startswith("make gpu cannot run here: ")
    assert time.monotonic() - started < 30


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path):
    note = tmp_path / "child"
    child = f"import os, time, pathlib; pathlib.Path({str(note)!r}).write_text(str(os.getpid())); time.sleep(60)"
    parent = f"import subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', {child!r}])"
    finished = run([sys.executable, "-c", parent], 2.0)
    assert finished.code is None
    assert finished.output.startswith("begun")
    assert "ended after 2 seconds" in finished.output
    time.sleep(0.2)
    state = Path(f"/proc/{note.read_text()}/stat")
    assert not state.exists() or state.read_text().split()[2] in "ZX"


def test_a_command_without_time_is_not_begun():
    assert run(["nothing"], 0.0) == Finished(None, "not begun: no time was left", 0.0)


MARKED = "import os, time, warnings, pytest\n@pytest.mark.backend\n"
FILES = {
    "test_good.py": f"{MARKED}def test_one(): pass\ndef test_other(): assert False\n",
    "test_bad.py": f"{MARKED}@pytest.mark.parametrize('n', [1, 2])\ndef test_one(n): assert n == 1\n",
    "test_skip.py": f"{MARKED}def test_one(): pytest.skip('no oracle')\n",
    "test_none.py": "def test_other(): assert False\n",
    "test_dies.py": f"{MARKED}def test_one(): os._exit(139)\n",
    "test_needs.py": "import no_such_package\n",
    "test_slow.py": f"{MARKED}def test_one(): time.sleep(60)\n",
    "test_warns.py": f"{MARKED}def test_one(): warnings.warn('old', DeprecationWarning)\n",
}


def tallied(folder, *names, seconds=60.0):
    """What these files show, beside a pytest.ini as strict as ours."""
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = backend\nfilterwarnings = error\naddopts = -ra\n")
    files = [folder / name for name in names]
    for path in files:
        path.write_text(FILES[path.name])
    return run_files(files, marks="backend", until=time.monotonic() + seconds, workers=2, environment={})


def test_files_run_apart_and_are_counted_together(tmp_path):
    tally = tallied(tmp_path, "test_good.py", "test_none.py", "test_skip.py", "test_warns.py", "test_needs.py")
    assert tally.passed
    assert str(tally) == "2 passed, 1 skipped, 1 files left out"
    assert tally.counts["deselected"] == 2
    left_out, skipped = tally.skipped
    assert left_out == "test_needs.py was left out: there is no no_such_package"
    assert skipped.endswith("no oracle")


def test_failures_are_named_and_a_process_that_dies_takes_one_file_with_it(tmp_path):
    tally = tallied(tmp_path, "test_good.py", "test_bad.py", "test_dies.py")
    assert not tally.passed
    assert str(tally) == "2 passed, 1 failed"
    failed, died = tally.bad
    assert "test_bad.py::test_one[2]" in failed
    assert died.startswith("test_dies.py ended with exit code 139: ")
    assert "assert 2 == 1" in "\n".join(tally.log)


def test_what_has_not_ended_in_time_has_failed(tmp_path):
    tally = tallied(tmp_path, "test_slow.py", seconds=1.5)
    assert not tally.passed
    assert tally.bad[0].startswith("test_slow.py had no time left: ended after ")


def test_nothing_that_ran_is_no_success(tmp_path):
    assert not tallied(tmp_path, "test_none.py").passed
    assert str(Tally()) == "no test ran"


def test_imports_of_the_conftest_beside_count_too(tmp_path):
    (tmp_path / "conftest.py").write_text("from hypothesis.strategies import one\n")
    (tmp_path / "test_x.py").write_text("import numpy as np\nimport os.path\ndef f():\n    import torch\n")
    assert missing_imports(tmp_path / "test_x.py", without("hypothesis", "torch")) == ["hypothesis"]


def test_the_suite_is_all_folders_but_those_that_touch_no_device():
    found = suite_files(ROOT / "tests")
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in found}
    assert {"backend", "functional", "layers", "losses", "optimizers", "training", "models"} <= folders
    assert not folders & {"dryrun", "bench", "examples", "gpu"}
    sizes = [path.stat().st_size for path in found]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("memory", "cores", "expected"), [(2**40, 16, 14), (2**40, 4, 4), (2**33, 16, 5), (0, 16, 1)])
def test_processes_fit_the_processor_and_the_memory_of_the_gpu(memory, cores, expected):
    assert processes(memory, cores) == expected


def test_all_steps_run_and_one_that_fails_is_the_exit_code(monkeypatch, tmp_path, capsys):
    seen = []

    def step(name, passed):
        def go(machine, seconds, folder):
            seen.append((name, machine["gpu"], seconds <= command.BUDGETS[name]))
            return Step(name, passed, 1.0, seconds, f"what {name} found", [] if passed else ["bad"]), f"log of {name}"

        return go

    monkeypatch.setattr(command, "look", lambda: MACHINE)
    monkeypatch.setattr(steps, "STEPS", {name: step(name, name != "tests") for name in command.BUDGETS})
    monkeypatch.setenv("OUT", str(tmp_path / "there"))
    assert command.main(["--out", str(tmp_path / "here")]) == 1
    assert seen == [(name, "NVIDIA H000", True) for name in ("tests", "checks", "bench")]
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"nvidia-h000.md"}
    assert {path.name for path in (tmp_path / "there").iterdir()} == {"nvidia-h000.md", "nvidia-h000.log"}
    assert (tmp_path / "there" / "nvidia-h000.log").read_text() == "log of tests\nlog of checks\nlog of bench"
    printed = capsys.readouterr().out
    assert "tests: FAILED, 1 s: what tests found" in printed
    assert "| checks | passed |" in printed
    assert command.main(["--out", str(tmp_path / "here"), "--only", "checks", "bench"]) == 0


def test_the_checks_that_watch_memory_run_alone_and_last(monkeypatch, tmp_path):
    calls = []

    def run_files(files, **options):
        calls.append(([path.name for path in files], options["workers"]))
        return Tally(log=[f"log {len(calls)}"])

    monkeypatch.setattr(steps, "run_files", run_files)
    step, log = steps.checks(MACHINE, 10.0, tmp_path)
    (first, several), (last, one) = calls
    assert "test_capture.py" in first
    assert (last, one) == (["test_memory.py"], 1)
    assert several > 0
    assert not step.passed
    assert log == "log 1\nlog 2"


def test_without_cudnn_its_files_are_left_out_and_said():
    names = {path.name for path in check_files(ROOT / "tests")[0]}
    assert {"test_capture.py", "test_memory.py", "test_cudnn.py", "test_cudnn_on_gpu.py", "test_readme.py"} <= names
    files, without = check_files(ROOT / "tests", ["h5py", "cudnn"])
    assert names - {path.name for path in files} == {name for name in names if "cudnn" in name}
    assert "tests/gpu/test_cudnn.py was left out: there is no cudnn" in without


def test_the_budgets_leave_a_margin_below_ten_minutes():
    assert command.TOTAL <= 580
    assert command.BUDGETS["bench"] > steps.LAST_CASE
    assert command.TOTAL - command.BUDGETS["tests"] - command.BUDGETS["checks"] >= 240  # for the figures


def test_out_is_the_place_for_nothing_where_it_is_not_set(monkeypatch, tmp_path):
    monkeypatch.delenv("OUT", raising=False)
    command._copy([tmp_path / "a.md"], ["log"])
    assert list(tmp_path.iterdir()) == []
