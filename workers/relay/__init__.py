"""The relay: numbers what happened, publishes it, and applies it where others count."""
