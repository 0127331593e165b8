"""Programs are copied to where another user can read them: whole, once, by whoever is first."""

import os
from pathlib import Path

import pytest

from forum_backend.embedded import programs

NO_PROCESS = 2**22 + 1  # beyond the highest number that Linux gives


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(programs, "SYSTEM_DIRECTORY", tmp_path / "system")
    folder = tmp_path / "package" / "pginstall" / "bin"
    folder.mkdir(parents=True)
    (folder / "postgres").write_text("a program")
    (tmp_path / "package.libs").mkdir()
    (tmp_path / "package.libs" / "libpq.so").write_text("its library")
    return folder.parent


def copied(tree: Path) -> Path:
    return programs._copy_for_others("postgres", tree / "bin" / "postgres", tree)


def test_a_copy_has_its_libraries_and_is_made_once(tree: Path) -> None:
    program = copied(tree)
    assert program.read_text() == "a program"
    assert (program.parents[3] / "package.libs" / "libpq.so").read_text() == "its library"
    made_at = program.stat().st_mtime_ns
    assert copied(tree) == program
    assert program.stat().st_mtime_ns == made_at


def test_who_comes_second_takes_the_first_ones_copy(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_whole = programs._copy_whole

    def somebody_is_faster(*, tree: Path, target: Path) -> None:
        copy_whole(tree=tree, target=target)
        name, _, _ = target.name.removeprefix(".").partition(".unfinished")
        copy_whole(tree=tree, target=target.with_name(name))

    monkeypatch.setattr(programs, "_copy_whole", somebody_is_faster)
    program = copied(tree)
    assert program.read_text() == "a program"
    assert [path.name for path in program.parents[3].parent.iterdir()] == [program.parents[3].name]


def test_a_copy_under_way_is_left_alone_and_one_of_the_dead_removed(tree: Path) -> None:
    place = copied(tree).parents[3]
    dead = place.with_name(f".{place.name}.unfinished-{NO_PROCESS}")
    living = place.with_name(f".{place.name}.unfinished-{os.getppid()}")
    for folder in (dead, living):
        folder.mkdir()
    place.rename(place.with_name("away"))
    copied(tree)
    assert (dead.exists(), living.exists()) == (False, True)
