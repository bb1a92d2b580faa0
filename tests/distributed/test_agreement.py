"""Ranks that were not started alike say so, all with the same words."""

import numpy as np
import pytest

import xpnet
from xpnet.distributed import Single, agree, model_facts, version_facts

HEAD = "the ranks do not agree, so they cannot train together:\n  "


def test_what_differs_is_named_with_who_has_what(found):
    n, cases = found["n"], found["disagreements"]
    assert all(len(messages) == n and len(set(messages)) == 1 for messages in cases.values())
    one = {name: messages[0] for name, messages in cases.items()}
    others, first, last = ("ranks 1, 2 and 3 have", "ranks 0, 2 and 3 have", "ranks 0, 1 and 2 have")
    if n == 2:
        others, first, last = "rank 1 has", "rank 0 has", "rank 0 has"
    assert one["same"] is None
    assert one["model"].startswith(f"{HEAD}model, parameters: {first} 2; rank 1 has 4\n  model, 0.weight: ")
    assert f'0.weight: {first} "float32 (4, 2)"; rank 1 has "float32 (4, 3)"' in one["model"]
    assert one["model"].endswith("\n  and 2 more")
    assert one["length"] == f"{HEAD}examples: {last} 100; rank {n - 1} has 101"
    assert one["version"] == f'{HEAD}versions, xpnet: rank 0 has "0.2.0"; {others} "0.1.0"'
    assert one["missing"] == f"{HEAD}seed: rank 0 has nothing; {others} 0"
    assert one["empty"] == f"{HEAD}settings: rank 0 has nothing; {others} {{}}"


def test_facts_are_plain_values():
    with pytest.raises(
        TypeError, match=r"agree: facts are numbers, text, None, and lists and dicts of them: .*ndarray"
    ):
        agree(Single(), {"weights": np.zeros(3)})


def test_a_models_facts_are_its_parameters_and_buffers(backend):
    model = xpnet.layers.Sequential(xpnet.layers.Linear(2, 3), xpnet.layers.BatchNorm(3))
    facts = model_facts(model)
    assert facts["parameters"] == 4
    assert facts["0.weight"] == "float32 (2, 3)"
    assert facts["1.running_var"] == "float32 (3,)"
    agree(Single(), {"model": facts})


def test_versions_are_of_what_computes(backend):
    found = version_facts(xpnet.models.mlp([2, 1]))
    assert found["xpnet"] == xpnet.__version__
    assert found["numpy"] == np.__version__
    assert backend.name in found
