"""Files are handed out whole, the longest first; what runs alone does so at the end, in the last process."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests import distribution
from tests.distribution import ByFile


class Process:
    """One of a run: does what it was given, and must know the next test before it begins one."""

    def __init__(self, tests: list[str]) -> None:
        self.gateway = SimpleNamespace(id="")
        self.given: list[str] = []
        self.shutting_down = False
        self._tests = tests

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += [self._tests[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True

    def next(self) -> str | None:
        return self.given[0] if len(self.given) > 1 or (self.given and self.shutting_down) else None


def run(tests: list[str], processes: int = 2) -> list[tuple[int, str]]:
    """Which process ran which test, in their order; a process that has ended stands there with no test."""
    nodes = [Process(tests) for _ in range(processes)]
    config: Any = SimpleNamespace(
        getvalue=lambda _: ["popen"] * processes, option=SimpleNamespace(loadscopereorder=True), hook=None
    )
    schedule: Any = ByFile(config)
    for node in nodes:
        schedule.add_node(node)
        schedule.add_node_collection(node, tests)
    schedule.schedule()
    told: list[tuple[int, str]] = []
    while schedule.nodes:
        before = len(told)
        for number, node in enumerate(nodes):
            if node not in schedule.nodes:
                continue
            if (test := node.next()) is not None:
                told.append((number, test))
                node.given.pop(0)
                schedule.mark_test_complete(node, tests.index(test))
                if schedule.tests_finished:
                    for each in schedule.nodes:
                        each.shutdown()
            elif node.shutting_down:
                assert schedule.remove_node(node) is None
                told.append((number, ""))
        assert len(told) > before, f"all wait for each other after {told}"
    return told


def named(**files: int) -> list[str]:
    return [f"{name}.py::test_{number}" for name, count in files.items() for number in range(count)]


@pytest.fixture(autouse=True)
def _tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "ALONE", {"alone.py", "alone_too.py"})
    monkeypatch.setattr(distribution, "SECONDS", {"long.py": 60.0, "alone.py": 90.0})
    monkeypatch.setattr(distribution, "TOGETHER", {"a.py": "one", "b.py": "one"})


def files_of(told: list[tuple[int, str]]) -> list[tuple[int, str]]:
    return [(number, test.partition("::")[0]) for number, test in told]


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize(
    "files",
    [
        {"x": 1},
        {"x": 3, "long": 2, "y": 5, "z": 1},
        {"alone": 2},
        {"alone": 1, "alone_too": 3},
        {"x": 1, "alone": 2},
        {"x": 4, "y": 1, "alone": 1, "alone_too": 2, "long": 9},
    ],
)
def test_each_test_runs_once_and_a_file_in_one_process(files: dict[str, int], processes: int) -> None:
    tests = named(**files)
    told = run(tests, processes)
    assert sorted(test for _, test in told if test) == sorted(tests)
    assert len({number for number, test in told if test.startswith("y.py")}) <= 1
    first_alone = next((place for place, (_, file) in enumerate(files_of(told)) if file.startswith("alone")), None)
    if first_alone is not None:
        after = told[first_alone:]
        assert len({number for number, _ in after}) == 1, "the others have ended"


def test_the_longest_comes_first_and_what_belongs_together_stays_so() -> None:
    told = files_of(run(named(a=2, x=9, b=2, long=2)))
    assert {file for _, file in told[:2]} == {"long.py", "x.py"}
    assert len({number for number, file in told if file in ("a.py", "b.py")}) == 1
