"""A stand-in for the module `cudnn`: it takes the calls that xpnet makes, and computes on the host, through pointers.

It believes nothing but what it is told: dimensions, strides, padding and addresses. So where its results are right,
cuDNN was told the right thing.
"""

import ctypes
import enum
import math
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np

from xpnet.backend._cudnn import Device, Library


class NotSupportedError(Exception):
    """As `cudnn.cudnnGraphNotSupportedError`: not a RuntimeError."""


class Tensor:
    def __init__(self, dim=None, stride=None, data_type=None, name=""):
        self.dim, self.stride, self.data_type, self.name = dim, stride, data_type, name
        self.uid, self.is_output = None, False

    def set_uid(self, uid):
        self.uid = uid
        return self

    def set_output(self, value):
        self.is_output = value
        return self

    def set_dim(self, dim):
        self.dim = dim
        return self

    def set_stride(self, stride):
        self.stride = stride
        return self

    def set_data_type(self, data_type):
        self.data_type = data_type
        return self

    def at(self, address):
        """The array that lies there."""
        assert address % 16 == 0, f"{self.name}: not aligned"
        assert all(type(number) is int for number in (*self.dim, *self.stride, address))
        dtype = np.dtype(self.data_type.value)
        count = 1 + sum((length - 1) * step for length, step in zip(self.dim, self.stride, strict=True))
        memory = np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(address), dtype)
        steps = [step * dtype.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(memory, self.dim, steps)


class Graph:
    ORDER = ("validate", "build_operation_graph", "create_execution_plans", "check_support", "build_plans")

    def __init__(self, cudnn, *, handle, io_data_type, intermediate_data_type, compute_data_type):
        self.cudnn, self.handle, self.io = cudnn, handle, io_data_type
        self.computes_in = intermediate_data_type, compute_data_type
        self.deselected, self.workspace_limit, self.called, self.runs = [], None, [], 0

    def tensor(self, *, name, dim, stride, data_type):
        assert (type(dim), type(stride)) == (list, list)
        return Tensor(dim, stride, data_type, name)

    def conv_fprop(self, *, image, weight, **options):
        return self._operation("forward", {"x": image, "w": weight}, "y", options)

    def conv_dgrad(self, *, loss, filter, **options):
        return self._operation("data gradient", {"y": loss, "w": filter}, "x", options)

    def conv_wgrad(self, *, image, loss, **options):
        return self._operation("weight gradient", {"x": image, "y": loss}, "w", options)

    def _operation(self, kind, tensors, written, options):
        assert set(options) == {"pre_padding", "post_padding", "stride", "dilation"}
        self.kind, self.options, self.written, self.tensors = kind, SimpleNamespace(**options), written, tensors
        self.tensors[written] = Tensor(name=written)
        return self.tensors[written]

    def _call(self, name):
        assert self.called == list(self.ORDER[: self.ORDER.index(name)]), f"{name} after {self.called}"
        self.called.append(name)

    def validate(self):
        self._call("validate")
        for tensor in self.tensors.values():
            reach = 1 + sum((length - 1) * step for length, step in zip(tensor.dim, tensor.stride, strict=True))
            assert reach == math.prod(tensor.dim), "no gaps"
        x, w, y, o = self.tensors["x"].dim, self.tensors["w"].dim, self.tensors["y"].dim, self.options
        assert self.tensors[self.written].is_output
        assert len(x) == len(w) == len(y) in (4, 5)
        assert (x[0], w[0]) == (y[0], y[1])
        assert (x[1] % w[1], y[1] % (x[1] // w[1])) == (0, 0)
        axes = zip(x[2:], w[2:], o.pre_padding, o.post_padding, o.stride, o.dilation, strict=True)
        expected = [(n + a + b - d * (k - 1) - 1) // s + 1 for n, k, a, b, s, d in axes]
        assert y[2:] == expected, "as many windows as cuDNN counts"
        assert min(*o.pre_padding, *o.post_padding) >= 0

    def build_operation_graph(self):
        self._call("build_operation_graph")

    def create_execution_plans(self, modes):
        self._call("create_execution_plans")
        assert modes == ["A", "FALLBACK"]
        reason = self.cudnn.refuses(self)
        if reason:
            raise reason

    def deselect_numeric_notes(self, notes):
        assert self.called[-1] == "create_execution_plans"
        self.deselected += notes

    def deselect_workspace_greater_than(self, size):
        assert self.called[-1] == "create_execution_plans"
        self.workspace_limit = size

    def check_support(self):
        self._call("check_support")

    def build_plans(self):
        self._call("build_plans")
        self.cudnn.graphs.append(self)

    def get_workspace_size(self):
        return self.cudnn.workspace

    def execute(self, pointers, workspace, *, handle):
        assert self.called == list(self.ORDER)
        assert workspace, "no workspace"
        assert set(pointers) == {tensor.uid for tensor in self.tensors.values()}
        self.runs += 1
        self.cudnn.ran.append((self.kind, handle, handle.stream))
        self.cudnn.compute(self, pointers)


class FakeCuDNN:
    """The module.

    Parameters
    ----------
    version, workspace : what `backend_version` and `get_workspace_size` say.
    """

    data_type = enum.Enum("data_type", {"FLOAT": "float32", "HALF": "float16"})
    heur_mode = SimpleNamespace(A="A", FALLBACK="FALLBACK")
    numerical_note = SimpleNamespace(
        TENSOR_CORE="TENSOR_CORE", NONDETERMINISTIC="NONDETERMINISTIC", DOWN_CONVERT_INPUTS="DOWN_CONVERT_INPUTS"
    )
    cudnnGraphNotSupportedError = NotSupportedError

    def __init__(self, version=92800, workspace=1000):
        self.version, self.workspace = version, workspace
        self.graphs, self.handles, self.ran, self.streams_set = [], [], [], 0
        self.refuses = lambda graph: None
        self.breaks = None

    def backend_version(self):
        return self.version

    def create_handle(self):
        if self.breaks:
            raise self.breaks
        self.handles.append(SimpleNamespace(stream=0))
        return self.handles[-1]

    def set_stream(self, *, handle, stream):
        handle.stream = stream
        self.streams_set += 1

    def pygraph(self, **options):
        return Graph(self, **options)

    def compute(self, graph, pointers):
        """The convolution as its definition says, group by group and tap by tap, in float64."""
        x, w, y = (graph.tensors[name].at(pointers[graph.tensors[name].uid]) for name in "xwy")
        o, axes = graph.options, range(2, x.ndim)
        reach = [n + a + b for n, a, b in zip(x.shape[2:], o.pre_padding, o.post_padding, strict=True)]
        padded = np.zeros((*x.shape[:2], *reach))
        inside = tuple(slice(a, a + n) for a, n in zip(o.pre_padding, x.shape[2:], strict=True))
        if graph.written != "x":
            padded[:, :, *inside] = x
        results = np.zeros(y.shape) if graph.written == "y" else y.astype(np.float64)
        filters = np.zeros(w.shape) if graph.written == "w" else w.astype(np.float64)
        groups = x.shape[1] // w.shape[1]
        for tap in np.ndindex(*w.shape[2:]):
            steps = zip(tap, o.dilation, o.stride, y.shape[2:], strict=True)
            seen = tuple(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, s, n in steps)
            for g in range(groups):
                c = slice(g * w.shape[1], (g + 1) * w.shape[1])
                k = slice(g * (w.shape[0] // groups), (g + 1) * (w.shape[0] // groups))
                values, part = padded[:, c, *seen], results[:, k]
                if graph.written == "y":
                    part += np.moveaxis(np.tensordot(values, filters[k, :, *tap], (1, 1)), -1, 1)
                elif graph.written == "x":
                    values += np.moveaxis(np.tensordot(part, filters[k, :, *tap], (1, 0)), -1, 1)
                else:
                    pairs = (0, *axes)
                    filters[k, :, *tap] = np.tensordot(part, values, (pairs, pairs))
        places, computed = {"x": x, "w": w, "y": y}, {"x": padded[:, :, *inside], "w": filters, "y": results}
        places[graph.written][...] = computed[graph.written]


class HostDevice(Device):
    """NumPy's memory in the place of a GPU's."""

    def __init__(self):
        self.current_stream, self.workspaces = 7, []

    def number(self, x):
        return 0

    def entered(self, x):
        return nullcontext()

    def stream(self):
        return self.current_stream

    def pointer(self, x):
        return x.ctypes.data

    def workspace(self, size):
        memory = np.empty(max(1, size), np.uint8)
        self.workspaces.append(size)
        return memory, memory.ctypes.data

    def most(self):
        return 2**20


def library_on_host(cudnn):
    """xpnet's cuDNN, for NumPy arrays."""
    return Library(cudnn, HostDevice())
