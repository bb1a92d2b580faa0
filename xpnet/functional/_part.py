from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from xpnet._typing import Array


@final
@dataclass
class Part:
    """Which of a step's examples one pass works on, where several passes or processes share a step.

    Attributes
    ----------
    first : examples of the step that come before these, so that a mask does not depend on how they are shared.
    own, whole : examples of this pass, and of the passes of all processes together.
    add : sums an array over all processes, in place; None for a process alone.

    Examples
    --------
    >>> Part(first=30, own=10, whole=40).rows(80)
    320
    """

    first: int = 0
    own: int = 1
    whole: int = 1
    add: Callable[[Array], None] | None = None

    def rows(self, n: int) -> int:
        """How many rows all processes have together, where this one has n."""
        return n * self.whole // self.own

    def alone(self) -> None:
        """One pass of one process is the whole step."""
        self.first, self.own, self.whole, self.add = 0, 1, 1, None
