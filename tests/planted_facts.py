"""Names that moved to `catalogues`."""

from catalogues import SENSITIVITY, SPECIFICITY, catalogue, truth

__all__ = ["SENSITIVITY", "SPECIFICITY", "catalogue", "truth"]
