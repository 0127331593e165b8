"""Management commands: parse, one call, print."""
