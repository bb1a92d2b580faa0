"""What learners do wrong with their data, whatever network follows."""

import numpy as np

from bench.clinic.tasks import Data, Pair, Task, data


def label_column(task: Task, seed: int) -> Data:
    """Labels as they come out of a table: (n, 1)."""
    (x, t), (x_validation, t_validation) = data(task, seed)
    return (x, t.reshape(-1, 1)), (x_validation, t_validation.reshape(-1, 1))


def flat_targets(task: Task, seed: int) -> Data:
    """Targets (n,), where the network's outputs are (n, 1)."""
    (x, t), (x_validation, t_validation) = data(task, seed)
    return (x, t.ravel()), (x_validation, t_validation.ravel())


def unscaled(task: Task, seed: int) -> Data:
    """Inputs of about 1000: millimetres where metres would do."""
    (x, t), (x_validation, t_validation) = data(task, seed)
    return (1000.0 * x, t), (1000.0 * x_validation, t_validation)


def shuffled(task: Task, seed: int) -> Data:
    """Targets that were shuffled without their inputs."""
    random = np.random.default_rng(seed + 1000)
    (x, t), (x_validation, t_validation) = data(task, seed)
    return (x, random.permutation(t)), (x_validation, random.permutation(t_validation))


def one_scale(task: Task, seed: int) -> Data:
    """The right way: both sets by the training set's mean and deviation."""
    (x, t), (x_validation, t_validation) = data(task, seed)
    x_validation, t_validation = _a_part(task, (x_validation, t_validation))
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-2
    return ((x - mean) / deviation, t), ((x_validation - mean) / deviation, t_validation)


def scaled_apart(task: Task, seed: int) -> Data:
    """Each set by its own mean and deviation; the validation set covers only a part of what there is."""
    (x, t), (x_validation, t_validation) = data(task, seed)
    x_validation, t_validation = _a_part(task, (x_validation, t_validation))
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-2)
    x_validation = (x_validation - x_validation.mean(axis=0)) / (x_validation.std(axis=0) + 1e-2)
    return (x, t), (x_validation, t_validation)


def _a_part(task: Task, validation: Pair) -> Pair:
    """Validation points from one side of the range; of the digits only 1, 4 and 7."""
    x, t = validation
    kept = np.isin(t, (1, 4, 7)) if task.classes else x[:, 0] > np.median(x[:, 0])
    return x[kept], t[kept]


def unit_interval(task: Task, seed: int) -> Data:
    """Inputs brought to [0, 1], as one does with pixels."""
    (x, t), (x_validation, t_validation) = data(task, seed)
    low, high = x.min(axis=0), x.max(axis=0)
    return ((x - low) / (high - low), t), ((x_validation - low) / (high - low), t_validation)


def centred(task: Task, seed: int) -> Data:
    """Inputs of mean 0 and deviation 1 over the training set: what `unit_interval` should have been."""
    (x, t), (x_validation, t_validation) = data(task, seed)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    return ((x - mean) / deviation, t), ((x_validation - mean) / deviation, t_validation)


def pixels(task: Task, seed: int) -> Data:
    """Grey values from 0 to 255."""
    (x, t), (x_validation, t_validation) = data(task, seed)
    return (np.floor(255.0 * x), t), (np.floor(255.0 * x_validation), t_validation)
