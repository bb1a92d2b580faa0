"""JAX: pure functions under `jit`, channels last."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from bench.case import LEARNING_RATE, Case
from bench.networks import BatchNorm, Conv, Flatten, GlobalAvgPool, Layer, Linear, MaxPool, ReLU, Residual
from bench.passes import Passes, Run, waiting_clock

Arrays: TypeAlias = list[dict[str, Any]]

MOMENTUM, EPS = 0.1, 1e-5
BETA1, BETA2, ADAM_EPS = 0.9, 0.999, 1e-8


def build(case: Case, *, device: str = "cpu", precision: str = "float32") -> Passes:
    """The network as functions of parameters and running statistics.

    On the CPU a call returns when its results are there; on a GPU the clock waits for the last one's.
    """
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the GPU has others to hold beside it
    jax.config.update("jax_platforms", "cuda" if device == "gpu" else device)
    if device == "gpu":
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if precision == "tf32" else "highest")
    wait = jax.block_until_ready if device == "cpu" else (lambda results: results)
    x, t = (jnp.asarray(array) for array in case.data())
    layers = case.network.layers
    parameters = [{k: jnp.asarray(v) for k, v in a.items() if "running" not in k} for a in case.weights()]
    statistics = [{k: jnp.asarray(v) for k, v in a.items() if "running" in k} for a in case.weights()]
    moments = [jax.tree.map(jnp.zeros_like, parameters) for _ in range(2)]
    state = (parameters, statistics, moments, jnp.asarray(0))

    def infer(parameters: Arrays, statistics: Arrays, x: Any) -> Any:
        return _apply(layers, x, iter(parameters), iter(statistics), None)

    def loss(parameters: Arrays, statistics: Arrays, x: Any, t: Any) -> tuple[Any, Arrays]:
        found: Arrays = []
        y = _apply(layers, x, iter(parameters), iter(statistics), found)
        picked = jnp.take_along_axis(jax.nn.log_softmax(y), t[:, None], axis=1)
        return -picked.mean(), found

    logits = jax.jit(infer)
    gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))

    def update(state: Any, x: Any, t: Any) -> tuple[Any, Any]:
        parameters, statistics, (means, squares), time = state
        (value, statistics), gradient = gradients(parameters, statistics, x, t)
        time = time + 1
        means = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, means, gradient)
        squares = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, squares, gradient)
        rate, root = LEARNING_RATE / (1 - BETA1**time), jnp.sqrt(1 - BETA2**time)
        parameters = jax.tree.map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(v) / root + ADAM_EPS), parameters, means, squares
        )
        return value, (parameters, statistics, [means, squares], time)

    updated = jax.jit(update, donate_argnums=0)

    def forward() -> Any:
        return wait(logits(state[0], state[1], x))

    def backward() -> Any:
        (value, _), _ = wait(gradients(state[0], state[1], x, t))
        return value

    def step() -> Any:
        nonlocal state
        value, state = wait(updated(state, x, t))
        return value

    run: dict[str, Run] = {"forward": forward, "backward": backward, "step": step}
    if device == "cpu":
        return Passes(run)
    return Passes(run, clock=waiting_clock(jax.block_until_ready), memory=_memory)


def _memory() -> int:
    """The most bytes held on the GPU."""
    return int((jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0))


def _apply(
    layers: Sequence[Layer],
    x: Any,
    parameters: Iterator[dict[str, Any]],
    statistics: Iterator[dict[str, Any]],
    found: Arrays | None,
) -> Any:
    """The layers' output; in training, `found` receives the new running statistics of each layer with parameters."""
    for layer in layers:
        if isinstance(layer, Residual):
            y = _apply(layer.body, x, parameters, statistics, found)
            x = y + _apply(layer.shortcut, x, parameters, statistics, found)
        elif isinstance(layer, (Linear, Conv, BatchNorm)):
            own, running = next(parameters), next(statistics)
            if isinstance(layer, BatchNorm):
                x, running = _batch_norm(x, own, running, found is not None)
            else:
                x = _product(layer, x, own)
            if found is not None:
                found.append(running)
        else:
            x = _without_parameters(layer, x)
    return x


def _product(layer: Linear | Conv, x: Any, own: dict[str, Any]) -> Any:
    if isinstance(layer, Linear):
        y = x @ own["weight"]
    else:
        padding, axes = [(layer.padding, layer.padding)] * 2, ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(x, own["weight"], (layer.stride,) * 2, padding, dimension_numbers=axes)
    return y + own["bias"] if "bias" in own else y


def _batch_norm(x: Any, own: dict[str, Any], running: dict[str, Any], training: bool) -> tuple[Any, dict[str, Any]]:
    mean, variance = running["running_mean"], running["running_var"]
    if training:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        n = x.size // x.shape[-1]
        unbiased = variance * n / (n - 1)
        running = {
            "running_mean": running["running_mean"] + MOMENTUM * (mean - running["running_mean"]),
            "running_var": running["running_var"] + MOMENTUM * (unbiased - running["running_var"]),
        }
    return (x - mean) * (own["weight"] * lax.rsqrt(variance + EPS)) + own["bias"], running


def _without_parameters(layer: Layer, x: Any) -> Any:
    match layer:
        case MaxPool():
            window, strides = ((1, size, size, 1) for size in (layer.kernel_size, layer.stride))
            padding = ((0, 0), *[(layer.padding, layer.padding)] * 2, (0, 0))
            return lax.reduce_window(x, -jnp.inf, lax.max, tuple(window), tuple(strides), padding)
        case ReLU():
            return jax.nn.relu(x)
        case Flatten():
            return x.reshape(x.shape[0], -1)
        case GlobalAvgPool():
            return x.mean((1, 2))
        case _:
            raise TypeError(f"JAX: no layer {layer}")
