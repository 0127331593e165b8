"""The shards: everything below a forum, split horizontally by forum."""
