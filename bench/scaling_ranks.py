"""The ranks that `bench.scaling` measures: groups of processes that wait asleep until they are asked."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import xpnet
from bench.case import LEARNING_RATE, Case, arrays_of
from bench.contenders._xpnet import sequential
from bench.networks import NETWORKS
from bench.workers import THREAD_VARIABLES
from xpnet.data import batches
from xpnet.distributed import Communicator, Single, communicator
from xpnet.losses import softmax_cross_entropy
from xpnet.training import History

ROOT = Path(__file__).parents[1]
EPOCH = 8
"""Steps of an epoch."""


def launcher() -> str:
    """The mpiexec beside this Python, or that of the path.

    Raises
    ------
    FileNotFoundError : there is none.
    """
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise FileNotFoundError("there is no mpiexec: pip install 'xpnet[mpi]'")
    return found


class Group:
    """Processes that measure together: n ranks under mpiexec, or one process without MPI.

    Parameters
    ----------
    n : how many ranks; 0 for one process that knows nothing of MPI.
    threads : of each.
    """

    def __init__(self, n: int, threads: int) -> None:
        self.n, self.threads = n, threads
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as door:
            address = str(Path(folder) / "ranks")
            door.bind(address)
            door.listen()
            door.settimeout(0.2)
            own = [sys.executable, "-m", "bench.scaling_ranks", address, "mpi" if n else "single"]
            command = [launcher(), "-n", str(n), *own] if n else own
            surroundings = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
            self._process = subprocess.Popen(command, env=surroundings, cwd=ROOT)
            self._pipes = [self._accepted(door) for _ in range(max(1, n))]

    def _accepted(self, door: socket.socket) -> Connection:
        while True:
            with contextlib.suppress(TimeoutError):
                return Connection(door.accept()[0].detach())
            if self._process.poll() is not None:
                raise RuntimeError(f"the ranks ended with status {self._process.returncode} before they had begun")

    def ask(self, name: str, *arguments: Any) -> float:
        """Has all ranks do something; the longest of their times."""
        for pipe in self._pipes:
            pipe.send((name, arguments))
        return max(float(pipe.recv()) for pipe in self._pipes)

    def close(self) -> None:
        """Ends the processes."""
        for pipe in self._pipes:
            pipe.close()
        self._process.wait()


class Rank:
    """What one process does when it is asked; each answer is a time in seconds a call."""

    def __init__(self, ranks: Communicator) -> None:
        self.ranks = ranks
        self._fit: Callable[[int], History] | None = None

    def all_reduce(self, size: int, calls: int) -> float:
        """The sum over all ranks of so many bytes of float32."""
        values = np.ones(size // 4, np.float32)
        self.ranks.barrier()
        started = time.perf_counter()
        for _ in range(calls):
            self.ranks.all_reduce(values)
        return (time.perf_counter() - started) / calls

    def build(self, network: str, batch: int) -> float:
        """A model and batches for `fit`; the time of a step of its first epoch, in which loops are compiled."""
        case = Case(NETWORKS[network], batch, 1)
        backend = xpnet.set_backend("numpy")
        x, t = (np.concatenate([array] * EPOCH) for array in case.data())
        pairs = batches(x, t, batch)
        model = sequential(case.network.layers)
        for tensor, values in zip(model.tensors().values(), arrays_of(case.weights()), strict=True):
            tensor.data[...] = backend.asarray(values)
        optimizer = xpnet.optimizers.Adam(model, LEARNING_RATE)
        together = None if isinstance(self.ranks, Single) else self.ranks

        def fit(epochs: int) -> History:
            return xpnet.fit(
                *(model, pairs),
                loss=softmax_cross_entropy,
                optimizer=optimizer,
                epochs=epochs,
                progress=False,
                communicator=together,
            )

        self._fit = fit
        return self.step(1)

    def step(self, epochs: int) -> float:
        """A training step, in so many epochs of `fit`."""
        assert self._fit is not None
        self.ranks.barrier()
        return sum(self._fit(epochs)["seconds"]) / (epochs * EPOCH)


def main() -> None:
    """Answers until the pipe is closed."""
    address, kind = sys.argv[1:]
    rank = Rank(communicator(kind))
    door = socket.socket(socket.AF_UNIX)
    door.connect(address)
    with Connection(door.detach()) as pipe, contextlib.suppress(EOFError):
        while True:
            name, arguments = pipe.recv()
            pipe.send(getattr(rank, name)(*arguments))


if __name__ == "__main__":
    main()
