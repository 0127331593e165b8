"""Moves end at once and servers that die in a test are back before the next one, as in the tests of moves."""

from tests.integration.moves.conftest import _no_moves_of_others, kill, limits

__all__ = ["_no_moves_of_others", "kill", "limits"]
