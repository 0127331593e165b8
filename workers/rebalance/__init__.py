"""Moves of forums between shards, one file a step."""
