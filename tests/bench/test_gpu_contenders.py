"""The GPU's contenders, built and run on a CPU as far as they can be, with stand-ins for CUDA's events and graphs."""

import dataclasses
import importlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from bench.agreement import check_outputs, outputs_of
from bench.case import Case
from bench.contenders import CONTENDERS, EAGER, GRAPHED, NO_TF32
from bench.contenders import _xpnet as ours
from bench.contenders._contender import with_tf32
from bench.networks import GPU_NETWORKS, NETWORKS
from bench.passes import event_clock, waiting_clock

ON_GPU = [contender for contender in CONTENDERS.values() if contender.device == "gpu"]
CASES = [Case(NETWORKS[name], batch=4, threads=1) for name in ("784-40-20-10", "simple_cnn")]


def named(value):
    return value.network.name if isinstance(value, Case) else getattr(value, "name", None)


@pytest.fixture(params=CASES, ids=named)
def case(request):
    return request.param


def reference(case):
    return outputs_of(ours.build(case, backend="numpy", loops=False))


class FakeGraph:
    """Records as a CUDA graph does: nothing happens until it is replayed, always into the same tensor."""

    def __init__(self):
        self.replays = 0

    def record(self, body):
        import torch

        for _ in range(3):
            body()
        result = torch.empty(0)

        def replay():
            self.replays += 1
            result.set_(body())

        return result, replay


class FakeCaptured:
    """Stands in for `xpnet.capture`: from the third call on, calls count as replays."""

    def __init__(self, step):
        self.step, self.calls = step, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.step(*arguments)

    @property
    def replays(self):
        return max(0, self.calls - 2)


@pytest.mark.parametrize("name", [*EAGER, *GRAPHED, "pytorch-cuda-compiled"])
def test_pytorch_for_the_gpu_computes_what_xpnet_does(name, case, monkeypatch):
    module = pytest.importorskip("bench.contenders._pytorch")
    contender, graph = CONTENDERS[name], FakeGraph()
    monkeypatch.setattr(module, "cuda_graph", graph.record)
    options = dict(contender.options) | {"device": "cpu"}
    if options["compiler"]:
        options["compiler"] = "eager"
    found = outputs_of(module.build(case, **options))
    check_outputs(case.network.name, {"xpnet": reference(case), name: found})
    assert graph.replays == (4 if name in GRAPHED else 0)  # inference, and three steps


def test_recording_a_step_of_pytorch_leaves_weights_and_moments_as_they_were(monkeypatch):
    torch = pytest.importorskip("torch")
    from bench.contenders._pytorch_graph import recorded

    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    adam = torch.optim.Adam(model.parameters(), lr=0.1, fused=True)
    x = torch.arange(15.0).reshape(5, 3) / 15
    before = {name: values.clone() for name, values in model.state_dict().items()}
    seen = []

    def body(batch):
        adam.zero_grad()
        loss = model(batch).square().mean()
        loss.backward()
        adam.step()
        seen.append(batch.clone())
        return loss.detach()

    def record(run):
        for _ in range(3):
            run()
        return None, lambda: seen.append("replay")

    step = recorded(body, (x,), model, adam, record)
    assert seen == []
    step(x)
    assert seen[-1] == "replay"
    assert len(seen) == 4
    for name, values in model.state_dict().items():
        assert torch.equal(values, before[name]), name
    assert all(not values.any() for state in adam.state.values() for values in state.values())


def test_jax_computes_the_same_where_its_clock_does_the_waiting(case):
    jax = pytest.importorskip("jax")
    module = importlib.import_module("bench.contenders._jax")
    passes = module.build(case, device="cpu")
    check_outputs(case.network.name, {"xpnet": reference(case), "JAX": outputs_of(passes)})
    assert waiting_clock(jax.block_until_ready)(passes.run["step"], 3) > 0


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_xpnet_captured_has_inference_and_steps(backend, case, monkeypatch):
    pytest.importorskip(backend)
    monkeypatch.setattr(xpnet, "capture", FakeCaptured, raising=False)
    passes = ours.build(case, backend=backend, captured=True)
    assert set(passes.run) == {"forward", "step"}
    check_outputs(case.network.name, {"xpnet": reference(case), "captured": outputs_of(passes)})
    for body in passes.run.values():
        assert passes.clock(body, 3) > 0


def test_a_captured_step_that_ran_eagerly_is_not_timed(case, monkeypatch):
    class Eager(FakeCaptured):
        replays = 0

    monkeypatch.setattr(xpnet, "capture", Eager, raising=False)
    passes = ours.build(case, backend="numpy", captured=True)
    with pytest.raises(RuntimeError, match="replayed only 0 of 3 calls; the others ran eagerly"):
        passes.clock(passes.run["step"], 3)


def test_tf32_is_asked_of_the_backend(monkeypatch):
    asked = []

    def set_backend(name, **options):
        asked.append((name, options))
        raise KeyboardInterrupt

    monkeypatch.setattr(xpnet, "set_backend", set_backend)
    for precision in ("float32", "tf32"):
        with pytest.raises(KeyboardInterrupt):
            ours.build(CASES[0], backend="cupy", precision=precision)
    assert asked == [("cupy", {}), ("cupy", {"matmul": "tf32"})]


def test_each_contender_on_the_gpu_is_there_in_both_precisions_and_says_so():
    names = {contender.name: contender for contender in ON_GPU}
    for name, contender in names.items():
        assert contender.precision == contender.options["precision"]
        assert name.endswith("-tf32") == contender.title.endswith(", TF32") == (contender.precision == "tf32")
    float32 = {name for name, contender in names.items() if contender.precision == "float32"}
    assert {f"{name}-tf32" for name in float32} | float32 == set(names)
    assert {*EAGER, *GRAPHED} < float32
    assert {name for name in float32 if names[name].ours} == {"xpnet-captured", "xpnet-cupy"}


def test_deep_networks_are_not_compiled_and_large_ones_come_one_precision_at_a_time():
    compiled = CONTENDERS["pytorch-cuda-compiled"]
    suited = {name for name, network in GPU_NETWORKS.items() if compiled.suits(network)}
    assert suited == {"784-1024-1024-10", "simple_cnn", "vgg_small"}
    from bench.__main__ import _at_once

    sizes = {name: len(_at_once(ON_GPU, Case(network, 1, 1))) for name, network in GPU_NETWORKS.items()}
    assert sizes == dict.fromkeys(GPU_NETWORKS, 1) | {"resnet50-224": 2}


def test_events_enclose_the_calls_and_all_the_work_of_the_device():
    log = []

    class Event:
        def record(self):
            log.append("record")

        def synchronize(self):
            log.append("wait")

    clock = event_clock(Event, lambda: log.append("device"), lambda start, stop: 250.0)
    assert clock(lambda: log.append("run"), 2) == 0.25
    assert log == ["device", "record", "run", "run", "device", "record", "wait"]


def test_a_waiting_clock_waits_for_the_last_result_alone():
    log = []
    results = iter("abcd")
    clock = waiting_clock(lambda result: log.append(result))
    assert clock(lambda: next(results), 3) > 0
    assert log == ["a", "d"]


def test_the_rates_of_a_gpu_that_is_not_there_are_missing_and_said(capsys):
    from bench.gpu.rates import gpu_rates
    from xpnet.backend import why_unavailable

    if why_unavailable("cupy") is None:
        rates = gpu_rates(["float32"], turns=1, seconds=0.001)
        assert rates["float32"]["operations"] > 0
    else:
        assert gpu_rates(["float32"], turns=1, seconds=0.001) == {}
        assert "The GPU's rates in float32 could not be measured: " in capsys.readouterr().out


def test_data_of_a_case_do_not_depend_on_the_device():
    case = Case(GPU_NETWORKS["vgg_small"], 2, threads=1)
    other = dataclasses.replace(case, threads=16)
    assert all((a == b).all() for a, b in zip(case.data(), other.data(), strict=True))
    assert np.isfinite(case.data()[0]).all()


@pytest.mark.parametrize(("capability", "expected"), [("75", NO_TF32), ("80", None), ("120", None)])
def test_tf32_needs_a_gpu_that_has_it(capability, expected, monkeypatch):
    device = SimpleNamespace(compute_capability=capability)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(Device=lambda: device)))
    assert with_tf32(lambda: None)() == expected
    assert with_tf32(lambda: "no GPU")() == "no GPU"
