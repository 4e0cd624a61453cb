"""Names that moved to `catalogues`."""

from catalogues import (
    GAP,
    MODIFIED_AT,
    MONTHS,
    SHARES,
    TAGGED_AT,
    Catalog,
    planted,
    with_metadata,
    write_feed,
)

__all__ = [
    "GAP",
    "MODIFIED_AT",
    "MONTHS",
    "SHARES",
    "TAGGED_AT",
    "Catalog",
    "planted",
    "with_metadata",
    "write_feed",
]
