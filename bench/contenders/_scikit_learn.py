"""scikit-learn's MLPClassifier: inference and whole steps; it offers no gradient alone."""

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from bench.case import LEARNING_RATE, Case
from bench.networks import Linear
from bench.passes import Passes


def build(case: Case) -> Passes:
    """The network as a classifier, by `partial_fit` and `predict_proba`."""
    x, t = case.data()
    weights = case.weights()
    hidden = [layer.outputs for layer in case.network.layers if isinstance(layer, Linear)][:-1]
    classifier = MLPClassifier(
        tuple(hidden), alpha=0.0, batch_size=case.batch, learning_rate_init=LEARNING_RATE, shuffle=False
    )
    classifier.partial_fit(
        x, t, classes=np.arange(case.network.classes)
    )  # makes its arrays, which only a first step does
    for arrays, weight, bias in zip(weights, classifier.coefs_, classifier.intercepts_, strict=True):
        weight[...], bias[...] = arrays["weight"], arrays["bias"]
    del classifier._optimizer  # so that the next step starts Adam anew

    def step() -> Any:
        return classifier.partial_fit(x, t).loss_

    def to_host(result: Any) -> Any:
        return np.log(result) if np.ndim(result) else np.asarray(result)

    return Passes({"forward": lambda: classifier.predict_proba(x), "step": step}, to_host)
