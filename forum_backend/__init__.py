"""A forum service whose forums live on many PostgreSQL servers and move between them while people post."""
