"""ACTIVATED: last delta read back, rows counted, sequence lifted, ownership taken, in one transaction of the target.

Its commit is the only commit point of a move.
"""

from collections.abc import Iterable

from forum_backend.domain.moves import MoveState, OwnershipMode, content_text
from forum_backend.services.forum_rows import COUNTS_SQL
from forum_backend.services.ownership import refusals
from workers.rebalance import progress, sequence
from workers.rebalance.delta import RowsDiffer, send
from workers.rebalance.flow import prepared
from workers.rebalance.mover import Mover
from workers.rebalance.progress import Progress
from workers.rebalance.sequence import lift_by_one, refuse_too_far
from workers.rebalance.step import Recorded, Step

# More rows are not counted one by one under a fence: their number has been kept since they were verified.
COUNTED = 20_000


def activate(mover: Mover) -> bool:
    """Bring over what changed last and make the target the forum's owner, within the budget.

    Everybody waits: all that the target has to do is sent at once, and the source counts meanwhile.
    """
    flow, target, last = mover.forward, mover.target, mover.last
    if last is None:
        raise AssertionError("the fence was not raised by this mover")
    with flow.source.pipeline():
        flow.source.tell()
        counted = ask_counts(mover)
        with refusals(), target.pipeline():
            target.begin()
            flow.enter()
            lifted = lift_by_one(target, above=last.number)
            refuse_difference = send(flow, last.delta)
            noted = progress.ask(target, forum=flow.forum)
            own(mover)
    refuse_difference()
    refuse_too_far(sequence.told(lifted), above=last.number)
    kept = progress.told(noted)
    refuse_other_counts(kept, dict(counted))
    mover.reach("activate.copied")
    mover.move.verdict = verdict(kept, repairs=mover.move.verdict or {})
    mover.move.rows_total = mover.move.rows_done = sum(table.rows for table in kept.values())
    mover.reach("activate.before_commit")
    target.hold()  # a target that is dead by now is found while nothing was asked that could have been done
    mover.refuse_late()
    mover.commit()
    return True


def own(mover: Mover) -> None:
    """The target is to own the forum, at the next epoch, and to log what changes there."""
    epoch = mover.move.epoch + 1
    mover.change(
        mover.target, modes=(OwnershipMode.INCOMING,), from_epoch=epoch, mode=OwnershipMode.OWNER, epoch=epoch,
        capture=True, is_announced=False,
    )  # fmt: skip


def ask_counts(mover: Mover) -> Iterable[tuple[str, int]]:
    """Ask the source for numbers of rows by table, which it counts while the target works; not if they are many."""
    if mover.move.rows_total > COUNTED:
        return ()
    return prepared(mover.source, COUNTS_SQL, {"forum_id": mover.move.forum_id})


def refuse_other_counts(kept: dict[str, Progress], counted: dict[str, int]) -> None:
    """``RowsDiffer`` if not all tables were verified, or if the source has other numbers of rows."""
    unverified = [name for name, table in kept.items() if not table.is_verified]
    if unverified:
        raise RowsDiffer(f"Not verified: {', '.join(unverified)}")
    differing = [
        f"{name} ({rows} rows, here {kept[name].rows})" for name, rows in counted.items() if kept[name].rows != rows
    ]
    if differing:
        raise RowsDiffer(f"The copy differs from the source in {', '.join(differing)}")


def verdict(kept: dict[str, Progress], *, repairs: dict[str, object]) -> dict[str, object]:
    """What was verified: number of rows and hash of the content, for the forum and for each table."""
    return {
        **repairs,
        "rows": sum(table.rows for table in kept.values()),
        "content": content_text(sum(table.content for table in kept.values())),
        "tables": {name: {"rows": t.rows, "content": content_text(t.content)} for name, t in kept.items()},
    }


# Recorded with DEPARTED: a commit on the control database would keep the fence up for longer.
STEP = Step("activate", MoveState.FENCED, MoveState.ACTIVATED, activate, Recorded.BY_ITSELF)
