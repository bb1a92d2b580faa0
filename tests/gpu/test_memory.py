"""A thousand replays need no memory that the first ones did not. To be run alone: free memory is the whole GPU's."""

import gc

import pytest

import xpnet

MODELS = {
    "mlp": (lambda: xpnet.models.mlp([784, 256, 10], dropout=0.3), (128, 784)),
    "simple_cnn": (lambda: xpnet.models.simple_cnn(), (100, 28, 28, 1)),
}


@pytest.mark.needs_gpu
@pytest.mark.parametrize("model", MODELS)
def test_memory_is_flat_over_1000_replays(model, training, device, images, capture):
    import cupy

    def held():
        device.synchronize()
        gc.collect()
        free, _ = cupy.cuda.runtime.memGetInfo()
        return cupy.get_default_memory_pool().used_bytes(), cupy.get_default_memory_pool().total_bytes(), free

    make, shape = MODELS[model]
    run = training(device, make(), images(device, shape), capture)
    run.run(10)
    before = held()
    run.run(1000)
    after = held()
    assert run.step.replays == 1008
    assert after == before


@pytest.mark.needs_gpu
def test_a_recording_gives_its_memory_back_when_it_is_dropped(training, device, images, capture):
    import cupy

    def once():
        run = training(device, xpnet.models.mlp([784, 1024, 10]), images(device, (1024, 784)), capture)
        run.run(5)
        assert run.step.graphs == 1

    def free():
        gc.collect()
        device.synchronize()
        device.release()
        return cupy.cuda.runtime.memGetInfo()[0]

    once()
    first = free()
    for _ in range(4):
        once()
    assert first - free() < 2**26  # a recording of this step holds several times as much
