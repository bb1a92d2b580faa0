"""What the figures depend on: processor, cores, versions, and how fast products and copies are at best."""

import contextlib
import os
import platform
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from bench.case import Case
from bench.networks import Network
from bench.passes import Passes
from bench.workers import Worker
from xpnet.backend import BackendUnavailableError, available_backends, open_backend, require_cudnn

SIDE = 2048
"""Rows of the square matrices whose product is timed."""
COPIED = 2**27
"""Bytes that are copied: more than any cache holds."""

_PACKAGES = (
    *("xpnet", "numpy", "numba", "torch", "jax", "scikit-learn", "cupy-cuda12x", "cupy-cuda13x"),
    *("nvidia-cudnn-frontend", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "triton"),
)


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """The processor, its cores, and the version of everything that was timed."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", text)
    return {
        "processor": model[1].strip() if model else platform.processor() or platform.machine(),
        "cores": cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "gpus": open_backend("cupy").describe() if "cupy" in available_backends() else [],
        "driver": _driver(),
        "convolution": _convolution(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def file_name(machine: dict[str, Any]) -> str:
    """A machine's name for files, such as `amd-epyc-2-cores`."""
    words = re.sub(r"\(.*?\)|@.*|[0-9]+-core|cpu|processor", " ", machine["processor"].lower())
    return "-".join([*re.findall(r"[a-z0-9]+", words), str(machine["cores"]), "cores"])


def gpu_file_name(machine: dict[str, Any]) -> str:
    """The first GPU's name for files, such as `nvidia-h200`."""
    name = re.sub(r"^GPU 0: |, [0-9.]+ GiB$|\(.*?\)", "", machine["gpus"][0])
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))


def rates(threads: int, *, turns: int, seconds: float) -> dict[str, float]:
    """The most floating-point operations and bytes a second that were seen, on this number of threads."""
    best = best_times(Worker("bench.machine", {}, Case(Network("rates", (), (), 0), 0, threads)), turns, seconds)
    return {"operations": 2 * SIDE**3 / best["product"], "bytes": 2 * COPIED / best["copy"]}


def best_times(worker: Worker, turns: int, seconds: float) -> dict[str, float]:
    """The shortest time of each of a worker's passes; the worker is closed."""
    try:
        best = {}
        for name in worker.passes:
            worker.warm(name, seconds)
            best[name] = min(worker.measure(name) for _ in range(turns))
    finally:
        worker.close()
    return best


def build(case: Case) -> Passes:
    """A product of matrices, and a copy by all threads, which reads and writes each byte once."""
    a = np.ones((SIDE, SIDE), np.float32)
    product = np.empty_like(a)
    pool = ThreadPoolExecutor(case.threads)
    sources, targets = (np.array_split(np.ones(COPIED // 4, np.float32), case.threads) for _ in range(2))

    def copy() -> None:
        list(pool.map(np.copyto, targets, sources))

    return Passes({"product": lambda: np.matmul(a, a, out=product), "copy": copy})


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _convolution() -> str:
    """How xpnet computes convolutions of CuPy arrays here."""
    try:
        require_cudnn()
    except BackendUnavailableError as error:
        return f"generic, as cuDNN is not there ({error})"
    return "cuDNN"


def _driver() -> str | None:
    """The version of NVIDIA's driver, where its tool is there."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return found.stdout.partition("\n")[0].strip() or None
    return None
