"""ACTIVATED: rows copied and compared, sequence lifted, ownership taken, in one transaction of the target.

Its commit is the only commit point of a move.
"""

from forum_backend.domain.moves import MoveState, OwnershipMode
from forum_backend.services.forum_rows import FORUM_TABLES, Digest, copy_table, digest
from forum_backend.services.ownership import enter_as_mover
from workers.rebalance.mover import Mover, RowsDiffer
from workers.rebalance.sequence import last_value, lift_by_one
from workers.rebalance.step import Recorded, Step


def activate(mover: Mover) -> bool:
    """Copy the forum under its fence and make the target its owner, within the budget."""
    target = mover.target
    target.execute("BEGIN")
    fill(mover)
    mover.change(
        target, modes=(OwnershipMode.INCOMING,), from_epoch=mover.move.epoch + 1, mode=OwnershipMode.OWNER,
        epoch=mover.move.epoch + 1, is_announced=False,
    )  # fmt: skip
    mover.reach("activate.before_commit")
    mover.refuse_late()
    mover.is_commit_sent = True
    target.commit()
    return True


def fill(mover: Mover) -> None:
    """All rows of the forum into the target's open transaction, the same as on the source, and ids that come later."""
    move = mover.move
    enter_as_mover(
        mover.target, forum=move.forum_id, epoch=move.epoch + 1, token=move.token, mode=OwnershipMode.INCOMING
    )
    there = digest(mover.source, move.forum_id)
    for table in (table for table in FORUM_TABLES if there[table.name].rows):
        copy_table(mover.source, mover.target, table=table, forum=move.forum_id)
        mover.refuse_late()
    mover.target.execute("SET CONSTRAINTS ALL IMMEDIATE")  # checked now, within the budget, not in the commit
    mover.reach("activate.copied")
    here = digest(mover.target, move.forum_id)
    refuse_difference(there=there, here=here)
    move.rows_total = sum(table.rows for table in here.values())
    largest = max(last_value(mover.source), *(table.largest_n for table in there.values()))
    lift_by_one(mover.target, above=largest)


def refuse_difference(*, there: dict[str, Digest], here: dict[str, Digest]) -> None:
    """``RowsDiffer`` names the tables whose rows are not the same on both sides."""
    differing = [name for name in there if there[name] != here.get(name)]
    if differing:
        figures = ", ".join(f"{name} ({there[name].rows} rows, here {here[name].rows})" for name in differing)
        raise RowsDiffer(f"The copy differs from the source in {figures}")


# Recorded with DEPARTED: a commit on the control database would keep the fence up for longer.
STEP = Step("activate", MoveState.FENCED, MoveState.ACTIVATED, activate, Recorded.BY_ITSELF)
