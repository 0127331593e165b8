"""From the outbox to numbered history, and from there to whoever follows."""
