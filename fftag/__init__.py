"""fftag: tag fashion photos by the million, and ask the catalogue in SQL."""

__version__ = "0.1.0"
