"""A model: its labels, its network, its folder, its screen, and what computes its scores."""
