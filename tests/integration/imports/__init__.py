"""Imports and exports of forums, against real servers."""
