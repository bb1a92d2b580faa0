"""A CuPy of one GPU whose NCCL belongs to several ranks: it counts, and computes as if all had the same arrays."""

from types import SimpleNamespace

import numpy as np

from xpnet.backend import CuPy, NcclGroup

KINDS = {"NCCL_INT8": 0, "NCCL_INT32": 2, "NCCL_INT64": 4, "NCCL_FLOAT16": 6, "NCCL_FLOAT32": 7, "NCCL_FLOAT64": 8}
OPERATIONS = {"NCCL_SUM": 0, "NCCL_MAX": 2, "NCCL_MIN": 3}


class FakeArray(np.ndarray):
    """An array whose address is asked for as CuPy's are."""

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)


def on_gpu(values, dtype="float32"):
    return np.array(values, dtype).view(FakeArray)


class FakeCUDA:
    """Streams, events and NCCL; `log` has what was asked of them, in order."""

    def __init__(self):
        self.log, self.arrays, self.available = [], {}, True
        self.current = self.stream("computing")
        self.cuda = SimpleNamespace(get_current_stream=lambda: self.current, Stream=lambda **_: self.stream("side"))
        self.nccl = SimpleNamespace(NcclCommunicator=self.communicator, **KINDS, **OPERATIONS)

    def stream(self, name):
        def record():
            self.log.append(("record", name))
            return ("event", name)

        return SimpleNamespace(ptr=name, record=record, wait_event=lambda event: self.log.append(("wait", name, event)))

    def communicator(self, size, identity, rank):
        self.log.append(("begun", size, identity, rank))

        def all_reduce(source, target, count, kind, operation, stream):
            self.log.append(("all reduce", count, kind, operation, stream))
            assert source == target
            if operation == OPERATIONS["NCCL_SUM"]:
                self.arrays[target] *= size

        def broadcast(source, target, count, kind, root, stream):
            self.log.append(("broadcast", count, kind, root, stream))
            assert source == target

        return SimpleNamespace(allReduce=all_reduce, broadcast=broadcast)


class FakeCuPy(CuPy):
    """The backend of that GPU. Its arrays are known to it by `array`."""

    def __init__(self, place="0000:01", problem=None):
        self.fake, self.place, self.problem = FakeCUDA(), place, problem
        self.name, self.device = "cupy", None

    def gpu(self):
        return self.place

    def nccl_identity(self):
        if self.problem is not None:
            raise ImportError(self.problem)
        return [3, -1, 4]

    def nccl_group(self, rank, size, identity):
        return NcclGroup(self.fake, self.fake.nccl, rank, size, identity)

    def array(self, values, dtype="float32"):
        array = on_gpu(values, dtype)
        self.fake.arrays[array.ctypes.data] = array
        return array

    def zeros(self, shape):
        return self.array(np.zeros(shape))

    def synchronize(self):
        self.fake.log.append(("waited",))


class FakeMPI:
    """One of several ranks, of which the others bring the same values; or what `others` makes of them."""

    def __init__(self, rank=1, size=4, others=lambda value, rank: value):
        self.rank, self.size, self.local_rank, self.others, self.log = rank, size, rank, others, []

    def all_gather_object(self, value):
        return [value if rank == self.rank else self.others(value, rank) for rank in range(self.size)]

    def broadcast_object(self, value, root=0):
        return value

    def __getattr__(self, name):
        return lambda *arguments: self.log.append((name, *arguments))
