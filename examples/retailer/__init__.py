"""A made-up fashion retailer: photos drawn from shapes, with true labels and planted facts."""

from retailer.canvas import Box
from retailer.studio import draw

__all__ = ["Box", "draw"]
