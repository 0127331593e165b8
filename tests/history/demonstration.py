"""`make demonstration`: a plan is carried out over three shards while people write, and things die on the way.

Ten forums on one shard; writers on all of them, who try again as they are told to. The fleet is made even by a plan,
then a shard is drained. Meanwhile the worker is killed, then the server of a shard, and both come back. At the end the
checker's verdict on everything that was written, and how long each forum took no writes.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.history.checking import HistoryCheck
from tests.history.moving import SETTLED, Moving
from tests.journeys.people import Person, client_of, expect
from tests.running import Service, wait_for

FORUMS, WRITERS, SHARDS = 10, 8, 3
HOME, OTHER, EMPTIED = "shard_00", "shard_01", "shard_02"
PLAN_LIMIT_S, MOVES_LIMIT_S = 60.0, 240.0
DEAD_S = 1.0
UNDER_WAY = ("copying", "catching_up", "verified", "ready", "fenced")
SETTINGS = {"SIGN_IN_ATTEMPTS_PER_MINUTE": "10000", "MOVE_LEASE_S": "3"}


class Demonstration:
    """One run, on a service of its own."""

    def __init__(self, service: Service, *, seed: int) -> None:
        self.service, self.seed = service, seed
        self._began = time.monotonic()
        self._staff = Person("operator", service.token("operator", staff=True))
        self._moves: dict[str, dict[str, Any]] = {}

    def run(self) -> bool:
        """Print what happens; whether nothing was lost, doubled or refused."""
        with client_of(self.service, self._staff) as self._client:
            self._fill_one_shard()
            with HistoryCheck(
                self.service, seed=self.seed, writers=WRITERS, forums=FORUMS, with_moves=False, staff=self._staff
            ) as check:
                self._open_all_shards()
                self._tell(f"{WRITERS} people write into {FORUMS} forums, all on {HOME}")
                self._balance()
                self._follow_moves(between=[self._kill_worker, self._kill_server])
                self._tell(f"{EMPTIED} is drained")
                self.service.manage("shards", "drain", EMPTIED)
                self._follow_moves(between=[self._kill_worker])
                self._roll_one_back()
                self._follow_moves(between=[])
                check.moving = Moving(client=check._client(""), forums=[], shards=[], seed=self.seed)
                check.moving.moves = list(self._moves.values())
                self._tell("the writers stop; everything is read and compared")
                verdict = check.verdict()
                strays = check.strays()
        print(f"\n{verdict}\n{check.windows_text()}")
        print(f"{len(strays)} steps that the model of the protocol does not know{''.join(f'; {s}' for s in strays)}")
        return verdict.is_good and not strays

    def _fill_one_shard(self) -> None:
        """New forums go to the one shard that takes some."""
        for shard in (OTHER, EMPTIED):
            self.service.manage("shards", "drain", shard)

    def _open_all_shards(self) -> None:
        for shard in (OTHER, EMPTIED):
            self.service.manage("shards", "drain", shard, "--undo")

    def _balance(self) -> None:
        """A plan, once all forums were measured: it needs both other shards then. Applied by its hash."""
        plan: dict[str, Any] = {"moves": []}

        def is_whole() -> bool:
            nonlocal plan
            plan = expect(self._client.post("/plans", json={}), 201)
            return {OTHER, EMPTIED} <= {move["target"] for move in plan["moves"]}

        wait_for(is_whole, seconds=PLAN_LIMIT_S, what="a plan with moves to both other shards", every_s=0.2)
        self._tell(f"plan {plan['hash'][:12]}: {len(plan['moves'])} moves")
        for move in plan["moves"]:
            self._tell(f"  forum {move['forum']} {move['source']} -> {move['target']}: {move['reason']}")
        expect(self._client.post(f"/plans/{plan['hash']}/apply"), 202)

    def _follow_moves(self, *, between: list[Callable[[], None]]) -> None:
        """Until all are settled; while some are under way, things die one after the other."""
        waiting = list(between)
        deadline = time.monotonic() + MOVES_LIMIT_S
        while True:
            moves = self._look()
            if waiting and any(move["state"] in UNDER_WAY for move in moves):
                waiting.pop(0)()
            if not waiting and moves and all(move["state"] in SETTLED for move in moves):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"moves are still {[move['state'] for move in moves]}")
            time.sleep(0.05)

    def _roll_one_back(self) -> None:
        """The last move that can be; its forum is written to all the while."""

        def is_asked() -> bool:
            reversible = [move for move in self._look() if move["state"] == "reversible"]
            for move in sorted(reversible, key=lambda each: -int(each["id"])):
                answer = self._client.post(f"/moves/{move['id']}/rollback")
                if answer.status_code == 202:
                    self._tell(f"move {move['id']} is taken back, as move {answer.json()['id']}")
                    return True
            return False

        wait_for(is_asked, seconds=PLAN_LIMIT_S, what="a move that can be taken back")

    def _look(self) -> list[dict[str, Any]]:
        """All moves as they are now; what changed is told."""
        try:
            moves = expect(self._client.get("/moves", params={"limit": 100}), 200)["items"]
        except httpx.TransportError:
            return list(self._moves.values())
        for move in moves:
            before = self._moves.get(move["id"], {}).get("state")
            if move["state"] in SETTLED and before not in SETTLED:
                self._tell(f"  move {move['id']} is {move['state']}: {move['window_ms']} ms without writes")
            self._moves[move["id"]] = move
        return moves

    def _kill_worker(self) -> None:
        self._tell("kill -9 of the Celery worker; it starts again a second later")
        self.service.kill("worker")
        time.sleep(DEAD_S)
        self.service.start("worker")

    def _kill_server(self) -> None:
        self._tell(f"kill -9 of {HOME}'s PostgreSQL server; it starts again a second later")
        self.service.servers.kill_server(HOME)
        time.sleep(DEAD_S)
        self.service.servers.start_server(HOME)

    def _tell(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make demonstration", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of what people write")
    arguments = parser.parse_args()
    print(f"Seed {arguments.seed}: repeat with make demonstration ARGS='--seed {arguments.seed}'", flush=True)
    with Service(shards=SHARDS, settings=SETTINGS) as service:
        is_good = Demonstration(service, seed=arguments.seed).run()
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
