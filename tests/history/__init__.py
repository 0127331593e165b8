"""The history checker: people write while forums move, each operation is noted, and in the end all must add up."""
