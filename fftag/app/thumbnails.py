"""Photos as small JPEGs: decoded by guarded processes on demand, held within a bound."""

import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fftag.photos.decode import InputSpec
from fftag.photos.pool import PoolOnDemand, ReadOptions
from fftag.photos.sources.local import Folder

SMALL, LARGE = 256, 640  # pixels of a side
SPEC = InputSpec(LARGE, LARGE, "pad")
READ = ReadOptions(batch_size=6, workers=2, timeout=20)
BYTES_HELD = 64 * 2**20
QUALITY = 85


@dataclass(frozen=True)
class Wanted:
    """A photo to show.

    Attributes:
        image: path below the folder.
        content: what tells it from another photo that may take its name, such as its digest.
    """

    image: str
    content: str | None = None


@dataclass(frozen=True)
class Shown:
    """A photo as it can be shown.

    Attributes:
        jpeg: a square picture, the photo on white; None where it failed.
        error: why; None where it did not.
    """

    jpeg: bytes | None
    error: str | None = None


class Held:
    """Pictures by key, the least used of which go first; threads may share it."""

    def __init__(self, most: int = BYTES_HELD) -> None:
        self.most, self.size = most, 0
        self._pictures: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._turn = threading.Lock()

    def get(self, key: tuple[object, ...]) -> bytes | None:
        with self._turn:
            if key in self._pictures:
                self._pictures.move_to_end(key)
            return self._pictures.get(key)

    def put(self, key: tuple[object, ...], picture: bytes) -> None:
        with self._turn:
            self.size -= len(self._pictures.pop(key, b""))
            self._pictures[key] = picture
            self.size += len(picture)
            while self.size > self.most and self._pictures:
                self.size -= len(self._pictures.popitem(last=False)[1])


class Thumbnails:
    """The photos of one folder."""

    def __init__(self, root: Path, held: Held) -> None:
        """Reads nothing yet.

        Args:
            root: the folder.
            held: where pictures are kept; folders may share it.
        """
        self.root, self.held = root, held
        self._decode = PoolOnDemand(Folder(root), SPEC, READ)

    def __call__(self, photos: Sequence[Wanted], side: int = SMALL) -> list[Shown]:
        """The photos, in their order; a photo that failed says why."""
        keys = [(self.root, side, one.image, one.content) for one in photos]
        shown = [Shown(self.held.get(key)) for key in keys]
        for at, one in enumerate(photos):
            if ".." in one.image.split("/"):
                shown[at] = Shown(None, "unreadable: its path leads out of the folder")
        lacking = [at for at, one in enumerate(shown) if one == Shown(None)]
        entries = [{"image": photos[at].image, "size": 0, "modified_ns": None} for at in lacking]
        for at, (record, pixels) in zip(lacking, self._decode(entries), strict=True):
            if pixels is None:
                shown[at] = Shown(None, f"{record.status}: {record.error}")
            else:
                shown[at] = Shown(as_jpeg(pixels, side))
                self.held.put(keys[at], shown[at].jpeg or b"")
        return shown

    def close(self) -> None:
        """Ends its decoding processes."""
        self._decode.close()


def as_jpeg(pixels: np.ndarray, side: int) -> bytes:
    """Pixels, uint8 [height, width, 3], as a JPEG that is no wider and no higher than a side."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
