"""The scripts here replace parts of CuPy; pytest must not import them for doctests."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
collect_ignore = [path.name for path in FOLDER.glob("*.py") if not path.name.startswith(("test_", "conftest"))]


@pytest.fixture(scope="session")
def dry_run():
    """`dry_run(script)`: what a script here prints, run in a process of its own where CuPy 14.2 is installed."""

    def run(script):
        cupy = pytest.importorskip("cupy")
        if not cupy.__version__.startswith("14.2."):
            pytest.skip(f"the dry run knows CuPy 14.2, not {cupy.__version__}")
        if shutil.which("g++") is None:
            pytest.skip("the dry run needs gcc and g++")
        command = [sys.executable, str(FOLDER / script)]
        beside = {"PYTHONPATH": str(FOLDER.parent.parent)}  # the package that stands beside these tests
        finished = subprocess.run(
            command, capture_output=True, text=True, cwd=FOLDER, check=False, env=os.environ | beside
        )
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)

    return run
