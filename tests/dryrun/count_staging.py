"""Traces what it costs to hand a GPU's array to MPI, by the host or as it is; prints JSON. Run by test_staging.py."""

import json

import cupy_dryrun
import cupy
import numpy as np

import xpnet
from xpnet.distributed._mpi import MPI

xpnet.set_backend("cupy")
backend = xpnet.get_backend()


class Ranks:
    """mpi4py's part: notes what it is handed."""

    IN_PLACE = "in place"

    def __init__(self):
        self.handed = []

    def Allreduce(self, source, values, operation):
        self.handed.append(type(values).__module__.partition(".")[0])


def ranks(cuda_aware):
    made = object.__new__(MPI)
    made._mpi = made._comm = Ranks()
    made._cuda_aware, made._operations, made.size = cuda_aware, {"sum": "sum"}, 2
    return made


def traced(cuda_aware):
    x = cupy.asarray(np.arange(1000, dtype=np.float32))
    mpi = ranks(cuda_aware)
    mpi.all_reduce(x)
    with cupy_dryrun.trace() as trace:
        mpi.all_reduce(x)
    return {"events": list(trace.events), "handed": mpi._comm.handed[-1]}


stage = backend.staging(cupy.asarray(np.arange(6, dtype=np.float32).reshape(2, 3)))
print(
    json.dumps(
        {
            "staged": traced(False),
            "aware": traced(True),
            "shape": stage.host.shape,
            "dtype": str(stage.host.dtype),
            "pinned": type(stage.host.base).__name__,
            "empty": backend.staging(cupy.empty((0, 3), "float32")).host.shape,
        }
    )
)
