"""Moves end at once and servers that die in a test are back before the next one, as in the tests of moves."""

from tests.integration.moves.conftest import kill, limits

__all__ = ["kill", "limits"]
