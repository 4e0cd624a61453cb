"""Where photos are, and what is in them: sources, listings, decoding that may die."""
