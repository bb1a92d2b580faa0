"""Faults in the first style. Each function builds one faulty program; a line says what is wrong with it."""

from functools import partial

import numpy as np

from bench.clinic import data_faults as wrong
from bench.clinic.case import Arguments
from bench.clinic.functions import (
    RATE,
    Array,
    Function,
    Parameters,
    backward,
    descend,
    initial,
    program,
    relu,
    sigmoid,
    squared_error_delta,
    tanh,
)
from bench.clinic.tasks import Task, data


def targets_broadcast(task: Task, seed: int) -> Arguments:
    """Outputs (n, 1) less targets (n,) are (n, n) in the loss; the gradients go example by example and are right."""
    made = program(task, seed, points=wrong.flat_targets(task, seed))
    of_batch = made["gradients"]

    def gradients(parameters: Parameters, x: Array, t: Array) -> Parameters:
        total = {name: np.zeros_like(array) for name, array in parameters.items()}
        for i in range(len(x)):
            one = of_batch(parameters, x[i : i + 1], t[i : i + 1])
            for name in total:
                total[name] += one[name] / len(x)
        return total

    def step(parameters: Parameters, x: Array, t: Array) -> None:
        descend(parameters, gradients(parameters, x, t), RATE[task.name])

    return made | {"gradients": gradients, "step": step}


def _turned_delta(y: Array, t: Array) -> Array:
    return 2.0 * (t - y) / len(t)  # fault: y - t


def _ascend(parameters: Parameters, gradients: Parameters, rate: float) -> None:
    for name in parameters:
        parameters[name] += rate * gradients[name]  # fault: -=


def gradient_sign(task: Task, seed: int) -> Arguments:
    """Target less output where output less target belongs; of the digits: the step goes up."""
    if task.classes:
        return program(task, seed, descend=_ascend)
    return program(task, seed, delta=_turned_delta)


def _bias_over_all(p: Parameters, x: Array, z1: Array, a1: Array, dy: Array, derivative: Function) -> Parameters:
    dz1 = (dy @ p["W2"].T) * derivative(z1)
    db1 = np.sum(dz1)  # fault: axis=0 is missing
    db2 = np.sum(dy)  # fault: axis=0 is missing
    return {"W1": x.T @ dz1, "b1": np.full_like(p["b1"], db1), "W2": a1.T @ dy, "b2": np.full_like(p["b2"], db2)}


def bias_over_all(task: Task, seed: int, *, fault: bool = True) -> Arguments:
    """Bias gradients summed over examples and units."""
    activation, rate = (relu, 0.05) if task.name == "sine" else (tanh, 0.1)
    return program(task, seed, activation=activation, backward=_bias_over_all if fault else backward, rate=rate)


def _sum_delta(y: Array, t: Array) -> Array:
    return 2.0 * (y - t)  # fault: / len(t) is missing


def _sum_delta_of_classes(p: Array, t: Array) -> Array:
    dz = p.copy()
    dz[np.arange(len(t)), t] -= 1.0
    return dz  # fault: / len(t) is missing


def gradient_summed(task: Task, seed: int) -> Arguments:
    """The loss is a mean, its gradient a sum over the batch, and the rate is one for the mean."""
    return program(task, seed, delta=_sum_delta_of_classes if task.classes else _sum_delta)


def _sum_of_squares(y: Array, t: Array) -> float:
    return float(np.sum((y - t) ** 2))


def _sum_of_logarithms(p: Array, t: Array) -> float:
    return float(-np.sum(np.log(p[np.arange(len(t)), t] + 1e-12)))


def loss_summed(task: Task, seed: int) -> Arguments:
    """Loss and gradient are both sums over the batch, and the rate is one for the mean."""
    if task.classes:
        return program(task, seed, loss=_sum_of_logarithms, delta=_sum_delta_of_classes)
    return program(task, seed, loss=_sum_of_squares, delta=_sum_delta)


def _inputs_for_activation(
    p: Parameters, x: Array, z1: Array, a1: Array, dy: Array, derivative: Function
) -> Parameters:
    dz1 = (dy @ p["W2"].T) * derivative(z1)
    dW2 = x.T @ dy  # fault: a1.T @ dy
    return {"W1": x.T @ dz1, "b1": dz1.sum(axis=0), "W2": dW2, "b2": dy.sum(axis=0)}


def gradient_activation(task: Task, seed: int) -> Arguments:
    """64 inputs and 64 hidden units: the inputs stand where the hidden activations belong, and the shapes agree."""
    return program(task, seed, activation=relu, backward=_inputs_for_activation)


def _tanh_derivative_of_z(z: Array) -> Array:
    return 1.0 - z**2  # fault: this is for a = tanh(z)


def _sigmoid_derivative_of_z(z: Array) -> Array:
    return z * (1.0 - z)  # fault: this is for a = sigmoid(z)


def _mask_of_gradient(p: Parameters, x: Array, z1: Array, a1: Array, dy: Array, derivative: Function) -> Parameters:
    da1 = dy @ p["W2"].T
    dz1 = da1 * derivative(da1)  # fault: derivative(z1)
    return {"W1": x.T @ dz1, "b1": dz1.sum(axis=0), "W2": a1.T @ dy, "b2": dy.sum(axis=0)}


def gradient_argument(task: Task, seed: int) -> Arguments:
    """The formula for the activation's value applied to z; of the digits: ReLU's mask taken from the gradient."""
    if task.classes:
        return program(task, seed, activation=relu, backward=_mask_of_gradient)
    if task.name == "sine":
        return program(task, seed, derivative=_tanh_derivative_of_z)
    return program(task, seed, activation=sigmoid, derivative=_sigmoid_derivative_of_z, rate=0.5)


def weights_zero(task: Task, seed: int) -> Arguments:
    """All weights start at zero."""
    parameters = {name: np.zeros_like(array) for name, array in initial(task, seed).items()}
    return program(task, seed, parameters=parameters, activation=relu if task.classes else tanh)


def weights_small(task: Task, seed: int) -> Arguments:
    """Weights of 0.0001 under sigmoids."""
    return program(task, seed, parameters=initial(task, seed, scale=1e-4), activation=sigmoid)


def weights_large(task: Task, seed: int) -> Arguments:
    """Weights fifty times too large: tanh is at ±1 from the start."""
    return program(task, seed, parameters=initial(task, seed, scale=50.0))


def on_unit_interval(task: Task, seed: int, *, fault: bool) -> Arguments:
    """Inputs in [0, 1], ReLU, biases of zero: all hinges lie at the lower edge of the data."""
    points = wrong.unit_interval(task, seed) if fault else wrong.centred(task, seed)
    parameters = initial(task, seed, hidden=100)
    if not fault:
        parameters["b1"] = np.random.default_rng(seed + 1).uniform(-1.5, 1.5, 100)
    return program(task, seed, points=points, parameters=parameters, activation=relu, rate=0.02)


def with_biases(task: Task, seed: int, bias: float, rate: float | None = None) -> Arguments:
    """ReLUs that all start with this bias: far above zero they are all straight lines, far below all dead."""
    parameters = initial(task, seed)
    parameters["b1"] += bias
    return program(task, seed, parameters=parameters, activation=relu, rate=rate)


def unscaled(task: Task, seed: int) -> Arguments:
    """Inputs of about 1000."""
    return program(task, seed, points=wrong.unscaled(task, seed), activation=relu if task.classes else tanh)


def on_scale(task: Task, seed: int, *, fault: bool) -> Arguments:
    """The validation set scaled by its own statistics."""
    return program(task, seed, points=(wrong.scaled_apart if fault else wrong.one_scale)(task, seed), rate=0.05)


def _sigmoid_delta(y: Array, t: Array) -> Array:
    return squared_error_delta(y, t) * y * (1.0 - y)


def _tanh_delta(y: Array, t: Array) -> Array:
    return squared_error_delta(y, t) * (1.0 - y**2)


def sigmoid_output(task: Task, seed: int) -> Arguments:
    """Outputs between 0 and 1 for targets that reach below or above."""
    return program(task, seed, output=sigmoid, delta=_sigmoid_delta, rate=0.5)


def tanh_output(task: Task, seed: int) -> Arguments:
    """Outputs between -1 and 1 for targets that reach above."""
    return program(task, seed, output=np.tanh, delta=_tanh_delta)


def with_rate(task: Task, seed: int, times: float) -> Arguments:
    """The right program at a multiple of its rate."""
    return program(task, seed, activation=relu if task.classes else tanh, rate=times * RATE[task.name])


def _softmax_over_batch(z: Array) -> Array:
    e = np.exp(z - z.max(axis=0))
    return e / e.sum(axis=0)  # fault: axis=1


def softmax_axis(task: Task, seed: int) -> Arguments:
    """Softmax over the batch."""
    return program(task, seed, activation=relu, output=_softmax_over_batch)


def _plain_softmax(z: Array) -> Array:
    return np.exp(z) / np.sum(np.exp(z), axis=1, keepdims=True)  # fault: the largest logit is not subtracted


def softmax_overflow(task: Task, seed: int) -> Arguments:
    """exp of logits in float32, with weights that make some of them larger than 88."""
    random = np.random.default_rng(seed)
    weights = {"W1": random.normal(0.0, 1.5, (64, 64)), "W2": random.normal(0.0, 1.5, (64, 10))}
    weights |= {"b1": np.zeros(64), "b2": np.zeros(10)}
    parameters = {name: array.astype(np.float32) for name, array in weights.items()}
    (x, t), (x_validation, t_validation) = data(task, seed)
    points = (x.astype(np.float32), t), (x_validation.astype(np.float32), t_validation)
    return program(task, seed, points=points, parameters=parameters, activation=relu, output=_plain_softmax)


def with_dropout(task: Task, seed: int, *, fault: bool) -> Arguments:
    """Half of the hidden units dropped, in evaluation too."""
    random = np.random.default_rng(seed + 1)

    def dropout(z: Array) -> Array:
        a = relu(z) if task.classes else tanh(z)
        return a * (random.random(a.shape) < 0.5) / 0.5

    made = program(task, seed, activation=relu if task.classes else tanh)
    # In training the mask shows in the activation: a dropped unit is zero and passes nothing back.
    backward_with_mask = partial(_backward_with_mask, relu if task.classes else tanh)
    training = program(task, seed, activation=dropout, derivative=_none, backward=backward_with_mask)
    return made | {name: training[name] for name in ("gradients", "step", *(("forward",) if fault else ()))}


def _none(z: Array) -> Array:
    raise NotImplementedError


def _backward_with_mask(
    function: Function, p: Parameters, x: Array, z1: Array, a1: Array, dy: Array, _: Function
) -> Parameters:
    mask = (a1 != 0.0) / 0.5
    da1 = (dy @ p["W2"].T) * mask
    dz1 = da1 * (z1 > 0.0 if function is relu else 1.0 - np.tanh(z1) ** 2)
    return {"W1": x.T @ dz1, "b1": dz1.sum(axis=0), "W2": a1.T @ dy, "b2": dy.sum(axis=0)}


def shuffled(task: Task, seed: int) -> Arguments:
    """Targets shuffled without their inputs."""
    return program(task, seed, points=wrong.shuffled(task, seed), activation=relu if task.classes else tanh)


def _overwriting_backward(p: Parameters, x: Array, z1: Array, a1: Array, dy: Array, _: Function) -> Parameters:
    slope = a1
    slope *= 1.0 - a1  # fault: this changes a1, which dW2 needs
    dz1 = (dy @ p["W2"].T) * slope
    return {"W1": x.T @ dz1, "b1": dz1.sum(axis=0), "W2": a1.T @ dy, "b2": dy.sum(axis=0)}


def overwritten(task: Task, seed: int) -> Arguments:
    """The sigmoid's derivative is computed in the array of its activation."""
    return program(task, seed, activation=sigmoid, backward=_overwriting_backward)


def label_column(task: Task, seed: int) -> Arguments:
    """Labels (n, 1): p[range(n), t] picks n² numbers, one for each pair of examples."""
    return program(task, seed, points=wrong.label_column(task, seed), activation=relu)
