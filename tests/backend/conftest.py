import pytest

from xpnet.backend import _registry


@pytest.fixture
def registry(monkeypatch):
    """The table of backends as it is, and as it was afterwards; nothing counts as opened."""
    monkeypatch.setattr(_registry, "_entries", dict(_registry._entries))
    monkeypatch.setattr(_registry, "_opened", {})
    monkeypatch.setattr(_registry, "_by_type", {})
    return _registry
