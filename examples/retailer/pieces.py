"""One piece of a look: what it is, how it is cut, which parts it has, what it is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from retailer.canvas import Colour
from retailer.patterns import Fabric


@dataclass(frozen=True)
class Piece:
    """A garment or an accessory.

    Attributes:
        label: what it is.
        parts: the labels of the parts that it has.
        fabric: its cloth.
        accent: the colour of trimmings.
        style: its sort, such as `blazer` or `beanie`.
        cut: lengths and widths by name, in figure units, and other choices as numbers.
        front: how its front closes: closed, open, buttons.
        neck: the shape of its opening for the head.
    """

    label: str
    parts: frozenset[str]
    fabric: Fabric
    accent: Colour
    style: str = ""
    cut: Mapping[str, float] = field(default_factory=dict)
    front: str = "closed"
    neck: str = "crew"

    @property
    def labels(self) -> frozenset[str]:
        """The piece and its parts."""
        return self.parts | {self.label}
