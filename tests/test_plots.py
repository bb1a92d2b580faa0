"""What the pictures show: the data that went in, in the right panels, labelled; and errors that name the argument."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from xpnet import plots

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def pyplot() -> Iterator[Any]:
    """matplotlib.pyplot without a display; each test starts and ends without figures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    settings = dict(matplotlib.rcParams)
    yield pyplot
    assert dict(matplotlib.rcParams) == settings
    pyplot.close("all")


def recorded(**attributes: Any) -> Any:
    """A stand-in for the History that fit returns."""
    return SimpleNamespace(**attributes)


def saved(panels: Any) -> bytes:
    """The picture as a PNG file: drawing raises what the calls before it could not see."""
    file = io.BytesIO()
    np.ravel(np.asarray(panels, dtype=object))[0].figure.savefig(file, format="png", dpi=40)
    return file.getvalue()


def title(panel: Any) -> str:
    return str(panel.get_title(loc="left"))


def legend(panel: Any) -> list[str]:
    return [] if panel.get_legend() is None else [text.get_text() for text in panel.get_legend().get_texts()]


def notes(panel: Any) -> list[str]:
    return [text.get_text() for text in panel.texts]


EPOCHS = [
    {
        "epoch": 1,
        "loss": 2.0,
        "accuracy": 0.3,
        "val_loss": 2.1,
        "val_accuracy": 0.2,
        "learning_rate": 0.1,
        "seconds": 1.0,
    },
    {
        "epoch": 2,
        "loss": 1.5,
        "accuracy": 0.5,
        "val_loss": 1.7,
        "val_accuracy": 0.4,
        "learning_rate": 0.1,
        "seconds": 1.0,
    },
    {"epoch": 3, "loss": 1.2, "accuracy": 0.6, "val_loss": 1.6, "val_accuracy": 0.5, "penalty": 0.2, "seconds": 1.0},
]


class TestLearningCurves:
    def test_one_panel_for_the_loss_and_for_each_metric_with_the_data_that_went_in(self) -> None:
        panels = plots.learning_curves(recorded(epochs=EPOCHS))
        assert [panel.get_ylabel() for panel in panels] == ["loss", "accuracy"]
        assert [title(panel) for panel in panels] == ["Loss", "Accuracy"]
        for panel, name in zip(panels, ("loss", "accuracy"), strict=True):
            training, validation = panel.lines
            np.testing.assert_array_equal(training.get_xydata(), [[r["epoch"], r[name]] for r in EPOCHS])
            np.testing.assert_array_equal(validation.get_xydata(), [[r["epoch"], r["val_" + name]] for r in EPOCHS])
            assert training.get_color() == validation.get_color()
            assert (training.is_dashed(), validation.is_dashed()) == (True, False)
            assert legend(panel) == ["training", "validation"]
            assert panel.get_xlabel() == "epoch"
            assert panel.get_yscale() == "linear"
        assert saved(panels).startswith(b"\x89PNG")

    def test_the_loss_comes_first_and_a_metric_of_validation_alone_is_drawn_solid(self) -> None:
        panels = plots.learning_curves(recorded(epochs=[{"val_top5_error": 0.2, "loss": 1.0}, {"loss": 0.5}]))
        assert [title(panel) for panel in panels] == ["Loss", "Top5 error"]
        assert [legend(panel) for panel in panels] == [["training"], ["validation"]]
        assert panels[1].lines[0].get_linestyle() == "-"
        np.testing.assert_array_equal(panels[0].lines[0].get_xdata(), [1, 2])

    def test_validation_every_second_epoch_is_one_line(self) -> None:
        rows = [{"epoch": e, "loss": 1 / e} | ({"val_loss": 2 / e} if e % 2 == 0 else {}) for e in range(1, 7)]
        [panel] = plots.learning_curves(recorded(epochs=rows))
        np.testing.assert_array_equal(panel.lines[1].get_xdata(), [2, 4, 6])

    @pytest.mark.parametrize(
        ("losses", "scale"),
        [([100.0, 1.1], "linear"), ([100.0, 0.9], "log"), ([100.0, 0.0], "linear"), ([1e4, -1.0], "linear")],
    )
    def test_log_scale_for_positive_losses_over_two_decades(self, losses: list[float], scale: str) -> None:
        [panel] = plots.learning_curves(recorded(epochs=[{"loss": loss} for loss in losses]))
        assert panel.get_yscale() == scale
        assert panel.get_ylabel() == ("loss (log scale)" if scale == "log" else "loss")
        saved(panel)

    def test_one_epoch_shows_markers_over_a_whole_number(self) -> None:
        panels = plots.learning_curves(recorded(epochs=EPOCHS[:1]))
        for panel in panels:
            assert [line.get_marker() for line in panel.lines] == ["o", "o"]
            saved(panel)
            assert [tick for tick in panel.get_xticks() if 0.5 <= tick <= 1.5] == [1]

    def test_values_that_are_not_finite_leave_a_gap_and_a_cross(self) -> None:
        rows = [{"loss": value} for value in (3.0, float("nan"), 2.0, float("inf"))]
        [panel] = plots.learning_curves(recorded(epochs=rows))
        curve, crosses, _ = panel.lines
        np.testing.assert_array_equal(curve.get_ydata(), [3, np.nan, 2, np.nan])
        assert (curve.get_marker(), list(curve.get_markevery())) == ("o", [0, 2])
        np.testing.assert_array_equal(crosses.get_xdata(), [2, 4])
        assert legend(panel) == ["training", "not finite"]
        saved(panel)

    def test_nothing_finite_is_no_error(self) -> None:
        saved(plots.learning_curves(recorded(epochs=[{"loss": float("nan")}, {"loss": float("inf")}])))

    def test_panels_fill_a_grid_and_leave_no_empty_one(self) -> None:
        panels = plots.learning_curves(recorded(epochs=[{f"metric{i}": 0.5 for i in range(7)}]))
        assert len(panels) == len(panels[0].figure.axes) == 7
        saved(panels)

    def test_errors(self) -> None:
        with pytest.raises(TypeError, match=r"history of type dict has no \.epochs, expected the History of fit"):
            plots.learning_curves({})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"history\.epochs is empty, expected a row for each epoch"):
            plots.learning_curves(recorded(epochs=[]))
        with pytest.raises(ValueError, match=r"has only \['epoch', 'seconds'\], expected a loss or a metric"):
            plots.learning_curves(recorded(epochs=[{"seconds": 1.0, "epoch": 1}]))
        with pytest.raises(
            TypeError, match=r"history\.epochs\[\.\.\.\]\['loss'\] has dtype object, expected real numbers"
        ):
            plots.learning_curves(recorded(epochs=[{"loss": None}]))


class TestRegression:
    def test_targets_are_points_and_predictions_a_line_sorted_by_x(self) -> None:
        x, targets, predictions = np.array([[2.0], [0.0], [1.0]]), [[4.0], [0.0], [1.0]], [3.0, 0.5, 1.5]
        before = x.copy()
        panel = plots.regression(x, targets, predictions)
        np.testing.assert_array_equal(panel.collections[0].get_offsets(), [[2, 4], [0, 0], [1, 1]])
        np.testing.assert_array_equal(panel.lines[0].get_xydata(), [[0, 0.5], [1, 1.5], [2, 3]])
        assert legend(panel) == ["target", "prediction"]
        assert title(panel) == "Regression: RMSE 0.707"
        assert (panel.get_xlabel(), panel.get_ylabel()) == ("x", "value")
        np.testing.assert_array_equal(x, before)
        saved(panel)

    def test_hinges_outside_the_data_are_counted_and_not_drawn(self) -> None:
        panel = plots.regression([0, 1, 2], [0, 1, 2], [0, 1, 2], hinges=[0.5, 1.5, 2.5, -900.0, np.inf, np.nan])
        np.testing.assert_array_equal(panel.lines[1].get_xdata(), [0.5, 1.5])
        assert legend(panel)[2] == "6 hinges (4 outside the data)"
        assert panel.get_xlim()[1] < 3
        saved(panel)

    @pytest.mark.parametrize(
        ("hinges", "entry"), [([0.5], "1 hinge"), ([], "0 hinges"), ([9.0], "1 hinge (1 outside the data)")]
    )
    def test_few_hinges(self, hinges: list[float], entry: str) -> None:
        panel = plots.regression([0, 1], [0, 1], [0, 1], hinges=hinges)
        assert legend(panel)[2] == entry
        saved(panel)

    def test_errors_of_unsigned_targets_do_not_wrap_around(self) -> None:
        targets, predictions = np.array([0, 255], dtype=np.uint8), np.array([255, 0], dtype=np.uint8)
        assert title(plots.regression([0, 1], targets, predictions)) == "Regression: RMSE 255"

    def test_several_features_draw_predictions_over_targets_and_the_diagonal(self) -> None:
        panel = plots.regression(np.zeros((3, 2)), [1.0, 2.0, 3.0], [1.5, 2.5, np.nan])
        np.testing.assert_array_equal(panel.collections[0].get_offsets(), [[1, 1.5], [2, 2.5]])
        assert legend(panel) == ["prediction = target"]
        assert title(panel) == "Regression: RMSE 0.5 (1 of 3 not finite)"
        assert (panel.get_xlabel(), panel.get_ylabel()) == ("target", "prediction")
        assert panel.get_aspect() == 1
        saved(panel)

    @pytest.mark.parametrize("x", [[0.0, 1.0], [[0.0, 1.0], [1.0, 2.0]]])
    def test_nothing_finite_is_no_error(self, x: Any) -> None:
        panel = plots.regression(x, [0, 1], [np.nan, np.inf])
        assert title(panel) == "Regression: RMSE nan (2 of 2 not finite)"
        saved(panel)

    def test_errors(self) -> None:
        wrong: tuple[Any, ...] = (np.zeros((2, 2, 2)), 3.0, [])
        for x in wrong:
            with pytest.raises(ValueError, match=r"x has shape .*, expected \(n,\) or \(n, features\), not empty"):
                plots.regression(x, [0], [0])
        with pytest.raises(ValueError, match=r"targets has shape \(3,\), expected \(2,\) or \(2, 1\), as x has 2 rows"):
            plots.regression([0, 1], [0, 1, 2], [0, 1])
        with pytest.raises(ValueError, match=r"predictions has shape \(2, 2\), expected \(2,\) or \(2, 1\)"):
            plots.regression([0, 1], [0, 1], np.zeros((2, 2)))
        with pytest.raises(ValueError, match=r"hinges need x with one feature, .* but x has shape \(2, 3\)"):
            plots.regression(np.zeros((2, 3)), [0, 1], [0, 1], hinges=[0])
        with pytest.raises(ValueError, match=r"hinges has shape \(1, 1\), expected \(h,\)"):
            plots.regression([0, 1], [0, 1], [0, 1], hinges=[[0]])
        with pytest.raises(ValueError, match=r"x has 1 of 2 values not finite, expected none"):
            plots.regression([0, np.nan], [0, 1], [0, 1])
        with pytest.raises(TypeError, match=r"targets has dtype <U1, expected real numbers"):
            plots.regression([0, 1], ["a", "b"], [0, 1])
        with pytest.raises(TypeError, match=r"predictions of type list is no host array that NumPy can read"):
            plots.regression([0, 1], [0, 1], [[0], [1, 2]])


class OnDevice:
    """An array that refuses to become a NumPy array, as CuPy's do."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")


class TestHistograms:
    def test_activations_count_zeros_apart_from_the_bars(self) -> None:
        outputs = {"0": np.array([[-1.0, 1.0], [2.0, 4.0]]), "1.relu": np.array([0.0, 0.0, 0.0, 3.0], dtype=np.float32)}
        panels = plots.activations(outputs)
        assert [title(panel) for panel in panels] == ["0", "1.relu"]
        assert notes(panels[0]) == ["mean 1.5, std 1.8", "zeros 0 %"]
        assert notes(panels[1]) == ["mean 0.75, std 1.3", "zeros 75 %"]
        for panel, share, lines in zip(panels, (100, 25), (0, 1), strict=True):
            values = panel.patches[0].get_data().values
            assert values.sum() == pytest.approx(share)
            assert len(panel.lines) == lines
        assert panels[0].get_xlim() == panels[1].get_xlim()
        figure = panels[0].figure
        assert (figure.get_supxlabel(), figure.get_supylabel()) == ("output", "share of values (%)")
        saved(panels)

    def test_layers_of_very_different_range_have_their_own_axes(self) -> None:
        panels = plots.activations({"wide": np.arange(-9.0, 9.0), "narrow": np.arange(-9.0, 9.0) / 1000})
        assert panels[1].get_xlim()[1] < 0.1
        assert panels[0].figure.get_supxlabel() == "output (each panel has its own scale)"

    def test_dead_and_broken_layers(self) -> None:
        outputs = {"dead": np.zeros(5), "broken": np.full(3, np.nan), "half": np.array([1.0, 2.0, np.inf, np.nan])}
        panels = plots.activations(outputs)
        assert notes(panels[0]) == ["mean 0, std 0", "zeros 100 %"]
        assert notes(panels[1]) == ["no finite value", "3 not finite"]
        assert notes(panels[2]) == ["mean 1.5, std 0.5", "zeros 0 %, 2 not finite"]
        saved(panels)
        saved(plots.activations({"dead": np.zeros(5)}))

    def test_weights_keep_zeros_in_the_bars_and_every_panel_its_own_axis(self) -> None:
        state = {"0.weight": np.array([[0.0, 1.0], [2.0, np.nan]]), "0.bias": np.zeros(4), "1.steps": np.array(7)}
        panels = plots.weights(state)
        assert [title(panel) for panel in panels] == list(state)
        assert notes(panels[0]) == ["mean 1, std 0.816", "1 not finite"]
        assert notes(panels[1]) == ["mean 0, std 0"]
        assert [panel.patches[0].get_data().values.sum() for panel in panels] == pytest.approx([100, 100, 100])
        assert panels[2].get_xlim()[0] > 1
        saved(panels)

    @pytest.mark.parametrize(
        "values",
        [1 + 1e-16 * np.arange(9), np.array([1e-310, 2e-310]), np.array([3e38, -3e38], np.float32), [True, False]],
    )
    def test_hard_ranges(self, values: Any) -> None:
        panels = plots.weights({"w": values})
        assert panels[0].patches[0].get_data().values.sum() == pytest.approx(100)
        saved(panels)

    @pytest.mark.parametrize("layers", [1, 2, 5, 13, 60])
    def test_from_one_to_sixty_layers(self, layers: int) -> None:
        outputs = {f"features.{i}": np.linspace(-1, 1 + i / 60, 50) for i in range(layers)}
        panels = plots.activations(outputs)
        assert panels.shape == (layers,)
        assert len(panels[0].figure.axes) == layers
        saved(panels)
        boxes = [panel.get_tightbbox() for panel in panels]
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:i])

    def test_a_long_path_keeps_its_end(self) -> None:
        [panel] = plots.weights({"features.denseblock4.denselayer16.conv2.weight": [1.0]})
        assert title(panel) == "…4.denselayer16.conv2.weight"

    @pytest.mark.parametrize(("draw", "name"), [(plots.activations, "outputs"), (plots.weights, "parameters")])
    def test_errors(self, draw: Any, name: str) -> None:
        with pytest.raises(TypeError, match=rf"{name} is of type list, expected a dict from path to array"):
            draw([1.0])
        with pytest.raises(ValueError, match=rf"{name} is an empty dict, expected at least one array"):
            draw({})
        with pytest.raises(ValueError, match=rf"{name}\['a'\] is empty, expected at least one value"):
            draw({"a": np.zeros((0, 3))})
        with pytest.raises(TypeError, match=rf"{name}\['a'\] has dtype complex128, expected real numbers"):
            draw({"a": np.zeros(3, dtype=complex)})
        with pytest.raises(
            TypeError, match=rf"{name}\['a'\] of type OnDevice is no host array .*: Implicit conversion"
        ):
            draw({"a": OnDevice()})


class TestGradientNorms:
    def test_a_line_for_each_path_in_the_order_of_its_steps_and_colours_in_the_order_of_the_layers(self) -> None:
        norms = {f"{i}.weight": {10: 0.5 / (i + 1), 0: 1.0 / (i + 1)} for i in range(5)}
        panel = plots.gradient_norms(recorded(gradient_norms=norms))
        assert panel.get_yscale() == "log"
        for i, line in enumerate(panel.lines):
            np.testing.assert_array_equal(line.get_xydata(), [[0, 1 / (i + 1)], [10, 0.5 / (i + 1)]])
        light = [np.dot(line.get_color()[:3], [0.2126, 0.7152, 0.0722]) for line in panel.lines]
        assert light == sorted(light)
        assert (panel.get_xlabel(), panel.get_ylabel()) == ("training step", "gradient norm (log scale)")
        assert legend(panel) == []
        bar = panel.figure.axes[1]
        assert [label.get_text() for label in bar.get_yticklabels()] == list(norms)
        saved(panel)

    def test_zero_and_not_finite_norms_are_marked_at_the_edges(self) -> None:
        norms = {"a": {0: 1.0, 1: 0.0, 2: 0.5}, "b": {0: 0.2, 1: float("nan"), 2: float("inf")}}
        panel = plots.gradient_norms(recorded(gradient_norms=norms))
        np.testing.assert_array_equal(panel.lines[0].get_ydata(), [1, np.nan, 0.5])
        marks = {line.get_marker(): line.get_xdata() for line in panel.lines if np.size(line.get_xdata()) in (1, 2)}
        np.testing.assert_array_equal(marks["v"], [1])
        np.testing.assert_array_equal(marks["x"], [1, 2])
        assert legend(panel) == ["zero", "not finite"]
        saved(panel)

    def test_one_layer_needs_no_colour_bar_and_one_step_shows_markers(self) -> None:
        panel = plots.gradient_norms(recorded(gradient_norms={"0.weight": {3: 0.1}, "1.weight": {}}))
        assert len(panel.figure.axes) == 1
        assert title(panel) == "Gradient norm of 0.weight"
        assert panel.lines[0].get_marker() == "o"
        saved(panel)

    @pytest.mark.parametrize("norm", [0.0, float("nan"), float("inf"), 1e-310])
    def test_nothing_to_scale_is_no_error(self, norm: float) -> None:
        saved(plots.gradient_norms(recorded(gradient_norms={"a": {0: norm, 1: norm}, "b": {0: norm}})))

    def test_sixty_layers_name_the_first_and_the_last(self) -> None:
        norms = {f"features.{i}.weight": dict.fromkeys(range(3), 0.9**i) for i in range(60)}
        panel = plots.gradient_norms(recorded(gradient_norms=norms))
        names = [label.get_text() for label in panel.figure.axes[1].get_yticklabels()]
        assert len(panel.lines) == 60
        assert (len(names), names[0], names[-1]) == (20, "features.0.weight", "features.59.weight")
        saved(panel)

    def test_errors(self) -> None:
        with pytest.raises(TypeError, match=r"history of type SimpleNamespace has no \.gradient_norms"):
            plots.gradient_norms(recorded())
        with pytest.raises(
            ValueError, match=r"history\.gradient_norms is empty, expected what a GradientNorms callback"
        ):
            plots.gradient_norms(recorded(gradient_norms={}))
        with pytest.raises(
            ValueError, match=r"history\.gradient_norms has no step for any path, expected at least one"
        ):
            plots.gradient_norms(recorded(gradient_norms={"a": {}}))
        with pytest.raises(TypeError, match=r"history\.gradient_norms\['a'\] has dtype object, expected real numbers"):
            plots.gradient_norms(recorded(gradient_norms={"a": {0: None}}))


def squares(n: int, *shape: int) -> Any:
    return np.random.default_rng(0).random((n, *shape))


class TestMisclassified:
    @pytest.mark.parametrize("shape", [(6, 4), (6, 4, 1), (6, 4, 3), (16,)])
    def test_shapes_of_images(self, shape: tuple[int, ...]) -> None:
        images = squares(5, *shape)
        panels = plots.misclassified(images, [0, 1, 2, 3, 4], [0, 1, 9, 3, 8])
        assert [panel.get_xlabel() for panel in panels] == ["9 ≠ 2", "8 ≠ 4"]
        assert panels[0].figure.get_suptitle() == "2 of 5 wrong (40.0 %)"
        assert panels[0].figure.get_supxlabel() == "predicted ≠ true"
        drawn = panels[0].images[0].get_array()
        expected = images[2].reshape(4, 4) if shape == (16,) else images[2].squeeze()
        assert drawn.shape == expected.shape
        if shape == (6, 4, 3):
            np.testing.assert_array_equal(drawn, expected)
        else:
            assert np.corrcoef(np.ravel(drawn), np.ravel(expected))[0, 1] == pytest.approx(1)
        saved(panels)

    def test_scores_and_names(self) -> None:
        scores = np.array([[0.1, 0.9], [0.8, 0.2], [5.0, -np.inf]])
        panels = plots.misclassified(squares(3, 2, 2), np.array([1, 1, 1]), scores, names=["cat", "dog"])
        assert [panel.get_xlabel() for panel in panels] == ["cat ≠ dog", "cat ≠ dog"]

    def test_long_names_take_two_lines_in_every_caption(self) -> None:
        names = ["T-shirt or top", "ankle boot", "bag"]
        panels = plots.misclassified(squares(2, 2, 2), [0, 1], [1, 2], names=names)
        assert [panel.get_xlabel() for panel in panels] == ["ankle boot ≠\nT-shirt or top", "bag ≠\nankle boot"]
        saved(panels)

    def test_the_first_count_in_a_near_square_grid(self) -> None:
        labels, predictions = np.zeros(360, dtype=int), np.where(np.arange(360) < 37, 1, 0)
        panels = plots.misclassified(squares(360, 3, 3), labels, predictions)
        assert panels.shape == (25,)
        assert panels[0].get_gridspec().get_geometry() == (5, 5)
        assert panels[0].figure.get_suptitle() == "37 of 360 wrong (10.3 %)"
        assert panels[0].figure.get_supxlabel() == "predicted ≠ true; the first 25"
        seven = plots.misclassified(squares(360, 3, 3), labels, predictions, count=7)
        assert (seven.shape, seven[0].get_gridspec().get_geometry()) == ((7,), (3, 3))

    def test_none_wrong_says_so(self) -> None:
        [panel] = plots.misclassified(squares(4, 2, 2), [0, 1, 2, 3], [0, 1, 2, 3])
        assert panel.figure.get_suptitle() == "0 of 4 wrong (0.0 %)"
        assert notes(panel) == ["every image is\nclassified rightly"]
        saved(panel)

    @pytest.mark.parametrize("value", [0, 7, 255, np.nan, np.inf, -3.5])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_any_range_of_values_is_drawn(self, value: float, channels: int) -> None:
        images = np.zeros((2, 3, 3, channels))
        images[0, 0, 0] = value
        panels = plots.misclassified(images, [0, 0], [1, 1])
        shown = np.asarray(panels[0].images[0].get_array())
        assert shown.min() >= 0
        assert shown.max() <= 1
        saved(panels)

    def test_bytes_in_colour_keep_their_brightness(self) -> None:
        [panel] = plots.misclassified(np.full((1, 2, 2, 3), 51, dtype=np.uint8), [0], [1])
        np.testing.assert_allclose(panel.images[0].get_array(), 0.2)

    def test_given_axes_limit_the_count(self, pyplot: Any) -> None:
        figure, axes = pyplot.subplots(1, 3)
        panels = plots.misclassified(squares(5, 2, 2), [0] * 5, [1] * 5, axes=axes)
        assert list(panels) == list(axes)
        assert title(axes[0]) == "5 of 5 wrong (100.0 %)"
        assert figure.get_suptitle() == ""

    def test_errors(self) -> None:
        good = squares(3, 2, 2)
        for shape in ((3,), (3, 2, 2, 2), (0, 2, 2), (3, 2, 2, 3, 1)):
            with pytest.raises(ValueError, match=r"images has shape .*, expected \(n, h, w\), \(n, h, w, 1 or 3\) or"):
                plots.misclassified(np.zeros(shape), [0, 0, 0], [0, 0, 0])
        with pytest.raises(ValueError, match=r"images has shape \(3, 5\), expected flat squares \(n, h\*h\)"):
            plots.misclassified(np.zeros((3, 5)), [0, 0, 0], [0, 0, 0])
        with pytest.raises(ValueError, match=r"labels has shape \(2,\), expected \(3,\): one class for each image"):
            plots.misclassified(good, [0, 0], [0, 0, 0])
        with pytest.raises(
            ValueError, match=r"predictions has shape \(2,\), expected \(3,\): one class for each image"
        ):
            plots.misclassified(good, [0, 0, 0], np.zeros((2, 4)))
        with pytest.raises(ValueError, match=r"predictions has shape \(3, 1\), expected scores of 2 or more classes"):
            plots.misclassified(good, [0, 0, 0], np.zeros((3, 1)))
        with pytest.raises(ValueError, match=r"expected scores of 2 or more classes without NaN"):
            plots.misclassified(good, [0, 0, 0], np.full((3, 2), np.nan))
        with pytest.raises(ValueError, match=r"labels\[1\] is 0\.5, expected a class number from 0$"):
            plots.misclassified(good, [0, 0.5, 0], [0, 0, 0])
        with pytest.raises(ValueError, match=r"predictions\[2\] is 2, expected a class number from 0 to 1"):
            plots.misclassified(good, [0, 0, 0], [0, 0, 2], names=["a", "b"])
        for count in (0, 2.5, True):
            with pytest.raises(ValueError, match=rf"count is {count}, expected a whole number from 1"):
                plots.misclassified(good, [0, 0, 0], [0, 0, 0], count=count)  # type: ignore[arg-type]


class TestAxes:
    CALLS = (
        (lambda axes: plots.learning_curves(recorded(epochs=[{"loss": 1.0}]), axes=axes)),
        (lambda axes: plots.regression([0, 1], [0, 1], [0, 1], hinges=[0.5], axes=axes)),
        (lambda axes: plots.regression([[0, 1], [1, 2]], [0, 1], [0, 1], axes=axes)),
        (lambda axes: plots.activations({"a": [1.0, 2.0]}, axes=axes)),
        (lambda axes: plots.weights({"a": [1.0, 2.0]}, axes=axes)),
        (lambda axes: plots.gradient_norms(recorded(gradient_norms={"a": {0: 1.0}, "b": {0: 2.0}}), axes=axes)),
        (lambda axes: plots.misclassified(squares(1, 2, 2), [0], [1], axes=axes)),
    )

    @pytest.mark.parametrize("call", CALLS)
    def test_given_axes_are_used_and_no_figure_is_made(self, call: Any, pyplot: Any) -> None:
        figure, (given, other) = pyplot.subplots(1, 2)
        drawn = np.ravel(np.asarray(call(given), dtype=object))
        assert list(drawn) == [given]
        assert given.has_data()
        assert not other.has_data()
        assert figure.get_suptitle() == figure.get_supxlabel() == ""
        assert pyplot.get_fignums() == [figure.number]
        saved(given)

    @pytest.mark.parametrize("call", CALLS)
    def test_without_axes_one_figure_with_constrained_layout_is_made(self, call: Any, pyplot: Any) -> None:
        panel = np.ravel(np.asarray(call(None), dtype=object))[0]
        assert pyplot.get_fignums() == [panel.figure.number]
        assert type(panel.figure.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"

    @pytest.mark.parametrize("form", [list, np.array])
    def test_panels_of_given_axes_are_labelled_one_by_one(self, form: Any, pyplot: Any) -> None:
        _, axes = pyplot.subplots(1, 3)
        panels = plots.activations({"a": [1.0, 2.0], "b": [2.0, 3.0]}, axes=form(list(axes)))
        assert [panel.get_xlabel() for panel in panels] == ["output", "output"]
        assert [panel.get_ylabel() for panel in panels] == ["share of values (%)"] * 2
        assert not axes[2].has_data()

    def test_errors(self, pyplot: Any) -> None:
        figure, axes = pyplot.subplots(1, 1)
        with pytest.raises(ValueError, match=r"axes has 1 Axes, expected at least 2, one for each panel"):
            plots.weights({"a": [1.0], "b": [1.0]}, axes=axes)
        with pytest.raises(ValueError, match=r"axes has 0 Axes, expected at least 1, one for each panel"):
            plots.misclassified(squares(1, 2, 2), [0], [1], axes=[])
        with pytest.raises(TypeError, match=r"axes holds a Figure, expected matplotlib Axes"):
            plots.weights({"a": [1.0]}, axes=figure)


class TestMatplotlib:
    def test_importing_the_room_does_not_import_matplotlib(self) -> None:
        code = "import sys, xpnet.plots; print([name for name in sys.modules if name.startswith('matplotlib')])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        assert done.stdout.strip() == "[]"

    def test_missing_matplotlib_raises_with_the_line_that_installs_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
        with pytest.raises(ImportError, match=r"xpnet\.plots draws with matplotlib: pip install matplotlib"):
            plots.weights({"a": [1.0]})

    def test_nothing_is_shown(self, monkeypatch: pytest.MonkeyPatch, pyplot: Any) -> None:
        monkeypatch.setattr(pyplot, "show", lambda: pytest.fail("a window would open"))
        plots.learning_curves(recorded(epochs=EPOCHS))

    def test_a_process_without_a_display_needs_no_choice_of_backend(self) -> None:
        code = "from xpnet import plots; print(plots.weights({'a': [1.0]})[0].figure.canvas.get_default_filetype())"
        hidden = ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
        assert done.stdout.strip() == "png"
