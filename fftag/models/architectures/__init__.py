"""The networks that can be built, one file a library."""
