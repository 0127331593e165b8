"""Small pieces that templates share."""
