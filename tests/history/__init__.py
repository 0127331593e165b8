"""The history checker: people write while forums move, every operation is noted, and at the end all of it must add up."""
