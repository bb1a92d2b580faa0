"""`matmul=`: which backends have TF32, whom the choice holds for, and that nothing else changes."""

import threading

import numpy as np
import pytest

import xpnet
from xpnet import models
from xpnet.backend import Torch, _torch, available_backends, backend_of, get_backend, matmul, open_backend


def test_float32_is_the_default_and_stands_in_no_name(backend):
    assert backend.matmul_precision == "float32"
    assert open_backend(backend.name, matmul="float32") is open_backend(backend.name)
    assert "matmul" not in repr(backend)


@pytest.mark.parametrize("name", ["numpy", "array_api_strict"])
def test_libraries_without_tf32_are_named(name):
    with pytest.raises(ValueError, match=f"^matmul: 'tf32' is not to be had on {name}: it is a format of NVIDIA's"):
        xpnet.set_backend(name, matmul="tf32")


def test_pytorch_has_it_on_cuda_devices_alone():
    pytest.importorskip("torch")
    for options in ({"device": "cpu"}, {"device": "cpu", "dtype": "float64"}):
        with pytest.raises(ValueError, match=r"^matmul: 'tf32' .* on torch: it is for CUDA devices, .* 'cpu'; 'float"):
            xpnet.set_backend("torch", matmul="tf32", **options)


@pytest.mark.parametrize("matmul", ["float16", "TF32", None, 32])
def test_another_precision_is_refused_and_the_choice_stays(matmul):
    before = get_backend()
    with pytest.raises(ValueError, match=f"^matmul: expected one of 'float32', 'tf32', got {matmul!r}$"):
        xpnet.set_backend("numpy", matmul=matmul)
    with (
        pytest.raises(ValueError, match=f"^matmul: expected one of 'float32', 'tf32', got {matmul!r}$"),
        xpnet.use_backend("numpy", matmul=matmul),
    ):
        pass
    assert get_backend() is before


@pytest.fixture
def tf32(monkeypatch, registry):
    """PyTorch as if its device had TF32; `seen` holds PyTorch's setting at each product."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(Torch, "why_no_tf32", lambda self: None)
    product, seen = torch.matmul, []

    def watched(*arguments, **options):
        seen.append(torch.backends.cuda.matmul.allow_tf32)
        return product(*arguments, **options)

    monkeypatch.setattr(torch, "matmul", watched)
    return seen


def test_the_choice_holds_for_the_process_a_block_and_what_a_model_makes(tf32):
    chosen = xpnet.set_backend("torch", matmul="tf32")
    strict = open_backend("torch")
    assert chosen.matmul_precision == "tf32"
    assert repr(chosen) == "Backend('torch', device=None, dtype='float32', matmul='tf32')"
    assert chosen != strict
    assert hash(chosen) != hash(strict)
    a = chosen.zeros((2, 2))
    model = models.mlp([2, 2])
    assert model.backend.matmul_precision == "tf32"

    matmul(a, a)
    with xpnet.use_backend(strict):
        matmul(a, a)
        assert model.backend.matmul_precision == "float32"
    with xpnet.use_backend("numpy"):
        matmul(a, a)
    with xpnet.use_backend(model.backend):
        matmul(a, a, a + 0.0)
    assert tf32 == [True, False, False, True]
    xpnet.set_backend("torch")
    matmul(a, a)
    assert tf32[4:] == [False]
    with xpnet.use_backend("torch", matmul="tf32"):
        matmul(a, a)
    assert tf32[5:] == [True]


def test_sums_and_transforms_stay_strict_and_pytorchs_setting_comes_back(tf32):
    torch = pytest.importorskip("torch")
    chosen = xpnet.set_backend("torch", matmul="tf32")
    x = chosen.zeros((3, 3, 4, 4)) + 1.0
    backend_of(x).column_sum(x[0, 0, ...])
    backend_of(x).kernel_to_planes(x)
    assert tf32 == [False, False]
    backend_of(x).matmul_planes(x[0, ...], x[0, ...])
    assert tf32[2:] == [True]
    assert torch.backends.cuda.matmul.allow_tf32 is False
    with pytest.raises(RuntimeError):
        matmul(x[0, 0, ...], x[0, 0, :3, :])
    assert torch.backends.cuda.matmul.allow_tf32 is False


@pytest.mark.parametrize("planes", [False, True], ids=["matmul", "planes"])
def test_a_product_in_tf32_does_not_change_one_of_another_thread(tf32, monkeypatch, planes):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(Torch, "_as_set", lambda self, a: _torch._precision)  # as for arrays on a GPU
    inside, other_is_through, watched = threading.Event(), threading.Event(), torch.matmul

    def slow(*arguments, **options):
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            other_is_through.wait(0.3)
        return watched(*arguments, **options)

    monkeypatch.setattr(torch, "matmul", slow)
    a = open_backend("torch").zeros((2, 2, 2) if planes else (2, 2))
    product = Torch.matmul_planes if planes else Torch.matmul

    def in_tf32():
        with xpnet.use_backend("torch", matmul="tf32") as backend:
            product(backend, a, a)

    thread = threading.Thread(target=in_tf32)
    thread.start()
    assert inside.wait(30)
    product(open_backend("torch"), a, a)
    other_is_through.set()
    thread.join()
    assert tf32 == [True, False]  # one after the other


HALVED = [name for name in available_backends() if open_backend(name).half is not None]


@pytest.mark.parametrize("name", HALVED)
def test_sums_of_float16_are_float32_and_do_not_overflow(name):
    backend = open_backend(name)
    xp = backend.xp
    x = xp.astype(backend.asarray(np.full((400, 3), 400.0)), xp.float16)
    for sums in (backend.column_sum(x), backend.row_sum(x.T)[:, 0]):
        assert sums.dtype == xp.float32
        assert backend.to_host(sums).tolist() == [160000.0] * 3
    mean, variance, *rest = backend.column_statistics(x, xp.ones((3,), dtype=xp.float32), 1e-5)
    assert all(found.dtype == xp.float32 for found in (mean, variance, *rest))
    assert backend.to_host(variance).tolist() == [0.0] * 3
    assert backend.to_host(mean).tolist() == [400.0] * 3
    place = xp.zeros((3,), dtype=xp.float16)
    assert backend.column_sum(x[:100, :], place) is place
    assert backend.to_host(place).tolist() == [40000.0] * 3


@pytest.mark.parametrize("name", HALVED)
def test_products_of_float16_are_added_up_in_float32(name):
    backend, random = open_backend(name), np.random.default_rng(0)
    xp = backend.xp
    a, b = random.normal(size=(5, 300)).astype(np.float16), random.normal(size=(300, 4)).astype(np.float16)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    x, y = (xp.asarray(values) for values in (a, b))
    found = backend.matmul(x, y)
    assert found.dtype == xp.float16
    np.testing.assert_allclose(backend.to_host(found), expected, rtol=1e-3, atol=1e-3)
    wide = xp.zeros((5, 4), dtype=xp.float32)
    assert backend.matmul(x, y, wide) is wide
    np.testing.assert_allclose(backend.to_host(wide), expected, rtol=1e-5, atol=1e-5)
    planes = backend.matmul_planes(xp.reshape(x, (1, 5, 300)), xp.reshape(y, (1, 300, 4)))
    np.testing.assert_allclose(backend.to_host(planes)[0], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", HALVED)
def test_scaling_into_another_type_is_computed_in_float32(name):
    backend = open_backend(name)
    xp = backend.xp
    factor = backend.asarray(np.asarray(2.0**20, np.float32))
    small = backend.asarray(np.asarray([2.0**-40, 3.0 * 2.0**-30]))
    half = xp.zeros((2,), dtype=xp.float16)
    backend.scale_into(small, factor, half)
    assert backend.to_host(half).tolist() == [2.0**-20, 3.0 * 2.0**-10]
    back = xp.zeros((2,), dtype=xp.float32)
    backend.scale_into(half, 1.0 / factor, back)
    assert backend.to_host(back).tolist() == [2.0**-40, 3.0 * 2.0**-30]
