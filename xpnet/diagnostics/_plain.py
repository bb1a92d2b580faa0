import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from xpnet.backend import find_backend

_LONG = 6
"""Lists of more numbers than these are told by their range."""


def plain(value: Any) -> Any:
    """The same in what JSON has: dicts, lists, strings, numbers; those that are not finite become `"nan"`, `"inf"`."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each) for each in value]
    backend = find_backend(type(value))
    if backend is not None:
        value = backend.to_host(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist()) if value.dtype.kind in "biufUS" else str(value)
    return str(value)


def told(value: Any) -> str:
    """A value in a few words."""
    value = plain(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        numbers = [each for each in value if isinstance(each, (int, float))]
        if len(value) > _LONG and len(numbers) == len(value):
            return f"{len(value)} numbers from {min(numbers):.4g} to {max(numbers):.4g}"
        if len(value) > _LONG:
            return f"{len(value)} entries"
        return ", ".join(map(told, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {told(each)}" for name, each in value.items())
    return str(value)


def rows_of(evidence: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values in words; what stands in a dict has a row for each entry."""
    for name, value in evidence.items():
        if isinstance(value, Mapping):
            for part, each in value.items():
                yield f"{name}, {part}", told(each)
        else:
            yield str(name).replace("_", " "), told(value)
