"""The same training twice gives the same bits."""

import pytest

import xpnet

MODELS = {
    "mlp": (lambda: xpnet.models.mlp([784, 256, 10], batch_norm=True, dropout=0.3), (128, 784)),
    "simple_cnn": (lambda: xpnet.models.simple_cnn(), (100, 28, 28, 1)),
    "vgg_small": (lambda: xpnet.models.vgg_small(), (32, 32, 32, 3)),
}


@pytest.mark.parametrize("way", ["eager", "captured"])
@pytest.mark.parametrize("model", MODELS)
def test_20_steps_give_the_same_bits_twice(model, way, training, device, images, many, capture, agree):
    make, shape = MODELS[model]
    states = []
    for _ in range(2):
        xpnet.seed(11)
        through = capture if way == "captured" else lambda step: step
        states.append(training(device, make(), images(device, shape), through).run(many(20)))
    agree(*states)
