"""What a run in several processes gives to which of them: whole files, the longest first."""

from itertools import repeat

from xdist.scheduler import LoadScopeScheduling

# One running service serves them all.
ONE_SERVICE = ("a_shard_dies", "browser", "events", "history", "posting_while_moving")
TOGETHER = dict(zip((f"tests/journeys/test_{name}.py" for name in ONE_SERVICE), repeat("journeys")))
# Files (or what is put together above) that take long, in seconds on two cores; the others count by their tests.
SECONDS = {"journeys": 120.0}
A_TEST_S = 0.3


class ByFile(LoadScopeScheduling):
    """Hands out files, each as one piece: its fixtures are made once, and its tests keep their order."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return TOGETHER.get(file, file)

    def _assign_work_unit(self, node: object) -> None:
        longest = max(self.workqueue, key=self._seconds)
        self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)

    def _seconds(self, piece: str) -> float:
        return SECONDS.get(piece, A_TEST_S * len(self.workqueue[piece]))
