"""Moves of forums, against real servers."""
