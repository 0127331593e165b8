"""The JSON interface under /api/v1: parse, one call, answer."""
