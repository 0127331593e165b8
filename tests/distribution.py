"""What a run in several processes gives to which of them: whole files, the longest first."""

from typing import Any

from xdist.scheduler import LoadScopeScheduling

# One running service serves them all.
ONE_SERVICE = ("a_shard_dies", "browser", "events", "history", "posting_while_moving")
TOGETHER = {f"tests/journeys/test_{name}.py": "journeys" for name in ONE_SERVICE}
# What has limits of time that hold where nothing else runs: at the end, in the one process that is left.
ALONE = {
    "journeys",
    "tests/journeys/test_faults.py",
    "tests/journeys/test_pgbouncer.py",
    "tests/journeys/test_shards_come_and_go.py",
    "tests/journeys/test_status_page.py",
    "tests/integration/relay/test_numbering.py",
}
# What takes long, in seconds, as measured; other files count by their tests.
MOVES, RELAY, REALTIME = "tests/integration/moves", "tests/integration/relay", "tests/integration/realtime"
SECONDS = {
    "journeys": 200.0,
    "tests/journeys/test_faults.py": 180.0,
    "tests/journeys/test_pgbouncer.py": 90.0,
    "tests/journeys/test_status_page.py": 60.0,
    "tests/journeys/test_shards_come_and_go.py": 50.0,
    "tests/journeys/test_up.py": 30.0,
    f"{MOVES}/test_crashes.py": 150.0,
    f"{MOVES}/test_large_move.py": 70.0,
    f"{MOVES}/test_way_back.py": 60.0,
    f"{MOVES}/test_failover.py": 120.0,
    f"{MOVES}/test_failpoints.py": 120.0,
    f"{MOVES}/test_servers_down.py": 60.0,
    f"{MOVES}/test_writers.py": 45.0,
    f"{MOVES}/test_throttle.py": 35.0,
    f"{MOVES}/test_mutants.py": 30.0,
    f"{MOVES}/test_celery.py": 20.0,
    f"{RELAY}/test_numbering.py": 100.0,
    f"{RELAY}/test_consumers.py": 60.0,
    f"{RELAY}/test_snapshot_property.py": 20.0,
    f"{REALTIME}/test_forum_socket.py": 50.0,
    "tests/integration/test_embedded.py": 65.0,
    "tests/integration/test_embedded_launch.py": 80.0,
    "tests/integration/fleet/test_plans.py": 35.0,
    "tests/integration/commands/test_sentences.py": 25.0,
    "tests/model/test_model.py": 70.0,
    "tests/unit/test_disqus_reader.py": 25.0,
}
A_TEST_S = 0.3


class ByFile(LoadScopeScheduling):
    """Hands out files, each as one piece: its fixtures are made once, and its tests keep their order."""

    def remove_node(self, node: Any) -> str | None:
        """One that has ended may be what the others wait for."""
        crashed = super().remove_node(node)
        for other in self.nodes * 2:  # nobody begins a test before there is a next one
            self._reschedule(other)
        return crashed

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return TOGETHER.get(file, file)

    def _assign_work_unit(self, node: Any) -> None:
        beside_others = self.workqueue.keys() - ALONE
        if beside_others or self._is_the_last(node):
            longest = max(beside_others or self.workqueue, key=self._seconds)
            self.workqueue.move_to_end(longest, last=False)
            super()._assign_work_unit(node)

    def _is_the_last(self, node: Any) -> bool:
        """Whether all others have ended; as long as another goes on, this one ends."""
        others = [other for other in self.nodes if other is not node]
        if any(not other.shutting_down for other in others):
            node.shutdown()
        return not others

    def _seconds(self, piece: str) -> float:
        return SECONDS.get(piece, A_TEST_S * len(self.workqueue[piece]))
