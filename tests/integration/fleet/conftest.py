"""Servers that die in a test of the fleet are back before the next one, as in the tests of moves."""

from tests.integration.moves.conftest import kill

__all__ = ["kill"]
