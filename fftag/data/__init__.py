"""Importers: a dataset as its makers publish it -> one manifest."""
