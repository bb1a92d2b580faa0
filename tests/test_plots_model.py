"""The network as a picture: each layer in a block, the lines between them, and nothing on top of anything else."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, final

import numpy as np
import pytest

from xpnet import layers as L
from xpnet import models, plots


@pytest.fixture(autouse=True)
def pyplot() -> Iterator[Any]:
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def convolution(inputs: int, outputs: int, size: int, **options: Any) -> L.Sequential:
    return L.Sequential(
        L.Conv2d(inputs, outputs, size, padding=size // 2, bias=False, **options), L.BatchNorm(outputs), L.ReLU()
    )


def bottleneck(inputs: int, width: int, stride: int = 1) -> L.Sequential:
    body = L.Sequential(
        *(convolution(inputs, width, 1), convolution(width, width, 3, stride=stride)),
        *(L.Conv2d(width, 4 * width, 1, bias=False), L.BatchNorm(4 * width)),
    )
    shortcut = None
    if inputs != 4 * width:
        shortcut = L.Sequential(L.Conv2d(inputs, 4 * width, 1, stride=stride, bias=False), L.BatchNorm(4 * width))
    return L.Sequential(L.Residual(body, shortcut), L.ReLU())


def residual_network() -> L.Sequential:
    """The first three stages of the 50-layer network of K. He et al. (CVPR 2016), table 1, of an eighth its width."""
    layers: list[L.Layer] = [convolution(3, 8, 7, stride=2), L.MaxPool2d(3, stride=2, padding=1)]
    inputs = 8
    for stage, blocks in enumerate((3, 4, 6)):
        width = 8 * 2**stage
        first = bottleneck(inputs, width, stride=2 if stage else 1)
        inputs = 4 * width
        layers.append(L.Sequential(first, *(bottleneck(inputs, width) for _ in range(blocks - 1))))
    return L.Sequential(*layers, L.GlobalAvgPool(), L.Linear(inputs, 10))


def inception(inputs: int) -> L.Concat:
    pooled = L.Sequential(L.MaxPool2d(3, stride=1, padding=1), convolution(inputs, 16, 1))
    middle = L.Sequential(convolution(inputs, 16, 1), convolution(16, 32, 3))
    return L.Concat(convolution(inputs, 16, 1), middle, L.Identity(), pooled)


def inception_network() -> L.Sequential:
    return L.Sequential(
        convolution(3, 16, 7), inception(16), inception(80), L.SqueezeExcite(144), L.GlobalAvgPool(), L.Linear(144, 10)
    )


@final
class Own(L.Layer):
    """A chain of its layers, as far as `output_shape` tells, and a head that it does not speak of."""

    def __init__(self, layer: L.Layer) -> None:
        self.main, self.head = layer, L.Linear(7, 7)

    def output_shape(self, input_shape: Any) -> Any:
        return self.main.output_shape(input_shape)

    def forward(self, x: Any, *, training: bool = True) -> Any:
        raise AssertionError("nothing runs")


@final
class LayerWithAVeryLongNameThatNoBlockCouldHold(L.Layer):
    def output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def forward(self, x: Any, *, training: bool = True) -> Any:
        raise AssertionError("nothing runs")


NETWORKS = {
    "mlp": (lambda: models.mlp([784, 100, 100, 10]), (32, 784)),
    "simple_cnn": (models.simple_cnn, (32, 28, 28, 1)),
    "vgg_small": (models.vgg_small, (64, 32, 32, 3)),
    "cnn1d": (models.cnn1d, (64, 128, 1)),
    "residual": (residual_network, (8, 224, 224, 3)),
    "inception": (inception_network, (8, 64, 64, 3)),
    "one layer": (lambda: L.Linear(3, 4), (5, 3)),
    "nothing": (L.Sequential, (5, 3)),
    "long name": (lambda: L.Sequential(*[LayerWithAVeryLongNameThatNoBlockCouldHold()] * 40), (5, 3)),
    "wide shapes": (lambda: L.Sequential(L.Residual(L.ReLU()), L.Concat(L.Tanh(), L.ReLU())), (1, 12345, 12345, 678)),
}


def found(panel: Any, gid: str) -> list[Any]:
    return [artist for artist in panel.get_children() if artist.get_gid() == gid]


def labels(panel: Any) -> list[str]:
    return [text.get_text() for text in panel.texts]


def ends(panel: Any) -> list[tuple[Any, Any]]:
    """Where arrows begin and what they point at."""
    starts = [tuple(line.get_xydata()[0]) for line in found(panel, "edge")]
    return list(zip(starts, [tuple(head.get_xy()[0]) for head in found(panel, "head")], strict=True))


class TestBlocks:
    def test_a_chain(self) -> None:
        panel = plots.model(models.simple_cnn(), (32, 28, 28, 1))
        assert labels(panel) == [
            *("input", "28×28×1", "Conv2d 5×5, 30", "ReLU", "24×24×30", "MaxPool2d 2×2 /2", "12×12×30"),
            *("Flatten", "4320", "Linear, 100", "ReLU", "100", "Linear, 10", "10"),
        ]
        assert panel.get_title(loc="left") == "Sequential, input (32, 28, 28, 1)"
        blocks = found(panel, "block")
        assert len(blocks) == 6
        assert [len(found(panel, gid)) for gid in ("band", "edge", "sum", "join", "frame")] == [8, 6, 0, 0, 0]
        heights = [(block.get_y(), block.get_y() + block.get_height()) for block in blocks]
        assert all(below > above for (_, above), (below, _) in pairwise(heights))
        for (_, start), (_, end) in ends(panel)[:-1]:
            assert any(start == pytest.approx(bottom) for _, bottom in heights)
            assert any(end == pytest.approx(top) for top, _ in heights)

    def test_a_residual_has_a_line_past_its_body_and_a_sum(self) -> None:
        panel = plots.model(L.Residual(L.Sequential(L.Linear(4, 4), L.ReLU())), (5, 4))
        assert labels(panel) == ["input", "4", "Linear, 4", "ReLU", "4", "4"]
        [circle] = found(panel, "sum")
        into = [end for _, end in ends(panel) if abs(end[1] - circle.center[1]) <= circle.radius + 1e-9]
        x, y = circle.center
        assert np.asarray(sorted(into)) == pytest.approx(np.asarray([(x, y - circle.radius), (x + circle.radius, y)]))
        past = max(found(panel, "edge"), key=lambda line: len(line.get_xdata()))
        body = found(panel, "block")[1]
        assert max(past.get_xdata()) > body.get_x() + body.get_width()
        assert min(past.get_ydata()) < body.get_y() < body.get_y() + body.get_height() < max(past.get_ydata())

    def test_a_shortcut_with_layers_is_drawn_beside_the_body(self) -> None:
        panel = plots.model(L.Residual(L.Linear(3, 4), L.Sequential(L.Linear(3, 4), L.BatchNorm(4))), (5, 3))
        _, body, shortcut = found(panel, "block")
        assert body.get_x() + body.get_width() < shortcut.get_x()
        assert body.get_y() == shortcut.get_y()
        assert "BatchNorm" in labels(panel)

    def test_branches_stand_side_by_side_and_are_joined(self) -> None:
        panel = plots.model(inception(8), (2, 16, 16, 8))
        [join] = found(panel, "join")
        assert labels(panel).count("concat") == 1
        into = [end for _, end in ends(panel) if end[1] == pytest.approx(join.get_y())]
        assert len(into) == 4
        assert all(join.get_x() < x < join.get_x() + join.get_width() for x, _ in into)
        assert labels(panel)[-1] == "16×16×72"
        tops = [round(block.get_y(), 6) for block in found(panel, "block")]
        assert [tops.count(top) for top in sorted(set(tops))] == [1, 3, 1, 1]  # the input, then the branches

    def test_what_repeats_is_drawn_once(self) -> None:
        panel = plots.model(residual_network(), (8, 224, 224, 3))
        assert [text for text in labels(panel) if text.startswith("× ")] == ["× 2", "× 3", "× 5"]
        assert len(found(panel, "frame")) == 3
        assert len(found(panel, "sum")) == 6
        assert len(found(panel, "block")) == 1 + 2 + 3 * (5 + 4) + 2

    def test_layers_of_other_settings_do_not_repeat(self) -> None:
        layers = [L.Sequential(L.Linear(4, 4, bias=bias), L.ReLU()) for bias in (True, False, True)]
        assert not found(plots.model(L.Sequential(*layers), (5, 4)), "frame")
        assert len(found(plots.model(L.Sequential(*layers[:1] * 3), (5, 4)), "frame")) == 1

    def test_frozen_layers_have_a_dashed_edge(self) -> None:
        panel = plots.model(L.Sequential(L.Frozen(convolution(3, 4, 3)), L.Tanh(), L.Flatten()), (5, 4, 4, 3))
        edges = {block.get_linestyle() for block in found(panel, "block")}
        assert len(found(panel, "block")) == 4  # what is trained does not join what is not
        assert len(edges) == 2
        assert [text.get_text() for text in panel.get_legend().get_texts()][-1] == "not trained"

    def test_layers_of_ones_own_are_a_block_or_the_chain_they_pass_on(self) -> None:
        panel = plots.model(Own(L.Sequential(L.Linear(3, 4), LayerWithAVeryLongNameThatNoBlockCouldHold())), (5, 3))
        assert labels(panel) == ["input", "3", "Linear, 4", "4", "LayerWithAVeryLongNameThatNoB…", "4"]
        assert "SqueezeExcite" in labels(plots.model(L.SqueezeExcite(32), (2, 4, 4, 32)))

    @pytest.mark.parametrize(
        ("layer", "shape", "text"),
        [
            (L.Conv2d(4, 6, (3, 1), stride=(2, 1), groups=2), (1, 8, 8, 4), "Conv2d 3×1, 6 /2×1, 2 groups"),
            (L.ConvTranspose1d(4, 6, 2, stride=2), (1, 8, 4), "ConvTranspose1d 2, 6 /2"),
            (L.AvgPool3d(2, stride=1), (1, 8, 8, 8, 4), "AvgPool3d 2×2×2"),
            (L.LayerNorm(4), (1, 4), "LayerNorm"),
            (L.Dropout(0.5), (1, 4), "Dropout(0.5)"),
        ],
    )
    def test_labels(self, layer: L.Layer, shape: Any, text: str) -> None:
        assert labels(plots.model(layer, shape))[2] == text

    def test_colours_tell_the_kinds_apart_and_the_legend_names_those_that_are_there(self) -> None:
        panel = plots.model(models.vgg_small(), (64, 32, 32, 3))
        legend = panel.get_legend()
        names = [text.get_text() for text in legend.get_texts()]
        assert names == ["convolution", "linear", "normalization", "activation", "pooling", "other"]
        colors = [patch.get_facecolor() for patch in legend.get_patches()]
        assert len(set(colors)) == 6
        assert {band.get_facecolor() for band in found(panel, "band")} == {*colors, (1.0, 1.0, 1.0, 1.0)}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("given", [False, True])
def test_nothing_overlaps_and_nothing_is_cut_off(name: str, given: bool, pyplot: Any) -> None:
    make, shape = NETWORKS[name]
    axes = pyplot.subplots(figsize=(9.0, 6.0))[1] if given else None
    panel = plots.model(make(), shape, axes=axes)
    panel.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in panel.texts]
    for number, box in enumerate(boxes):
        overlapping = [labels(panel)[i] for i, other in enumerate(boxes[:number]) if box.overlaps(other)]
        assert not overlapping, labels(panel)[number]
    bands = [band.get_window_extent() for band in (*found(panel, "band"), *found(panel, "join"))]
    for box, label in zip(boxes, labels(panel), strict=True):
        assert all(band.x0 <= box.x0 and box.x1 <= band.x1 for band in bands if band.overlaps(box)), label
    inside = panel.get_window_extent().padded(1.0)
    for artist in (*panel.texts, *panel.patches, *panel.lines):
        extent = artist.get_window_extent()
        assert inside.x0 <= extent.x0 <= extent.x1 <= inside.x1, artist
        assert inside.y0 <= extent.y0 <= extent.y1 <= inside.y1, artist
    if not given:
        whole = panel.figure.bbox
        for artist in (panel.title, panel.get_legend()):
            extent = artist.get_window_extent()
            assert 0.0 <= extent.x0 <= extent.x1 <= whole.x1
            assert 0.0 <= extent.y0 <= extent.y1 <= whole.y1


@pytest.mark.parametrize("name", ["vgg_small", "residual", "inception", "long name"])
def test_every_label_lies_in_its_block(name: str) -> None:
    make, shape = NETWORKS[name]
    panel = plots.model(make(), shape)
    panel.figure.draw_without_rendering()
    texts = {id(text): text.get_window_extent() for text in panel.texts}
    for band in (*found(panel, "band"), *found(panel, "join")):
        box = band.get_window_extent()
        held = [extent for extent in texts.values() if box.x0 <= extent.x0 and extent.x1 <= box.x1]
        assert any(box.y0 - 1 <= extent.y0 and extent.y1 <= box.y1 + 1 for extent in held)


def test_the_figure_grows_with_the_network_and_its_text_does_not(pyplot: Any) -> None:
    small, large = (plots.model(NETWORKS[name][0](), NETWORKS[name][1]) for name in ("mlp", "residual"))
    assert small.figure.get_size_inches().prod() < large.figure.get_size_inches().prod() / 4
    assert small.texts[0].get_fontsize() == large.texts[0].get_fontsize() == 8.5
    assert type(small.figure.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"


def test_given_axes_are_used_with_smaller_text_and_the_rest_is_left_alone(pyplot: Any) -> None:
    figure, (given, other) = pyplot.subplots(1, 2)
    assert plots.model(models.vgg_small(), (64, 32, 32, 3), axes=given) is given
    assert given.texts[0].get_fontsize() < 8.5
    assert not other.has_data()
    assert pyplot.get_fignums() == [figure.number]


def test_the_members_of_an_ensemble_are_branches() -> None:
    panel = plots.model(models.Ensemble([models.mlp([4, 8, 3]), models.mlp([4, 3])]), (5, 4))
    found = labels(panel)
    assert [found.count(each) for each in ("Linear, 8", "Linear, 3", "mean of probabilities")] == [1, 2, 1]


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"^layer '0': Linear\(784, 10\): expected 784 features .*, got 5"):
        plots.model(models.mlp([784, 10]), (32, 5))
    with pytest.raises(ValueError, match=r"^plots\.model: each length of input_shape must be .*, got None"):
        plots.model(L.Linear(3, 4), (None, 3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^plots\.model: the model must be a layer, got NoneType"):
        plots.model(None, (5, 3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"axes holds a str, expected matplotlib Axes"):
        plots.model(L.Linear(3, 4), (5, 3), axes="here")  # type: ignore[arg-type]
