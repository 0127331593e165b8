"""Ports are chosen once, below the outgoing range, and given up only to a stranger."""

import socket
from pathlib import Path

import pytest

from forum_backend.embedded import ports
from forum_backend.embedded.errors import EmbeddedError
from forum_backend.embedded.ports import FIRST_PORT, LAST_PORT, PortBook, is_free, why_not_listen


def test_a_port_stays_over_restarts(tmp_path: Path) -> None:
    port = PortBook(tmp_path / "ports.json").free_port_for("control")
    assert FIRST_PORT <= port <= LAST_PORT < 32768
    assert PortBook(tmp_path / "ports.json").free_port_for("control") == port


def test_no_two_servers_get_the_same_port(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json")
    assert len({book.free_port_for(name) for name in ("control", "profiles", "shard_00", "redis")}) == 4


def test_a_taken_port_is_replaced_and_the_new_one_kept(tmp_path: Path) -> None:
    port = PortBook(tmp_path / "ports.json").free_port_for("control")
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        assert "in use" in (why_not_listen(port) or "")
        other = PortBook(tmp_path / "ports.json").free_port_for("control")
        assert other != port
    assert PortBook(tmp_path / "ports.json").free_port_for("control") == other


def test_each_directory_looks_in_a_place_of_its_own(tmp_path: Path) -> None:
    names = [tmp_path / f"set {number}" / "ports.json" for number in range(20)]
    for name in names:
        name.parent.mkdir()
    first = {PortBook(name).free_port_for("control") for name in names}
    assert len(first) > 10, "what one set's dead server leaves is not what the next set takes"


def test_the_search_goes_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "LAST_PORT", FIRST_PORT + 3)
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    book = PortBook(tmp_path / "ports.json")
    assert {book.free_port_for(str(number)) for number in range(4)} == set(range(FIRST_PORT, FIRST_PORT + 4))
    with pytest.raises(EmbeddedError, match="no free port"):
        book.free_port_for("one more")
