"""The ImageNet networks at their full size: each takes a training step in 12 GiB, and ResNet-18 learns by heart.

With `-s` they tell how long it took, and how much memory.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import xpnet
from xpnet import data, losses, models, optimizers

pytestmark = pytest.mark.long

NETWORKS = [
    *("alexnet", "zfnet"),
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d"),
    *("se_resnet50", "senet154", "googlenet"),
]

STEP = """
import json, resource, sys, time
import numpy as np
from xpnet import losses, models, optimizers

start = time.perf_counter()
model = getattr(models, sys.argv[1])()
drawn = time.perf_counter()
optimizer = optimizers.SGD(model, 1e-4)
x = np.random.default_rng(0).standard_normal((2, 224, 224, 3), dtype=np.float32)
y, pullback = model.forward(x)
loss, pull = losses.with_auxiliary(losses.softmax_cross_entropy)(y, np.asarray([3, 10]))
pullback(pull())
optimizer.step()
print(json.dumps({
    "loss": float(loss),
    "seconds to draw": drawn - start,
    "seconds for the step": time.perf_counter() - drawn,
    "GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
}))
"""


@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_step_of_two_images_takes_less_than_12_gib(name):
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", STEP, name], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(f"\n{name}:", ", ".join(f"{what} {value:.2f}" for what, value in found.items()))
    assert np.isfinite(found["loss"])
    assert found["GiB"] < 12.0


def test_resnet18_learns_64_digits_by_heart():
    (x, t), _ = data.digits(flat=False)
    x, t = x[:64].repeat(8, axis=1).repeat(8, axis=2) - 0.5, t[:64]  # (64, 8, 8, 1) -> (64, 64, 64, 1)
    start = time.perf_counter()
    model = models.resnet18(10, 1)
    optimizer = optimizers.Momentum(model, 0.01)
    batches = data.batches(x, t, 16)
    xpnet.fit(model, batches, loss=losses.softmax_cross_entropy, optimizer=optimizer, epochs=15, progress=False)
    correct = np.argmax(model(x), axis=-1) == t
    print(f"\nresnet18: {correct.mean():.1%} of 64 digits in {time.perf_counter() - start:.0f} s")
    assert correct.all()
