"""Websockets: what happens in a forum, and in the fleet, as it happens."""
