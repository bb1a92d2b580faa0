import hashlib
import json
import platform
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import xpnet
from xpnet.distributed._communicator import Communicator
from xpnet.layers import Layer

_SHOWN = 3
"""Differences that a message names; of the others it gives the number."""


class DisagreementError(ValueError):
    """The ranks were not started with the same model, data, settings or versions. All ranks raise it alike."""

    on_all_ranks = True


def agree(communicator: Communicator, facts: Mapping[str, Any]) -> None:
    """Compares what has to be the same on all ranks, by one hash where it is.

    Parameters
    ----------
    communicator : the ranks, which all call this.
    facts : by name, what is to agree: numbers, text, None, and lists and dicts of them, such as
        `{"model": model_facts(model), "examples": len(x), "seed": seed, "versions": version_facts(model)}`.

    Raises
    ------
    DisagreementError : on all ranks, naming what differs and who has what.
    TypeError : a fact of another kind.

    Examples
    --------
    >>> from xpnet.distributed import Single
    >>> agree(Single(), {"examples": 1797, "model": {"weight": "float32 (64, 10)"}})
    """
    try:
        text = json.dumps(facts, sort_keys=True)
    except TypeError as error:
        raise TypeError(f"agree: facts are numbers, text, None, and lists and dicts of them: {error}") from None
    digest = hashlib.sha256(text.encode()).hexdigest()
    if len(set(communicator.all_gather_object(digest))) > 1:
        raise DisagreementError(_message(communicator.all_gather_object(facts)))


def _message(everybody: list[dict[str, Any]]) -> str:
    flat = [dict(_leaves(facts)) for facts in everybody]
    names = dict.fromkeys(name for facts in flat for name in facts)
    lines = []
    for name in names:
        holders: dict[str | None, list[int]] = {}
        for rank, facts in enumerate(flat):
            holders.setdefault(facts.get(name), []).append(rank)
        if len(holders) > 1:
            who = [f"{_ranks(ranks)} {'nothing' if value is None else value}" for value, ranks in holders.items()]
            lines.append(f"{name}: {'; '.join(who)}")
    rest = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n  ".join(["the ranks do not agree, so they cannot train together:", *lines[:_SHOWN], *rest])


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every fact with its full name, as text."""
    if isinstance(value, dict) and (value or not name):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}, {key}" if name else key)
    else:
        yield name, json.dumps(value)


def _ranks(ranks: list[int]) -> str:
    if len(ranks) == 1:
        return f"rank {ranks[0]} has"
    return f"ranks {', '.join(map(str, ranks[:-1]))} and {ranks[-1]} have"


def model_facts(model: Layer) -> dict[str, Any]:
    """What has to agree of a model: how many parameters, and of everything in its state the type and shape.

    Examples
    --------
    >>> import xpnet
    >>> model_facts(xpnet.models.mlp([2, 1]))
    {'parameters': 2, '0.weight': 'float32 (2, 1)', '0.bias': 'float32 (1,)'}
    """
    described = {
        path: f"{str(tensor.data.dtype).rpartition('.')[2]} {tuple(map(int, tensor.data.shape))}"
        for path, tensor in model.tensors().items()
    }
    return {"parameters": len(model.parameters()), **described}


def version_facts(model: Layer) -> dict[str, str]:
    """The versions of what computes: xpnet, Python, NumPy, and the library that the model's arrays are of.

    Examples
    --------
    >>> import xpnet
    >>> sorted(version_facts(xpnet.models.mlp([2, 1])))
    ['numpy', 'python', 'xpnet']
    """
    library = getattr(sys.modules.get(model.backend.name), "__version__", None)
    own = {} if library is None else {model.backend.name: str(library)}
    python = ".".join(platform.python_version_tuple()[:2])
    return {"xpnet": xpnet.__version__, "python": python, "numpy": np.__version__, **own}
