"""Names that moved to `catalogues`."""

__all__ = [
    *("BRANDS", "FAILED", "HOSTILE", "LABELS", "NO_APPAREL"),
    *("PHOTOS", "SCRIPT", "Shop", "make_shop"),
]
