"""Tables. Each package is named for the database its tables live in."""
