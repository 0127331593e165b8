"""ACTIVATED: last delta read back, rows counted, sequence lifted, ownership taken, in one transaction of the target.

Its commit is the only commit point of a move.
"""

from forum_backend.domain.moves import MoveState, OwnershipMode, content_text
from forum_backend.services.forum_rows import counts_query
from workers.rebalance import progress
from workers.rebalance.catch_up import apply, read_log
from workers.rebalance.flow import Flow, RowsDiffer
from workers.rebalance.mover import Mover
from workers.rebalance.progress import Progress
from workers.rebalance.sequence import last_value, lift_by_one
from workers.rebalance.step import Recorded, Step

# More rows are not counted one by one under a fence: their number has been kept since they were verified.
COUNTED = 50_000


def activate(mover: Mover) -> bool:
    """Bring over what changed last and make the target the forum's owner, within the budget."""
    flow, target = mover.forward, mover.target
    flow.begin_view()
    target.execute("BEGIN")
    flow.enter()
    apply(flow, read_log(flow))
    mover.reach("activate.copied")
    kept = progress.read(target, forum=flow.forum)
    refuse_difference(flow, kept)
    lift_by_one(target, above=last_value(mover.source))
    flow.end_view()
    mover.refuse_late()
    mover.move.verdict = verdict(kept, repairs=mover.move.verdict or {})
    mover.move.rows_total = mover.move.rows_done = sum(table.rows for table in kept.values())
    mover.change(
        target, modes=(OwnershipMode.INCOMING,), from_epoch=flow.epoch, mode=OwnershipMode.OWNER,
        epoch=flow.epoch, capture=True, is_announced=False,
    )  # fmt: skip
    mover.reach("activate.before_commit")
    mover.refuse_late()
    mover.commit()
    return True


def refuse_difference(flow: Flow, kept: dict[str, Progress]) -> None:
    """``RowsDiffer`` if the numbers of rows are not the same on both sides, or not all were verified."""
    unverified = [name for name, table in kept.items() if not table.is_verified]
    if unverified:
        raise RowsDiffer(f"Not verified: {', '.join(unverified)}")
    if sum(table.rows for table in kept.values()) > COUNTED:
        return
    there: dict[str, int] = dict(flow.source.execute(counts_query(flow.forum)).fetchall())
    differing = [
        f"{name} ({there[name]} rows, here {table.rows})" for name, table in kept.items() if there[name] != table.rows
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
