"""A dataset as its makers publish it -> one manifest, its splits, its photos, what is in it."""
