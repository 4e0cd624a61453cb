"""Tags and product feeds in one DuckDB file, and what people corrected there."""
