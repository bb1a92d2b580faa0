"""PyTorch's optimizers are the oracle: the same gradients lead along the same path."""

import numpy as np
import pytest

from xpnet import optimizers, schedules

STEPS, RATE = 100, 0.02
WEIGHTS = {"0.weight", "3.weight"}
"""What decays: not the biases, nor the normalization between."""

PYTORCH = {
    "SGD": ("SGD", {}),
    "Momentum": ("SGD", {"momentum": 0.9}),
    "Nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "AdaGrad": ("Adagrad", {}),
    "RMSprop": ("RMSprop", {}),
    "Adam": ("Adam", {"weight_decay": 0.0}),
    "AdamW": ("AdamW", {"weight_decay": 0.01}),
}

VARIANTS = {
    "plain": {},
    "weight_decay": {"weight_decay": 0.1},
    "clip_norm": {"clip_norm": 1.5},
    "weight_decay and clip_norm": {"weight_decay": 0.1, "clip_norm": 1.5},
    "schedule": {"learning_rate": schedules.cosine(RATE, steps=80, final=RATE / 10)},
    "two pullbacks": {"parts": 2, "clip_norm": 1.5},
}


@pytest.fixture
def pytorch(slope):
    """`pytorch(start, name, …)`: where PyTorch's optimizer of that name arrives from `start`, by path."""
    torch = pytest.importorskip("torch")

    def run(start, name, *, learning_rate=RATE, clip_norm=None, parts=1, **options):
        tensors = {path: torch.tensor(values, requires_grad=True) for path, values in start.items()}
        decaying = [tensor for path, tensor in tensors.items() if path in WEIGHTS]
        staying = [tensor for path, tensor in tensors.items() if path not in WEIGHTS]
        groups = [{"params": decaying}, {"params": staying, "weight_decay": 0.0}]
        optimizer = getattr(torch.optim, name)(groups, lr=RATE, **options)
        factor = (lambda step: learning_rate(step) / RATE) if callable(learning_rate) else (lambda step: 1.0)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        for step in range(STEPS):
            here = {path: tensor.detach().numpy() for path, tensor in tensors.items()}
            gradients = [slope(here, step, part) for part in range(parts)]
            for path, tensor in tensors.items():
                tensor.grad = torch.tensor(sum(gradient[path] for gradient in gradients))
            if clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(list(tensors.values()), clip_norm)
            optimizer.step()
            scheduler.step()
        return {path: tensor.detach().numpy() for path, tensor in tensors.items()}

    return run


def assert_same_path(arrived, expected):
    for path, values in expected.items():
        np.testing.assert_allclose(arrived[path], values, rtol=1e-6, atol=1e-9, err_msg=path)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_follows_pytorch(backend64, rule_name, rule, variant, pytorch, network, descend, values_of):
    model = network()
    start = values_of(model)
    name, constants = PYTORCH[rule_name]
    expected = pytorch(start, name, **(constants | variant))

    options = {"learning_rate": RATE} | variant
    parts = options.pop("parts", 1)
    descend(model, rule(model, **options), range(STEPS), parts)
    assert_same_path(values_of(model), expected)


@pytest.mark.parametrize(
    ("ours", "constants", "name", "theirs"),
    [
        (optimizers.Adam, {"beta1": 0.5, "beta2": 0.9, "eps": 1e-2}, "Adam", {"betas": (0.5, 0.9), "eps": 1e-2}),
        (optimizers.Adam, {"beta1": 0.0, "beta2": 0.0}, "Adam", {"betas": (0.0, 0.0)}),
        (optimizers.RMSprop, {"decay": 0.5, "eps": 1e-2}, "RMSprop", {"alpha": 0.5, "eps": 1e-2}),
        (optimizers.AdaGrad, {"eps": 1e-2}, "Adagrad", {"eps": 1e-2}),
        (optimizers.Momentum, {"momentum": 0.5}, "SGD", {"momentum": 0.5}),
    ],
)
def test_constants_mean_what_they_mean_in_pytorch(
    backend64, ours, constants, name, theirs, pytorch, network, descend, values_of
):
    model = network()
    expected = pytorch(values_of(model), name, **theirs)
    descend(model, ours(model, RATE, **constants), range(STEPS))
    assert_same_path(values_of(model), expected)
