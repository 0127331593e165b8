"""What runs by itself: the relay, consumers of events, and the moves of forums."""
