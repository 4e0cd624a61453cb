"""Training and evaluation; tagging imports nothing of it."""
