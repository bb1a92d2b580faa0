"""Names and shapes: one list of what does not fit; strict and skip; prefixes; arrays with several names."""

import re

import numpy as np
import pytest
import safetensors.numpy

import xpnet
from xpnet import layers as L
from xpnet import models


def saved(path, change, model):
    """The file of a model, its tensors changed: in place, or by others that `change` returns."""
    xpnet.save_weights(model, path)
    tensors = safetensors.numpy.load_file(path)
    others = change(tensors)
    safetensors.numpy.save_file(others if isinstance(others, dict) else tensors, path)


def named(**layers):
    return L.Sequential(**layers)


def backbone(classes=3):
    return named(conv=L.Conv1d(2, 4, 3), bn=L.BatchNorm(4), fc=L.Linear(4, classes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("fc.bias"), r"missing: fc\.bias \(3,\)"),
        (lambda t: t.update(extra=t["fc.bias"]), r"unexpected: extra \(3,\)"),
        (lambda t: t.update({"fc.weight": t["fc.weight"].T.copy()}), r"shape: fc\.weight \(4, 3\) → \(3, 4\)"),
        (lambda t: t.update({"fc.weight": t["fc.weight"].ravel()}), r"shape: fc\.weight \(12,\) → \(3, 4\)"),
    ],
    ids=["missing", "unexpected", "transposed", "flat"],
)
def test_what_does_not_fit_changes_nothing(backend, path, values, assert_same, change, message):
    model = backbone()
    before = values(model)
    saved(path, change, backbone())
    with pytest.raises(ValueError, match=message) as caught:
        xpnet.load_weights(model, path)
    assert str(caught.value).startswith(f"load_weights: {path}: the names or shapes (theirs → the model's, in PyTorch")
    assert_same(values(model), before)


def test_all_that_does_not_fit_is_one_list(path):
    xpnet.save_weights(models.mlp([4, 8, 3]), path)
    with pytest.raises(ValueError, match="do not fit, 0 of 6 do; nothing was changed") as caught:
        xpnet.load_weights(models.mlp([4, 9, 9, 3]), path)
    assert str(caught.value).splitlines()[1:] == [
        "  missing: 4.weight (3, 9)",
        "  missing: 4.bias (3,)",
        "  shape: 0.weight (8, 4) → (9, 4)",
        "  shape: 0.bias (8,) → (9,)",
        "  shape: 2.weight (3, 8) → (9, 9)",
        "  shape: 2.bias (3,) → (9,)",
    ]


def test_the_list_of_another_architecture_is_cut(path):
    other = {f"block{i}": L.Linear(2, 2) for i in range(40)}
    xpnet.save_weights(named(first=L.Linear(2, 2), **other), path)
    with pytest.raises(ValueError, match="do not fit, 2 of 62 do; nothing was changed") as caught:
        xpnet.load_weights(named(first=L.Linear(2, 2), **{f"layer{i}": L.Linear(2, 3) for i in range(30)}), path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + 11 + 11
    assert lines[1] == "  missing: layer0.weight (3, 2)"
    assert lines[11] == "  … and 50 more"
    assert lines[-1] == "  … and 70 more"


@pytest.mark.parametrize(
    ("theirs", "ours", "hint"),
    [
        (named(backbone=backbone()), backbone(), "8 of their names fit without backbone."),
        (named(a=named(b=backbone())), backbone(), "8 of their names fit without a.b."),
        (backbone(), named(net=backbone()), "8 of our names fit without net."),
        (named(backbone=backbone(), head=L.Linear(2, 2)), backbone(), "8 of their names fit without backbone."),
    ],
)
def test_a_beginning_too_many_is_pointed_out(path, theirs, ours, hint):
    xpnet.save_weights(theirs, path)
    with pytest.raises(ValueError, match=rf"hint: {re.escape(hint)}$"):
        xpnet.load_weights(ours, path)


def test_a_name_that_ends_alike_by_chance_is_no_hint(path):
    xpnet.save_weights(named(a=named(first=L.Linear(2, 2)), b=L.BatchNorm(3)), path)
    with pytest.raises(ValueError, match=r"unexpected: a\.first\.weight") as caught:
        xpnet.load_weights(named(first=L.Linear(2, 2), second=models.mlp([3, 4, 3])), path)
    assert "hint" not in str(caught.value)


def test_a_count_whose_statistics_are_missing_is_not_listed(path):
    saved(path, lambda t: t.pop("bn.running_var"), backbone())
    with pytest.raises(ValueError, match=r"missing: bn\.running_var \(4,\)$"):
        xpnet.load_weights(backbone(), path)


# strict=False -------------------------------------------------------------------------------------------------------


def test_without_strict_what_fits_is_loaded_and_the_rest_is_told(backend, path, values, assert_same):
    source, model = backbone(), backbone()
    before = values(model)
    saved(path, lambda t: t.update(extra=t.pop("conv.bias")), source)
    report = xpnet.load_weights(model, path, strict=False)
    assert_same(values(model), values(source) | {"conv.bias": before["conv.bias"]})
    assert set(report.loaded) == values(model).keys() - {"conv.bias"}
    assert (report.left, report.ignored) == (("conv.bias",), ("extra",))
    assert repr(report) == "LoadReport: 7 arrays loaded; left as they were: conv.bias; ignored: extra"


def test_without_strict_shapes_have_to_fit_all_the_same(path, values, assert_same):
    model = backbone(classes=5)
    before = values(model)
    xpnet.save_weights(backbone(), path)
    with pytest.raises(ValueError, match=r"do not fit, 6 of 8 do; .*\n  shape: fc\.weight \(3, 4\) → \(5, 4\)\n"):
        xpnet.load_weights(model, path, strict=False)
    assert_same(values(model), before)


def test_without_strict_something_has_to_fit(path):
    xpnet.save_weights(models.mlp([4, 3]), path)
    with pytest.raises(ValueError, match="do not fit, 0 of 8 do"):
        xpnet.load_weights(backbone(), path, strict=False)


def test_a_long_report_is_cut(path):
    xpnet.save_weights(named(first=L.Linear(2, 2)), path)
    model = named(first=L.Linear(2, 2), **{f"layer{i}": L.Linear(2, 3, bias=False) for i in range(15)})
    assert repr(xpnet.load_weights(model, path, strict=False)).endswith("layer9.weight, … and 5 more")


# skip ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "skip", ["fc", "fc.", ["fc.weight", "fc.bias"], ("fc",), "fc.*", "f?", {"*c.weight", "fc.bi[a]s"}]
)
def test_another_number_of_classes_keeps_the_backbone(backend, path, values, assert_same, skip):
    source, model = backbone(classes=10), backbone(classes=3)
    before = values(model)
    xpnet.save_weights(source, path)
    report = xpnet.load_weights(model, path, skip=skip)
    kept = {name: before[name] for name in ("fc.weight", "fc.bias")}
    assert_same(values(model), values(source) | kept)
    assert report.left == ("fc.weight", "fc.bias")
    assert set(report.ignored) == {"fc.weight", "fc.bias"}
    assert set(report.loaded) == before.keys() - kept.keys()


def test_what_only_one_side_has_can_be_skipped(path):
    xpnet.save_weights(named(conv=L.Conv1d(2, 4, 3), aux=L.BatchNorm(2)), path)
    report = xpnet.load_weights(named(conv=L.Conv1d(2, 4, 3), head=L.Linear(2, 2)), path, skip=("aux", "head"))
    assert report.loaded == ("conv.weight", "conv.bias")
    assert report.left == ("head.weight", "head.bias")
    assert set(report.ignored) == {f"aux.{n}" for n in ("weight", "bias", "running_mean", "running_var")} | {
        "aux.num_batches_tracked"
    }


def test_types_and_values_of_what_is_skipped_do_not_matter(path):
    model = backbone()
    saved(path, lambda t: t.update({"fc.bias": np.zeros(3, np.int8), "fc.weight": np.full((3, 4), np.nan)}), backbone())
    assert xpnet.load_weights(model, path, skip="fc").left == ("fc.weight", "fc.bias")


@pytest.mark.parametrize("skip", ["head", ["fc", "f"], "fc.w", "", "fc.weight.x"])
def test_a_skip_that_stands_for_nothing_is_refused(path, values, assert_same, skip):
    model = backbone()
    before = values(model)
    xpnet.save_weights(backbone(), path)
    message = "skip has '.*', which is no name or path of the model or the file; they begin with conv, bn, fc; nothing"
    with pytest.raises(ValueError, match=message):
        xpnet.load_weights(model, path, skip=skip)
    assert_same(values(model), before)


def test_a_skip_holds_names(path):
    xpnet.save_weights(backbone(), path)
    with pytest.raises(TypeError, match="skip must hold names, got 3"):
        xpnet.load_weights(backbone(), path, skip=[3])
    with pytest.raises(TypeError, match=r"^load_weights: .*: skip must be a name or several, got None"):
        xpnet.load_weights(backbone(), path, skip=None)


# What PyTorch wraps networks in -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."]
)
def test_a_wrapped_networks_file_is_loaded(path, values, assert_same, prefix):
    source, model = backbone(), backbone()
    saved(path, lambda tensors: {prefix + name: array for name, array in tensors.items()}, source)
    assert xpnet.load_weights(model, path, skip="bn.bias").left == ("bn.bias",)
    xpnet.load_weights(model, path)
    assert_same(values(model), values(source))


def test_a_prefix_that_not_all_names_have_is_a_name(path):
    saved(path, lambda tensors: {"module." * (n != "fc.bias") + n: a for n, a in tensors.items()}, backbone())
    with pytest.raises(ValueError, match=r"unexpected: module\.fc\.weight \(3, 4\)"):
        xpnet.load_weights(backbone(), path)


def test_a_model_with_a_part_of_that_name_keeps_it(path, values, assert_same):
    source, model = named(module=backbone()), named(module=backbone())
    xpnet.save_weights(source, path)
    xpnet.load_weights(model, path)
    assert_same(values(model), values(source))
    saved(path, lambda tensors: {"module." + name: array for name, array in tensors.items()}, named(module=backbone()))
    assert len(xpnet.load_weights(model, path).loaded) == 8


# Arrays with several names ------------------------------------------------------------------------------------------


def tied(same=True):
    first = L.Linear(3, 3)
    return named(a=first, relu=L.ReLU(), b=first if same else L.Linear(3, 3))


def test_a_shared_layer_is_saved_under_each_of_its_names_and_loaded_once(path, values, assert_same):
    source, model = tied(), tied()
    xpnet.save_weights(source, path)
    tensors = safetensors.numpy.load_file(path)
    assert tensors.keys() == {"a.weight", "a.bias", "b.weight", "b.bias"}
    assert xpnet.load_weights(model, path).loaded == ("a.weight", "a.bias")
    assert_same(values(model), values(source))
    assert len(xpnet.load_weights(tied(same=False), path).loaded) == 4


@pytest.mark.parametrize("gone", ["a", "b"])
def test_one_of_its_names_is_enough(path, values, assert_same, gone):
    source, model = tied(), tied()
    saved(path, lambda tensors: {n: array for n, array in tensors.items() if not n.startswith(gone)}, source)
    xpnet.load_weights(model, path)
    assert_same(values(model), values(source))


def test_names_of_one_array_with_other_values_are_refused(path, values, assert_same):
    model = tied()
    before = values(model)
    xpnet.save_weights(tied(same=False), path)
    with pytest.raises(ValueError, match=r"a\.weight and b\.weight are one array in the model, but differ there; noth"):
        xpnet.load_weights(model, path)
    assert_same(values(model), before)


def test_skipping_one_name_of_a_shared_array_skips_it_all(path, values, assert_same):
    model = tied()
    before = values(model)
    xpnet.save_weights(tied(), path)
    report = xpnet.load_weights(model, path, skip="b.weight")
    assert (report.loaded, report.left, report.ignored) == (("a.bias",), ("a.weight",), ("a.weight", "b.weight"))
    np.testing.assert_array_equal(model.parameters()["a.weight"].data, before["a.weight"])
