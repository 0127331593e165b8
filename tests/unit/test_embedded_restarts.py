"""What dies is restarted after growing waits, and left alone after five times in a minute."""

from pathlib import Path

from forum_backend.embedded.supervisor import MAX_RESTARTS, WINDOW_S, KeptAlive, RestartBudget


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Patient:
    """Something that is dead until it is restarted, and counts how often it was."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock, self.dead, self.restarts, self.said = Clock(), False, 0, list[str]()
        (tmp_path / "it.log").write_text("a reason\n")
        self.kept = KeptAlive(
            name="it",
            has_died=lambda: self.dead,
            restart=self.restart,
            log=tmp_path / "it.log",
            notify=self.said.append,
            clock=self.clock,
        )

    def restart(self) -> None:
        self.dead = False
        self.restarts += 1

    def die(self, *, then_wait: float) -> None:
        self.dead = True
        self.kept.check()
        self.clock.now += then_wait
        self.kept.check()


def test_waits_grow_with_each_restart_of_the_last_minute() -> None:
    clock = Clock()
    budget = RestartBudget(clock=clock)
    delays = []
    while not budget.is_spent:
        delays.append(budget.delay_s)
        budget.use_one()
    assert delays == [0.5, 1, 2, 4, 8]
    clock.now += WINDOW_S
    assert not budget.is_spent
    assert budget.delay_s == 0.5


def test_the_living_are_left_alone(tmp_path: Path) -> None:
    patient = Patient(tmp_path)
    patient.kept.check()
    assert (patient.restarts, patient.said) == (0, [])


def test_a_death_is_told_with_the_log_and_repaired_after_the_wait(tmp_path: Path) -> None:
    patient = Patient(tmp_path)
    patient.die(then_wait=0.1)
    assert patient.restarts == 0
    patient.die(then_wait=0.5)
    assert patient.restarts == 1
    assert len(patient.said) == 1
    assert "a reason" in patient.said[0]


def test_after_too_many_deaths_in_a_minute_it_stays_down(tmp_path: Path) -> None:
    patient = Patient(tmp_path)
    for _ in range(MAX_RESTARTS + 3):
        patient.die(then_wait=8)
    assert patient.restarts == MAX_RESTARTS
    assert "stays down" in patient.said[-1]


def test_rare_deaths_are_repaired_for_ever(tmp_path: Path) -> None:
    patient = Patient(tmp_path)
    for _ in range(20):
        patient.die(then_wait=WINDOW_S)
    assert patient.restarts == 20
