"""What befalls a move: it is taken over, rolled back, a standby is promoted and reconciled."""

from collections.abc import Iterator
from typing import Any

from tests.model.mover import RESUMING
from tests.model.shards import is_owner
from tests.model.world import ABORTED, DEPARTED, FENCED, INCOMING, OWNER, Move, Mover, Rules, Shard, Step, World

OVER = ("cleaned", "aborted", "reconciled")


def incidents(world: World, rules: Rules) -> Iterator[Step]:
    if world.take_overs and world.move.state not in OVER:
        yield from taken_over(world, rules)
    if world.late_cleaners and world.move.state not in OVER:
        yield late_cleaner(world)
    yield from rollbacks(world)
    if world.failovers:
        yield from failovers(world)
    yield from reconciled(world)


def taken_over(world: World, rules: Rules) -> Iterator[Step]:
    """The mover is thought dead. Another one has a higher token; the old one may come back at any time."""
    move = world.move._replace(token=world.next_token())
    for first, *memory in first_steps(move, rules):
        movers = (world.movers[-1], Mover(move, str(first), tuple(memory)))
        then = world._replace(move=move, movers=movers, take_overs=world.take_overs - 1)
        yield Step(f"mover {move.token} takes over", then)


def first_steps(move: Move, rules: Rules) -> list[tuple[object, ...]]:
    """Under a fence it settles: the attempt is given up, or goes on with what was copied."""
    if move.state == "fenced":
        first = "abort_target" if rules.target_first else "reopen"
        return [(first, False), (first, True)]
    if move.state in ("planned", "activated") or not rules.announces:
        return [(RESUMING[move.state],)]
    return [("announce_source",)]


def late_cleaner(world: World) -> Step:
    """Somebody cleans up after the earlier move, with a token above that of the move which runs by now."""
    earlier = Move(world.move.target, world.move.epoch - 1, True, "reversible", world.next_token(), is_closed=True)
    world = world._replace(movers=(Mover(earlier, "close"), world.movers[-1]), late_cleaners=world.late_cleaners - 1)
    return Step(f"mover {earlier.token} cleans up after the earlier move", world)


def rollbacks(world: World) -> Iterator[Step]:
    """A move back: without a copy while the source is kept up to date, with one when its rows are given up.

    The owner itself is asked: what it has forgotten in a failover is not to be purged elsewhere.
    """
    move = world.move
    is_reversible = move.state == "reversible" and not move.is_closed
    owner = world.shards[move.target]
    if not is_owner(owner, move.epoch + 1) or owner.is_promoted:
        return
    if world.moves and (is_reversible or move.state in ("cleaned", "reversible")):
        back = Move(move.target, move.epoch + 1, not is_reversible, "planned", move.token + 1)
        movers = (world.movers[-1], Mover(back, "prepare"))
        name = "a rollback is requested" if is_reversible else "a move back is requested"
        yield Step(name, world._replace(move=back, movers=movers, moves=world.moves - 1))


def failovers(world: World) -> Iterator[Step]:
    """A standby takes the server's place that had not heard of the last change of ownership, nor of what came after."""
    for index, shard in enumerate(world.shards):
        if shard.standby is not None:
            writers = tuple(
                writer._replace(open=None) if writer.open is not None and writer.open[0] == index else writer
                for writer in world.writers
            )
            world_then = world.with_shard(index, shard.standby._replace(is_promoted=True))
            after = world_then._replace(writers=writers, failovers=world.failovers - 1)
            yield Step(f"shard {index} fails over, its standby is {shard.standby.mode}", forget_standbys(after))


def forget_standbys(world: World) -> World:
    first, second = (shard._replace(standby=None) for shard in world.shards)
    return world._replace(shards=(first, second))


def reconciled(world: World) -> Iterator[Step]:
    """First the other shard, then the promoted one, with a token above all; each under its exclusive lock."""
    for index, shard in enumerate(world.shards):
        other = world.shards[1 - index]
        if not shard.is_promoted or any(writer.open is not None for writer in world.writers):
            continue  # both are locked in their turn
        token = world.next_token()
        if world.move.state != "reconciled":
            yield taken_in_hand(world, index, token)
        else:
            yield Step(f"shard {index} is reconciled", world.with_shard(index, settled(shard, other, token)))


def taken_in_hand(world: World, index: int, token: int) -> Step:
    """The move is over; the other shard gets its last word, and what it logs is no longer needed."""
    promoted, other = world.shards[index], world.shards[1 - index]
    changes: dict[str, Any] = {"token": token, "capture": False, "log": ()}
    highest = max(promoted.epoch, other.epoch)
    if other.mode != OWNER:
        if promoted.mode in (OWNER, FENCED):
            changes |= {"mode": ABORTED, "epoch": highest}
        else:  # the promoted one lost that it was activated: nobody owns the forum; rows are whole at its source
            changes |= {"mode": OWNER, "epoch": highest + 1}
    move = world.move._replace(state="reconciled", token=token)
    after = world.with_shard(1 - index, other._replace(**changes))
    return Step(f"shard {1 - index} hears of the failover", after._replace(move=move))


def settled(promoted: Shard, other: Shard, token: int) -> Shard:
    is_owner = other.mode != OWNER
    mode = OWNER if is_owner else DEPARTED if promoted.mode in (OWNER, FENCED, DEPARTED) else ABORTED
    epoch = max(promoted.epoch, other.epoch) if is_owner else promoted.epoch
    assert not is_owner or promoted.mode != INCOMING
    return promoted._replace(mode=mode, epoch=epoch, token=token, capture=False, log=(), is_promoted=False)
