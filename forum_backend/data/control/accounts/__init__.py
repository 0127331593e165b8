"""Users, their credentials and tokens (control database)."""
