from collections.abc import Mapping

from xpnet.distributed._communicator import Communicator


def averaged(communicator: Communicator, values: Mapping[str, float], weight: float) -> dict[str, float]:
    """Means over all ranks of what each has averaged over its own examples: on all ranks the same numbers.

    mean = Σ_ranks weight · value / Σ_ranks weight

    Parameters
    ----------
    communicator : the ranks, which all call this with the same names.
    values : such as the loss and metrics of this rank's part of the data.
    weight : how many examples they are of; what a rank with 0 has does not matter.

    Examples
    --------
    >>> from xpnet.distributed import Single
    >>> averaged(Single(), {"loss": 0.25}, 100)
    {'loss': 0.25}
    """
    if communicator.size == 1:
        return dict(values)
    found = [each for each in communicator.all_gather_object([dict(values), weight]) if each[1]]
    total = sum(weight for _, weight in found)
    return {name: sum(weight * own[name] for own, weight in found) / total for name in values}
