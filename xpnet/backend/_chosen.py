"""The backend that `set_backend` or `use_backend` chose: below the class that asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xpnet.backend._override import Override

if TYPE_CHECKING:
    from xpnet.backend._backend import Backend

_process: list[Backend] = []
override: Override[Backend] = Override("xpnet_backend")


def choose(backend: Backend) -> None:
    """For the whole process."""
    _process[:] = [backend]


def chosen() -> Backend | None:
    """The choice for here and now; None where nobody has chosen."""
    return override.get() or (_process[0] if _process else None)


def chosen_precision(library: str) -> str:
    """How products of float32 are computed here and now: as the choice says, if it is of that library."""
    backend = chosen()
    return "float32" if backend is None or backend.name != library else backend.matmul_precision
