"""The scripts here replace parts of CuPy 14.2, so they run in processes of their own, where that version is installed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent

collect_ignore = [file.name for file in FOLDER.glob("*.py") if not file.name.startswith("test_")]
"""Pytest must not import them for doctests."""


@pytest.fixture(scope="session")
def dry_run():
    """`dry_run(script)` runs a script of this folder and returns the JSON that it prints."""
    return run


def run(script):
    cupy = pytest.importorskip("cupy")
    if not cupy.__version__.startswith("14.2."):
        pytest.skip(f"the dry run knows CuPy 14.2, not {cupy.__version__}")
    if shutil.which("g++") is None:
        pytest.skip("the dry run needs gcc and g++")
    command = [sys.executable, str(FOLDER / script)]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=FOLDER, check=False)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)
