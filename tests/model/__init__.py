"""The move protocol as a small model of states, explored exhaustively: one forum, two shards, writers, movers."""
