"""The control database, alias ``default``: small, global, needed by every request."""
