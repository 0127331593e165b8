"""Writers: a transaction enters a shard and changes its row, and later commits; between the two anything may happen."""

from collections.abc import Iterator

from tests.model.world import DEPARTED, FENCED, OWNER, SCRIPTS, Rules, Shard, Step, World, replaced

UNDER_LOCK = "a write was committed on a shard that is not the owner at the epoch it entered"


def writer_steps(world: World, rules: Rules) -> Iterator[Step]:
    for key, writer in enumerate(world.writers):
        if writer.open is not None:
            yield commit(world, key)
        elif writer.done < len(SCRIPTS[key]):
            for index in range(len(world.shards)):
                if accepts(world.shards[index], rules):
                    yield enter(world, key, index)


def accepts(shard: Shard, rules: Rules) -> bool:
    """Whether a write may begin here. Without a guard a writer goes by what it once heard of the owner."""
    if shard.is_promoted and rules.timeline:
        return False
    return shard.mode == OWNER or (not rules.guard and shard.mode in (FENCED, DEPARTED))


def enter(world: World, key: int, index: int) -> Step:
    """Shared lock, ownership and capture read, row written; the log's id is taken now, others may commit first."""
    shard = world.shards[index]
    logged = shard.next_id if shard.capture else 0
    if logged:
        world = world.with_shard(index, shard._replace(next_id=shard.next_id + 1))
    writer = world.writers[key]._replace(open=(index, shard.epoch, logged))
    return Step(f"writer {key} enters shard {index}", with_writer(world, key, writer))


def commit(world: World, key: int) -> Step:
    writer = world.writers[key]
    assert writer.open is not None
    index, epoch, logged = writer.open
    shard = world.shards[index]
    value = SCRIPTS[key][writer.done]
    log = tuple(sorted((*shard.log, (logged, key)))) if logged else shard.log
    # An acknowledged write is beyond what a standby may lose here: that is for the replication to promise.
    written = shard._replace(rows=replaced(shard.rows, key, value), log=log, standby=None)
    after = with_writer(world.with_shard(index, written), key, writer._replace(done=writer.done + 1, open=None))
    is_right = shard.mode == OWNER and shard.epoch == epoch
    what = f"writes {value}" if value else "deletes its row"
    return Step(f"writer {key} {what} on shard {index}", after, "" if is_right else UNDER_LOCK)


def with_writer(world: World, key: int, writer: object) -> World:
    return world._replace(writers=(*world.writers[:key], writer, *world.writers[key + 1 :]))  # type: ignore[arg-type]
