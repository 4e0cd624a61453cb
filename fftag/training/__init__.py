"""From a recipe and a manifest to a model folder, and what is decided of it later."""
