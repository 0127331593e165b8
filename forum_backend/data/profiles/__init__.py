"""The profiles database: the wide, often changed part of a user, split off vertically."""
