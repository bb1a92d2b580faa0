"""How much memory a device has left: PyTorch's numbers, put together."""

import pytest

from xpnet.backend import Torch, open_backend


@pytest.fixture
def gpu(monkeypatch):
    """A PyTorch backend on a GPU that is not there, which tells these numbers."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(Torch, "_check_device", lambda self: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 9000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 300)
    return Torch("torch", open_backend("torch").xp, device="cuda:0")


def test_room_is_what_is_free_and_what_is_held_for_reuse(gpu):
    assert gpu.room() == 1000 + 700 - 300
    assert gpu.memory() == {"used": 300, "reserved": 700}


def test_memory_held_for_reuse_is_given_back(gpu, monkeypatch):
    import torch

    given_back = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append(True))
    gpu.release()
    open_backend("torch").release()
    assert given_back == [True]


def test_on_a_cpu_there_is_no_memory_of_its_own():
    pytest.importorskip("torch")
    backend = open_backend("torch", device="cpu")
    assert backend.room() is None
    assert backend.memory() == {}
