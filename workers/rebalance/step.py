"""What a step is: the state it begins in, the one it leads to, and when that is recorded."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from forum_backend.domain.moves import MoveState
from workers.rebalance.mover import Mover


class Recorded(Enum):
    """When a step's new state is written down."""

    BEFORE = auto()  # an intention: who finds the state knows that the step may have been done
    AFTER = auto()
    BY_ITSELF = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """Bounded, repeatable, refused by the shards when its token is old. ``run`` says whether it is finished.

    ``rehearse`` says whether the time has come, before anything is recorded.
    """

    name: str
    begins: MoveState
    ends: MoveState
    run: Callable[[Mover], bool]
    recorded: Recorded = Recorded.AFTER
    rehearse: Callable[[Mover], bool] | None = None
