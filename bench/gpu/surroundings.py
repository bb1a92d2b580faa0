"""What `make gpu` finds on this machine, looked at before anything of xpnet is imported."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

REQUIRED = {
    "numpy": "numpy",
    "cupy": "cupy-cuda12x or cupy-cuda13x",
    "array_api_compat": "array-api-compat",
    "tqdm": "tqdm",
    "threadpoolctl": "threadpoolctl",
    "pytest": "pytest",
}
"""Modules without which nothing can be shown, and the packages that bring them."""
WELCOME = ("torch", "jax", "numba", "matplotlib", "hypothesis", "safetensors", "array_api_strict", "h5py", "cudnn")
"""Modules that more can be shown with."""

_PROBE = """
import json, cupy
runtime = cupy.cuda.runtime
properties = runtime.getDeviceProperties(0)
product = float((cupy.ones((2, 2), "float32") @ cupy.ones((2, 2), "float32")).sum())
assert product == 8.0, f"a product of ones gave {product}"
print(json.dumps({"gpu": properties["name"].decode(), "free": runtime.memGetInfo()[0], "cupy": cupy.__version__,
                  "cuda": runtime.runtimeGetVersion(), "driver": runtime.driverGetVersion()}))
"""


class NotHere(Exception):
    """This machine cannot run `make gpu`; the message says what is missing."""


def look(present: Callable[[str], object] = find_spec, probe: str = _PROBE) -> dict[str, Any]:
    """The GPU's name, its free memory and versions, by a process that computes a product on it.

    Raises
    ------
    NotHere : a package is missing, or CuPy cannot compute on a GPU here.
    """
    missing = [package for module, package in REQUIRED.items() if not present(module)]
    if missing:
        raise NotHere(f"{sys.executable} has no {', no '.join(missing)}; install it there, or PYTHON=another python")
    try:
        command = [sys.executable, "-c", probe]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    except subprocess.TimeoutExpired:
        raise NotHere("CuPy did not finish a product of two matrices within 90 seconds") from None
    if finished.returncode:
        reason = (finished.stderr.strip().splitlines() or [f"exit code {finished.returncode}"])[-1]
        raise NotHere(f"CuPy finds no usable GPU ({reason}); see whether nvidia-smi lists one")
    found: dict[str, Any] = json.loads(finished.stdout.strip().splitlines()[-1])
    return found | {"absent": [module for module in WELCOME if not present(module)]}
