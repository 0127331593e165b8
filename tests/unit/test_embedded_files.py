"""Small files survive whole and private, logs stay bounded, secrets stay the same."""

import stat
from pathlib import Path

from forum_backend.embedded.files import SavedSecrets, keep_end, last_lines, read_json, write_private


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = SavedSecrets(path).get("password")
    assert len(first) >= 40
    assert SavedSecrets(path).get("password") == first
    assert SavedSecrets(path).get("other") != first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_replaced_file_becomes_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "environment"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new\n")
    assert path.read_text() == "new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_file_reads_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    path.write_text('{"control": 215')
    assert read_json(path) == {}


def test_a_log_is_cut_to_its_end_at_the_start_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    keep_end(path, limit=100)
    kept = path.read_text()
    assert len(kept) <= 100
    assert kept.startswith("line ")
    assert kept.endswith("line 999\n")
    assert last_lines(path, lines=2) == "line 998\nline 999"


def test_a_missing_log_is_no_problem(tmp_path: Path) -> None:
    keep_end(tmp_path / "none.log")
    assert last_lines(tmp_path / "none.log") == ""
