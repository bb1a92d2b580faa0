"""The checks of tests/gpu run where there is no GPU, too: in fewer steps, with a capture that records nothing."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def checks(*options, **environment):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "tests/gpu"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XPNET_")}
    return subprocess.run(
        command, cwd=ROOT, env=kept | environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_checks_for_a_gpu_can_be_rehearsed_on_numpy():
    finished = checks(XPNET_GPU_REHEARSAL="numpy")
    assert finished.returncode == 0, finished.stdout
    assert " passed, " in finished.stdout.splitlines()[-1]


def test_without_a_gpu_they_are_not_collected():
    finished = checks("--collect-only")
    assert finished.returncode == 5, finished.stdout
    assert "no tests collected" in finished.stdout
