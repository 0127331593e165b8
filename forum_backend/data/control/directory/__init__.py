"""Where each forum lives, and the shards there are (control database)."""
