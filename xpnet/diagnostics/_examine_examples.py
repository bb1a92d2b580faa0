"""Gradients of single examples, which show each layer's own part: whether it is a function of one number.

Of one example, a bias's gradient is delta_k, and a weight's is h_{k-1} delta_k.T. Divided by what comes back to the
layer, delta_k shows the derivative that the program takes, whatever its formula.
"""

from collections.abc import Sequence

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._examine_signs import start_of
from xpnet.diagnostics._inside import Inside
from xpnet.diagnostics._inside_activations import ROW_ACTIVATIONS, derivative
from xpnet.diagnostics._inside_backward import Pass
from xpnet.diagnostics._patient import Patient, PatientError
from xpnet.diagnostics._suspicion import Suspicion

_EXAMPLES = 32
_SAME = 1e-4
_SMOOTH = 0.2
"""Neighbours differ by this share of what others differ by, or less, in a function of one number."""
_POINTS = 20


def told_by_examples(patient: Patient, unknown: Suspicion) -> Suspicion | None:
    """What a wrong gradient of no known form comes to, by examples one by one; None if they do not tell."""
    inside = patient.inside
    if inside is None or any(layer.bias is None for layer in inside.layers):
        return None
    pairs = _singles(patient, inside)
    if len(pairs) < _EXAMPLES // 2:
        return None
    for k in reversed(range(len(inside.layers))):
        found = _derivative(inside, pairs, k) or _activation(inside, pairs, k)
        if found is not None:
            cause, sentence = found
            return Suspicion(cause, f"{unknown.sentence}; {sentence}", unknown.weight, unknown.evidence, certain=True)
    return None


def _singles(patient: Patient, inside: Inside) -> list[tuple[Pass, dict[str, HostArray]]]:
    """Passes and the program's gradients of single examples."""
    x, t = patient.data
    pairs = []
    for i in range(min(_EXAMPLES, len(x))):
        one, target = x[i : i + 1], t[i : i + 1]
        patient.reset()
        try:
            given = patient.gradients(patient.parameters, one, target)
        except PatientError:  # made for batches of another size
            return []
        start = start_of(patient, patient.parameters, one, target)
        if start is None or any(
            name not in given or given[name].size != patient.parameters[name].size for name in inside.names()
        ):
            return []
        pairs.append((start, given))
    return pairs


def _delta(inside: Inside, given: dict[str, HostArray], k: int) -> HostArray:
    bias = inside.layers[k].bias
    assert bias is not None
    return np.asarray(given[bias], float).reshape(-1)


def _derivative(inside: Inside, pairs: Sequence[tuple[Pass, dict[str, HostArray]]], k: int) -> tuple[str, str] | None:
    """Whether layer k's derivative is another function of its pre-activation than the right one."""
    layer = inside.layers[k]
    if layer.activation in ROW_ACTIVATIONS:
        return None
    places, ratios = list[HostArray](), list[HostArray]()
    for start, given in pairs:
        dh = start.dy[0]
        if k + 1 < len(inside.layers):
            dh = inside.weight(start.items, inside.layers[k + 1]) @ _delta(inside, given, k + 1)
        seen = np.abs(dh) > 1e-6 * max(float(np.abs(dh).max()), 1e-300)
        places.append(start.z[k][0][seen])
        ratios.append(_delta(inside, given, k)[seen] / dh[seen])
    z, ratio = np.concatenate(places), np.concatenate(ratios)
    right = derivative(layer.activation, z)
    if not _off(ratio, right) or not _is_function(z, ratio):
        return None
    i = int(np.argmax(np.abs(ratio - right)))
    what = "no derivative" if np.ptp(ratio) <= _SAME * np.abs(ratio).max() else "another function of its pre-activation"
    cause = "gradient_mask" if what == "no derivative" else "gradient_argument"
    return cause, (
        f"what goes back through layer {k + 1} is multiplied by {what}, where its {layer.activation} has its "
        f"derivative: at z = {z[i]:.4g} by {ratio[i]:.4g} for {right[i]:.4g}"
    )


def _activation(inside: Inside, pairs: Sequence[tuple[Pass, dict[str, HostArray]]], k: int) -> tuple[str, str] | None:
    """Whether what layer k's weight gradient was made of is a function of the activation that belongs there."""
    layer = inside.layers[k]
    places, values = list[HostArray](), list[HostArray]()
    for start, given in pairs:
        delta = _delta(inside, given, k)
        made = inside.weight({layer.weight: given[layer.weight]}, layer)
        size = float(delta @ delta)
        if made.shape != (start.input_of(k).shape[1], len(delta)) or size == 0.0:
            continue
        used = made @ delta / size
        if np.linalg.norm(made - np.outer(used, delta)) > 1e-6 * np.linalg.norm(made):
            return None
        places.append(start.input_of(k)[0])
        values.append(used)
    if len(places) < _EXAMPLES // 2:
        return None
    h, used = np.concatenate(places), np.concatenate(values)
    if not _off(used, h) or not _is_function(h, used):
        return None
    i = int(np.argmax(np.abs(used - h)))
    what = f"layer {k}'s activation" if k else "the inputs"
    return "activation_overwritten", (
        f"the gradient of {layer.weight} is made of something else than {what}, though of a function of it: of "
        f"{used[i]:.4g} for {h[i]:.4g}"
    )


def _off(values: HostArray, right: HostArray) -> bool:
    return float(np.abs(values - right).max()) > _SAME * max(float(np.abs(right).max()), 1e-300)


def _is_function(places: HostArray, values: HostArray) -> bool:
    """Whether values that lie beside each other by place are nearly equal."""
    if len(np.unique(places)) < _POINTS:
        return False
    order = np.argsort(places)
    shuffled = np.random.default_rng(0).permutation(values)
    typical = float(np.mean(np.abs(np.diff(shuffled))))
    return typical == 0.0 or float(np.mean(np.abs(np.diff(values[order])))) < _SMOOTH * typical
