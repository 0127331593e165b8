"""Moves of forums between shards and their history (control database)."""
