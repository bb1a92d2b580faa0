import math
from collections.abc import Iterable, Sequence
from typing import final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.layers import Layer, located


@final
class Ensemble(Layer):
    """Several classifiers as one: the weighted mean of their probabilities.

        y = Σ_i w_i softmax(model_i(x)) / Σ_i w_i

    Models that err at different examples outvote each other's errors; every winner of ILSVRC from 2012 on was one.
    Usually each is trained by itself and they are joined for inference. `forward` and its pullback serve those who
    look at gradients, or train all together. What comes out are probabilities: `training.accuracy` fits them, a loss
    of logits such as `softmax_cross_entropy` does not.

    Parameters
    ----------
    models : a list of layers that give logits (n, classes) for the same inputs.
    weights : what each counts, >= 0 and not all 0; None counts all the same.

    Raises
    ------
    ValueError : no model, weights that are none or not as many as models; in running, outputs that differ in shape.
    TypeError : something that is no layer, or one model instead of a list.

    Examples
    --------
    >>> import numpy as np
    >>> import xpnet
    >>> ensemble = Ensemble([xpnet.models.mlp([2, 8, 3]) for _ in range(3)])
    >>> y = ensemble(np.ones((5, 2), np.float32))
    >>> y.shape, bool(np.allclose(y.sum(axis=1), 1.0))
    ((5, 3), True)

    References
    ----------
    L. Hansen, P. Salamon, "Neural network ensembles", IEEE PAMI 12(10), 1990. Variant: the mean of probabilities, as
    in A. Krizhevsky et al., NIPS 2012, section 6.
    """

    def __init__(self, models: Sequence[Layer], weights: Sequence[float] | None = None) -> None:
        if isinstance(models, Layer) or not isinstance(models, Iterable):
            raise TypeError(f"Ensemble: models must be a list of layers, got one {type(models).__name__}")
        models = tuple(models)
        for i, model in enumerate(models):
            if not isinstance(model, Layer):
                raise TypeError(f"Ensemble: models[{i}] must be a layer, got {type(model).__name__}")
        if not models:
            raise ValueError("Ensemble: expected one model at least, got none")
        weights = [1.0] * len(models) if weights is None else _numbers(weights)
        if len(weights) != len(models):
            raise ValueError(f"Ensemble: expected {len(models)} weights, one for each model, got {len(weights)}")
        if not (math.isfinite(sum(weights)) and min(weights) >= 0.0 and sum(weights) > 0.0):
            raise ValueError(f"Ensemble: weights must be finite, >= 0 and not all 0, got {weights}")
        self._models = {str(i): model for i, model in enumerate(models)}
        self.weights = tuple(weight / sum(weights) for weight in weights)

    def members(self) -> dict[str, Layer]:
        return dict(self._models)

    def __repr__(self) -> str:
        lines = [f"  {name}: {model!r}".replace("\n", "\n  ") for name, model in self._models.items()]
        return "Ensemble(\n" + "\n".join(lines) + "\n)"

    def output_shape(self, input_shape: Shape) -> Shape:
        return self._same({name: located(name, m.output_shape, input_shape) for name, m in self._models.items()})

    def _same(self, shapes: dict[str, Shape]) -> Shape:
        first = shapes["0"]
        if any(shape != first for shape in shapes.values()):
            raise ValueError(f"Ensemble: expected outputs of one shape, got {', '.join(map(str, shapes.values()))}")
        if len(first) != 2:
            raise ValueError(f"Ensemble: expected outputs (n, classes), got shape {first}")
        return first

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        outputs = {name: located(name, m.forward, x, training=training) for name, m in self._models.items()}
        logits = {name: y[0] if isinstance(y, tuple) else y for name, (y, _) in outputs.items()}
        self._same({name: tuple(y.shape) for name, y in logits.items()})
        probabilities = [F.softmax(y) for y in logits.values()]
        y = sum(weight * p for weight, (p, _) in zip(self.weights, probabilities, strict=True))

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            F.check_gradient("Ensemble", dy, y.shape, y)
            total = None
            for weight, (_, pull_softmax), (output, pull) in zip(
                self.weights, probabilities, outputs.values(), strict=True
            ):
                dlogits = pull_softmax(weight * dy)
                heads = (dlogits, *[None] * (len(output) - 1)) if isinstance(output, tuple) else dlogits
                dx = pull(heads, input_gradient=input_gradient)
                total = dx if total is None else total + dx
            return total

        return y, pullback


def _numbers(weights: Sequence[float]) -> list[float]:
    try:
        return [float(weight) for weight in weights]
    except (TypeError, ValueError) as error:
        raise TypeError(f"Ensemble: weights must be one number for each model, got {weights!r}") from error
