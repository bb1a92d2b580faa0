from typing import Any

from xpnet._typing import Array, Pullback
from xpnet.backend import array_namespace, backend_of, elementwise, readable, row_max, row_sum
from xpnet.functional import check_floats, shifted_exp
from xpnet.losses._checks import check_batch, check_pair, check_range, check_single, example_weights
from xpnet.losses._reduction import loss_and_pullback


def _terms(
    xp: Any, shifted: Array, exponentials: Array, total: Array, labels: Array, numbers: Array, weight: Any
) -> tuple[Array, Array]:
    is_label = labels == numbers
    hit = xp.astype(is_label, shifted.dtype)
    return xp.where(is_label, xp.log(total) - shifted, 0.0) * weight, (exponentials / total - hit) * weight


_against_labels = elementwise()(_terms)


@elementwise()
def _against_unread_labels(
    xp: Any, shifted: Array, exponentials: Array, total: Array, labels: Array, numbers: Array, weight: Any, last: int
) -> tuple[Array, Array]:
    """NaN where a label is no class: on a device, nobody can look and raise."""
    is_class = xp.astype((labels >= 0) & (labels <= last), shifted.dtype)
    return _terms(xp, shifted, exponentials, total, labels, numbers, weight + 0.0 / is_class)


@elementwise()
def _against_probabilities(
    xp: Any, shifted: Array, exponentials: Array, total: Array, t: Array, weight: Any
) -> tuple[Array, Array]:
    return t * (xp.log(total) - shifted) * weight, (exponentials / total - t) * weight


def softmax_cross_entropy(y: Array, t: Array, weights: Array | None = None) -> tuple[Array, Pullback]:
    """The negative log-likelihood of the right class, given logits: no softmax before it.

        L = 1/n Σ_i [log Σ_j exp(y_ij) - y_i,t(i)],    dy = (softmax(y) - onehot(t)) / n

    Parameters
    ----------
    y : (n, classes), logits, floating-point.
    t : (n,) integer labels from 0 to classes - 1; or (n, classes) floating-point probabilities, rows summing to 1.
    weights : (n,), what each example counts in a weighted mean over the batch; None counts all the same.

    Returns
    -------
    loss : 0-d array. NaN where a label is out of range and `t` is on a device, where looking would wait.
    pullback : `dy = pullback()`; `pullback(dloss)` scales it.

    Raises
    ------
    ValueError : labels out of range, shapes that do not fit, an empty batch, or probabilities that are none.
    TypeError : labels that are floating-point, integer one-hot targets, or arrays of different types or libraries.

    Examples
    --------
    >>> import numpy as np
    >>> logits = np.asarray([[1e4, 0.0], [0.0, 0.0]])
    >>> loss, pullback = softmax_cross_entropy(logits, np.asarray([0, 1]))
    >>> round(float(loss), 4), pullback()
    (0.3466, array([[ 0.  ,  0.  ],
           [ 0.25, -0.25]]))

    References
    ----------
    J. Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990. Variant: PyTorch's
    `CrossEntropyLoss`; with `weights[i]` a weight of the class t(i), its `weight=`.
    """
    name = "softmax_cross_entropy"
    check_single(name, y)
    xp = array_namespace(t, y)
    check_floats(name, outputs=y)
    check_batch(name, y)
    if y.ndim != 2:
        raise ValueError(f"{name}: expected outputs (n, classes), got shape {tuple(y.shape)}")
    labelled = _check_targets(name, xp, y, t)
    weight = example_weights(name, weights, y)
    shifted, exponentials, total = _shifted_exponentials(y)
    if labelled:
        classes = y.shape[1]
        numbers = backend_of(y).indices(classes, y)
        labels = xp.astype(t, xp.int64, copy=False)  # a narrow type cannot hold the number of classes
        labels = xp.reshape(labels, (-1, 1))  # (n,) -> (n, 1)
        if readable(labels):
            parts = _against_labels(shifted, exponentials, total, labels, numbers, weight)
        else:
            parts = _against_unread_labels(shifted, exponentials, total, labels, numbers, weight, classes - 1)
    else:
        parts = _against_probabilities(shifted, exponentials, total, t, weight)
    return loss_and_pullback(*parts)


def _shifted_exponentials(y: Array) -> tuple[Array, Array, Array]:
    """y - max(y) of each row, exp of that, and its sum."""
    at_once = backend_of(y).shifted_exponentials(y)
    if at_once is not None:
        return at_once
    shifted, exponentials = shifted_exp(y, row_max(y))
    return shifted, exponentials, row_sum(exponentials)


def _check_targets(name: str, xp: Any, y: Array, t: Array) -> bool:
    """Whether targets are labels (or probabilities); or the error that says why they are neither."""
    kind = backend_of(t).kind(t)
    expected = f"expected integer labels ({y.shape[0]},) or floating-point probabilities {tuple(y.shape)}"
    if kind == "int" and t.shape == (y.shape[0],):
        if readable(t):
            low, high = int(xp.min(t)), int(xp.max(t))
            if low < 0 or high >= y.shape[1]:
                raise ValueError(
                    f"{name}: labels must be from 0 to {y.shape[1] - 1} for {y.shape[1]} outputs, got {low} to {high}"
                )
        return True
    if kind == "float" and t.shape == y.shape:
        check_pair(name, y, t)
        check_range(name, xp, t)
        if readable(t) and float(xp.max(xp.abs(xp.sum(t, axis=-1) - 1.0))) > 1e-3:
            raise ValueError(
                f"{name}: rows of probabilities must sum to 1; were logits or class weights passed as targets?"
            )
        return False
    if kind == "int" and t.shape == y.shape:
        raise TypeError(
            f"{name}: got integer targets {tuple(t.shape)}; {expected}: convert one-hot rows to floating-point"
        )
    if kind == "float" and t.ndim < 2:
        raise TypeError(f"{name}: got floating-point labels {tuple(t.shape)}; {expected}")
    hint = ""
    if t.shape == (y.shape[0], 1):
        hint = f"; reshape the labels to ({y.shape[0]},)"
    raise ValueError(f"{name}: got {kind} targets of shape {tuple(t.shape)}; {expected}{hint}")
