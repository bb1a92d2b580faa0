"""What the tests of large networks share: models without drawing their weights."""

from contextlib import contextmanager

import numpy as np
import pytest

from xpnet.backend import get_backend


@contextmanager
def zeros_for_draws():
    """Initial weights are zeros that cost neither time nor, until they are written, memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xpnet.layers._parameter.draw", lambda _, shape: np.zeros(shape, get_backend().dtype))
        yield


@pytest.fixture(scope="session")
def undrawn():
    """`with undrawn(): …` builds models whose weights are zeros."""
    return zeros_for_draws
