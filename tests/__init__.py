"""Tests talk to real PostgreSQL servers and a real Valkey, started once a run."""
