"""A made-up fashion retailer: what it lists and when, what its photos show, how they are drawn."""
