"""The person: pose, skin, hair and face, in figure units (the head is 1 high, the soles at 6.8)."""

from dataclasses import dataclass

import numpy as np

from retailer.canvas import Canvas, Colour, Point, both, ellipse, flipped, limb, rounded
from retailer.patterns import shaded

SKINS: tuple[Colour, ...] = (
    (250, 220, 198),
    (240, 200, 170),
    (224, 178, 142),
    (204, 152, 112),
    (176, 122, 84),
    (142, 94, 64),
    (108, 70, 48),
    (78, 50, 38),
)
HAIRS: tuple[Colour, ...] = (
    (32, 26, 26),
    (60, 40, 30),
    (102, 66, 40),
    (160, 104, 54),
    (214, 172, 104),
    (164, 74, 42),
    (150, 150, 154),
)
HAIR_STYLES = ("short", "crop", "bob", "long", "bun", "afro")


@dataclass(frozen=True)
class Pose:
    """Where the arms and legs are.

    Attributes:
        spread: how far the arms stand off the body, 0 to 1.
        stance: how far the feet are apart, 0 to 1.
        raised: whether the arm on the side x > 0 is bent up, to hold something.
    """

    spread: float = 0.3
    stance: float = 0.3
    raised: bool = False

    def arm(self, side: int) -> np.ndarray:
        """Shoulder, elbow, wrist and fingertips of the arm on one side (-1 or 1)."""
        if side > 0 and self.raised:
            path = [(0.70, 1.62), (1.02, 2.55), (1.12, 1.75), (1.14, 1.42)]
        else:
            off = self.spread
            path = [
                (0.70, 1.62),
                (0.86 + 0.22 * off, 2.62),
                (0.92 + 0.48 * off, 3.55),
                (0.93 + 0.56 * off, 3.95),
            ]
        return np.array(path) * (side, 1)

    def leg(self, side: int) -> np.ndarray:
        """Hip, knee, ankle and toe of one leg."""
        off = 0.12 * self.stance
        path = [(0.32, 3.6), (0.32 + off * 0.6, 5.1), (0.31 + off, 6.4), (0.40 + off, 6.75)]
        return np.array(path) * (side, 1)

    def hand(self, side: int) -> Point:
        """The middle of the hand."""
        wrist, fingers = self.arm(side)[2:]
        x, y = (wrist + fingers) / 2
        return float(x), float(y)


@dataclass(frozen=True)
class Person:
    """Somebody: skin, hair and pose."""

    skin: Colour
    hair: Colour
    hair_style: str
    pose: Pose

    def draw_back_hair(self, canvas: Canvas) -> None:
        """What of the hair hangs behind the shoulders."""
        match self.hair_style:
            case "long":
                outline = both([(0, -0.08), (0.42, 0.1), (0.52, 0.8), (0.56, 1.9), (0.3, 2.0)])
                canvas.fill(rounded(outline), shaded(self.hair, 0.85), volume=0.2)
            case "bob":
                outline = both([(0, -0.08), (0.44, 0.1), (0.54, 0.7), (0.5, 1.12), (0.2, 1.15)])
                canvas.fill(rounded(outline), shaded(self.hair, 0.85), volume=0.2)
            case "afro":
                canvas.fill(ellipse((0, 0.32), 0.64, 0.58), self.hair, volume=0.25)
            case "bun":
                canvas.fill(ellipse((0, -0.16), 0.22, 0.2), self.hair, volume=0.3)

    def draw_body(self, canvas: Canvas) -> None:
        """Legs, trunk, arms and neck."""
        skin, pose = self.skin, self.pose
        for side in (-1, 1):
            hip, knee, ankle, toe = pose.leg(side)
            outline = limb([hip, knee, ankle], [0.32, 0.2, 0.13])
            canvas.fill(rounded(outline), skin, volume=0.25)
            canvas.fill(ellipse(((ankle[0] + toe[0]) / 2, 6.58), 0.17, 0.2), skin, volume=0.2)
        trunk = both(
            [(0, 1.3), (0.2, 1.3), (0.7, 1.5), (0.66, 2.05), (0.48, 2.75), (0.64, 3.45), (0, 3.9)]
        )
        canvas.fill(rounded(trunk), skin, volume=0.2)
        for side in (-1, 1):
            self.draw_arm(canvas, side)
        self.draw_neck(canvas)

    def draw_arm(self, canvas: Canvas, side: int) -> None:
        """One arm with its hand."""
        shoulder, elbow, wrist, fingers = self.pose.arm(side)
        outline = limb([shoulder, elbow, wrist], [0.18, 0.14, 0.1])
        canvas.fill(rounded(outline), self.skin, volume=0.25)
        hand = limb([wrist, (wrist + fingers) / 2, fingers], [0.09, 0.14, 0.06])
        canvas.fill(rounded(hand), self.skin, volume=0.2)

    def draw_neck(self, canvas: Canvas) -> None:
        """The neck, with the chin's shadow."""
        canvas.fill(both([(0, 0.8), (0.17, 0.8), (0.18, 1.28), (0.0, 1.5)]), self.skin, volume=0.15)
        canvas.fill(both([(0, 0.9), (0.16, 0.9), (0, 1.18)]), shaded(self.skin, 0.78))

    def draw_head(self, canvas: Canvas) -> None:
        """Face and front hair."""
        skin = self.skin
        outline = both([(0, 0), (0.34, 0.04), (0.40, 0.45), (0.33, 0.8), (0.12, 1.02), (0, 1.03)])
        for side in (-1, 1):
            canvas.fill(ellipse((0.37 * side, 0.52), 0.06, 0.1), shaded(skin, 0.9))
        canvas.fill(rounded(outline), skin, volume=0.18)
        dark = shaded(self.hair, 0.7)
        for side in (-1, 1):
            x = 0.155 * side
            canvas.fill(ellipse((x, 0.5), 0.068, 0.036), (248, 246, 242))
            canvas.fill(ellipse((x, 0.5), 0.034, 0.036), (48, 36, 32))
            canvas.stroke([(x - 0.08, 0.40), (x, 0.375), (x + 0.08, 0.40)], 0.03, dark)
            canvas.fill(ellipse((0.22 * side, 0.66), 0.07, 0.04), (222, 92, 84), alpha=0.18)
        canvas.stroke([(0.01, 0.5), (0.05, 0.65), (-0.02, 0.67)], 0.022, shaded(skin, 0.76))
        lips = both([(0, 0.795), (0.05, 0.78), (0.12, 0.8), (0.05, 0.85), (0, 0.855)])
        canvas.fill(lips, (178, 76, 74), alpha=0.85)
        self._draw_front_hair(canvas)

    def _draw_front_hair(self, canvas: Canvas) -> None:
        if self.hair_style == "crop":
            cap = both(
                [(0, -0.07), (0.3, -0.02), (0.42, 0.3), (0.37, 0.36), (0.3, 0.18), (0, 0.14)]
            )
            canvas.fill(rounded(cap), self.hair, volume=0.2)
            return
        sweep = [(-0.43, 0.5), (-0.45, 0.2), (-0.3, -0.06), (0.0, -0.12), (0.3, -0.06), (0.45, 0.2)]
        sweep += [(0.43, 0.5), (0.37, 0.3), (0.2, 0.2), (-0.1, 0.12), (-0.3, 0.26), (-0.38, 0.36)]
        canvas.fill(rounded(sweep), self.hair, volume=0.25)
        if self.hair_style in ("long", "bob"):
            lock = [(0.36, 0.2), (0.45, 0.3), (0.5, 0.9), (0.42, 1.1), (0.38, 0.7)]
            for points in (lock, flipped(lock)):
                canvas.fill(rounded(points), self.hair, volume=0.2)


def somebody(rng: np.random.Generator, raised: bool, short_hair: bool) -> Person:
    """A person at random; with `raised` an arm is up, with `short_hair` no hair hangs down."""
    styles = ("short", "crop", "bun", "afro") if short_hair else HAIR_STYLES
    return Person(
        skin=SKINS[rng.integers(len(SKINS))],
        hair=HAIRS[rng.integers(len(HAIRS))],
        hair_style=styles[rng.integers(len(styles))],
        pose=Pose(float(rng.uniform(0.1, 0.7)), float(rng.uniform(0, 1)), raised),
    )
