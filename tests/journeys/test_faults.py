"""What may die, dies for real while people write: workers in every state, Redis with its data, the network, movers."""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from io import StringIO
from typing import Any

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict

from forum_backend.commands.display import Display
from forum_backend.embedded import last_lines
from tests.history import crashes
from tests.history.checking import HistoryCheck
from tests.history.gathering import query
from tests.history.moving import Moving
from tests.history.probe import Probe
from tests.history.sampler import shard_addresses
from tests.journeys.people import Person, client_of, expect
from tests.proxy import HOST, Proxy
from tests.running import Service, wait_for

pytestmark = pytest.mark.journey

SEED = 20110419
SETTINGS = {"SIGN_IN_ATTEMPTS_PER_MINUTE": "10000", "MOVE_LEASE_S": "2", "MOVE_BUDGET_MS": "300"}
STATES = {
    "prepare.before": "planned", "arm.before": "prepared", "begin.before": "armed", "copy.before": "copying",
    "catch_up.before": "catching_up", "ready.before": "verified", "fence.before": "ready", "fence.done": "fenced",
    # Past the commit point; it is recorded with the next one.
    "activate.done": "fenced", "keep.before": "departed", "reverse.before": "reversible",
}  # fmt: skip
ROLLBACK_STATES = {"fence.done": "fenced", "depart.done": "departed"}
SERVED_WITHIN_S = 2.0
REACHED_WITHIN_S, SETTLED_WITHIN_S = 40.0, 60.0
AFTER_REDIS = 3
# The server ends a mover that says nothing under a fence (2 s and a little), then a writer settles the move.
SERVED_AFTER_CUT_S = 4.0
# It hangs for a second, then waits for each side in turn: the budget, GRACE_MS and SILENCE_S make 3.3 s a wait.
GIVEN_UP_AFTER_CUT_S = 10.0
FEW_CRASHES = 30

STATE = "SELECT state FROM move WHERE id = %s"
UNDER_WAY = "SELECT count(*) FROM move WHERE state IN ('armed', 'copying', 'catching_up', 'verified', 'ready')"


@pytest.fixture(scope="module")
def faulty() -> Iterator[Service]:
    """A service of its own, without a worker."""
    with Service(roles=("web", "relay", "beat"), settings=SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def operator(faulty: Service) -> Person:
    return Person("operator", faulty.token("operator", staff=True))


@pytest.fixture(autouse=True)
def _what_was_said(faulty: Service) -> Iterator[None]:
    """No worker is left over; its words stand beside a failure."""
    yield
    if "worker" in faulty.pids:
        faulty.kill("worker")
    for name in ("web", "worker", "beat"):
        print(f"--- end of {name}.log\n{last_lines(faulty.log(name))}")


class Victim:
    """A move whose workers die: armed to hang at a point, and killed there, group and all."""

    def __init__(self, check: HistoryCheck, probe: Probe, client: httpx.Client) -> None:
        self.service, self.check, self.probe, self._client = check.service, check, probe, client
        self.forum = check.forums[0]
        self.moves: list[dict[str, Any]] = []
        self.slowest_s = 0.0

    def begin(self, path: str, content: dict[str, str] | None = None) -> None:
        """Ask for a move, or for the last one to be taken back."""
        self.moves.append(expect(self._client.post(path, json=content), 202))

    def begin_move(self) -> None:
        here = expect(self._client.get(f"/forums/{self.forum}"), 200)["shard"]
        target = next(shard for shard in shard_addresses(self.service) if shard != here)
        self.begin("/moves", {"forum": str(self.forum), "target": target})

    @property
    def state(self) -> str:
        return str(query(self.service.environment["DATABASE_URL"], STATE, int(self.moves[-1]["id"]))[0][0])

    def wait_reversible(self) -> None:
        wait_for(lambda: self.state == "reversible", seconds=SETTLED_WITHIN_S, what="the end of the move")

    def kill_at(self, point: str) -> str:
        """A worker dies there; the state that it leaves. Then, without any worker, the forum takes a post."""
        arm(self.service, point, "hang:60")
        self.service.kill("worker")
        state, killed_at = self.state, time.monotonic()
        self.slowest_s = max(self.slowest_s, self.probe.post(self.forum) - killed_at)
        return state

    def judge(self) -> None:
        """The verdict is good, and the model knows every step of the moves."""
        self.check.moving = Moving(client=self.check._client(""), forums=[], shards=[], seed=SEED)
        self.check.moving.moves = [expect(self._client.get(f"/moves/{move['id']}"), 200) for move in self.moves]
        verdict = self.check.verdict()
        print(f"\n{verdict}\n{self.check.windows_text()}")
        assert verdict.is_good, str(verdict)
        assert self.check.strays() == []


@pytest.fixture
def victim(faulty: Service, operator: Person) -> Iterator[Victim]:
    with (
        HistoryCheck(faulty, seed=SEED, writers=4, with_moves=False, staff=operator) as check,
        Probe(check) as probe,
        client_of(faulty, operator) as client,
    ):
        yield Victim(check, probe, client)


def arm(service: Service, point: str, happens: str, **settings: str) -> None:
    """Start a worker to which something happens at a point, and wait until it does."""
    said = size_of_log(service)
    service.start("worker", FAILPOINTS=f"{point}={happens}", **settings)
    wait_for(lambda: says(service, f'"point": "{point}"', said), seconds=REACHED_WITHIN_S, what=point)


def says(service: Service, words: str, since: int) -> bool:
    """Whether these words are in the worker's log behind what it had said before."""
    with service.log("worker").open("rb") as log:
        log.seek(since)
        return words.encode() in log.read()


def size_of_log(service: Service) -> int:
    log = service.log("worker")
    return log.stat().st_size if log.exists() else 0


def test_workers_die_in_every_state(faulty: Service, victim: Victim) -> None:
    victim.begin_move()
    assert {point: victim.kill_at(point) for point in STATES} == STATES
    victim.begin(f"/moves/{victim.moves[0]['id']}/rollback")
    assert {point: victim.kill_at(point) for point in ROLLBACK_STATES} == ROLLBACK_STATES
    faulty.start("worker")
    victim.wait_reversible()
    print(f"\nserved again after {victim.slowest_s * 1000:.0f} ms at most")
    assert victim.slowest_s < SERVED_WITHIN_S
    victim.judge()


def test_redis_loses_everything(faulty: Service, operator: Person) -> None:
    faulty.start("worker")
    with HistoryCheck(faulty, seed=SEED, writers=4, staff=operator) as check:
        moving = check.moving
        assert moving is not None
        control = faulty.environment["DATABASE_URL"]
        wait_for(lambda: len(moving.moves) > 0, seconds=SETTLED_WITHIN_S, what="a move")
        wait_for(lambda: query(control, UNDER_WAY)[0][0] > 0, seconds=SETTLED_WITHIN_S, what="a move under way")
        faulty.servers.kill_server("redis")
        shutil.rmtree(faulty.servers._server("redis").data)
        faulty.servers.start_server("redis")
        before, began = len(moving.moves), time.monotonic()
        revivals = 0

        def has_moved_on() -> bool:
            nonlocal revivals
            revivals += revived(faulty)
            return len(moving.moves) >= before + AFTER_REDIS

        wait_for(has_moved_on, seconds=SETTLED_WITHIN_S, what="more moves")
        print(f"\n{AFTER_REDIS} moves more within {time.monotonic() - began:.1f} s, {revivals} worker revived")
        verdict = check.verdict()
        print(verdict)
        assert verdict.is_good, str(verdict)
        assert verdict.figures["moves"] > verdict.figures["of them aborted"]
        assert check.strays() == []


def revived(service: Service) -> bool:
    """As `manage.py up` does: kombu may die of acknowledging a message on a connection that it has closed."""
    if service._children["worker"].exit_code() is None:
        return False
    service.start("worker")
    return True


@pytest.mark.parametrize("point", ["fence.done", "activate.commit"])
def test_the_network_is_cut(faulty: Service, victim: Victim, point: str) -> None:
    """Only the worker's, under its fence, and neither side is told: what it had sent arrives when all is settled."""
    with ExitStack() as stack:
        proxies, shards = proxied(faulty, stack)
        victim.begin_move()
        arm(faulty, point, "hang:1", SHARDS=shards)
        said = size_of_log(faulty)
        for proxy in proxies:
            proxy.cut()
        cut_at = time.monotonic()
        served_s = victim.probe.post(victim.forum) - cut_at
        wait_for(lambda: says(faulty, "An attempt failed", said), seconds=REACHED_WITHIN_S, what="the mover gives up")
        gave_up_s = time.monotonic() - cut_at
        for proxy in proxies:
            proxy.heal()
        healed_s = victim.probe.post(victim.forum) - cut_at
        faulty.kill("worker")  # it would hang at each fence
        faulty.start("worker", SHARDS=shards)
        victim.wait_reversible()
        print(f"\n{point}: served after {served_s:.2f} s, given up after {gave_up_s:.2f} s, healed {healed_s:.2f} s")
        assert served_s < SERVED_AFTER_CUT_S
        assert gave_up_s < GIVEN_UP_AFTER_CUT_S
        victim.judge()
        faulty.kill("worker")


def test_the_network_is_cut_while_rows_are_copied(faulty: Service, victim: Victim) -> None:
    """Nobody waits for this mover; the connections end at last, and another one goes on where it was."""
    with ExitStack() as stack:
        proxies, shards = proxied(faulty, stack)
        victim.begin_move()
        arm(faulty, "copy.before", "hang:1", SHARDS=shards)
        for proxy in proxies:
            proxy.cut()
        cut_at = time.monotonic()
        served_s = victim.probe.post(victim.forum) - cut_at
        for proxy in proxies:
            proxy.sever()
            proxy.heal()
        victim.wait_reversible()
        assert served_s < SERVED_WITHIN_S
        victim.judge()
        faulty.kill("worker")


def proxied(service: Service, stack: ExitStack) -> tuple[list[Proxy], str]:
    """A proxy before each shard, and the addresses by which a worker goes through them."""
    proxies, addresses = [], []
    for shard, address in shard_addresses(service).items():
        parts = conninfo_to_dict(address)
        proxy = stack.enter_context(Proxy(int(str(parts["port"]))))
        proxies.append(proxy)
        addresses.append(f"{shard}=postgresql://{parts['user']}:{parts['password']}@{HOST}:{proxy.port}/{shard}")
    return proxies, ",".join(addresses)


def test_movers_die_at_random(faulty: Service, operator: Person) -> None:
    """A short run of `python -m tests.history --crashes`."""
    with Display(StringIO()) as display:
        found = crashes.crash(faulty, seed=SEED, crashes=FEW_CRASHES, display=display, staff=operator)
    print(f"\n{found}")
    assert found.is_good, str(found)
    assert found.by_point.total() == FEW_CRASHES
    assert found.back["p50_ms"] < crashes.BACK_WITHIN_S * 1000
    assert found.back["max_ms"] < SERVED_WITHIN_S * 1000
