"""A share of a source by the hash of each path, for machines that each tag their own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import pyarrow as pa

from fftag.base.errors import FftagError
from fftag.photos.listing import ROWS_AT_ONCE, Listing

GIVEN = re.compile(r"([1-9]\d*)/([1-9]\d*)", re.ASCII)
SETTING = "shard"  # its key among the settings of a tags file
OF_OTHER_SHARDS = "files of other shards"


@dataclass(frozen=True)
class Shard:
    """One of `count` shares of a source.

    A file's shard depends on its path alone, so that a new file moves no other.

    Attributes:
        number: from 1.
        count: of how many.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Reads `2/8`.

        Raises:
            FftagError: it is no such text, or there is no such shard.
        """
        found = GIVEN.fullmatch(text)
        if found is None or int(found[1]) > int(found[2]):
            raise FftagError(
                f"no shard {text!r}: --shard takes I/N, from 1/N to N/N, such as 2/8 for the "
                "second of eight"
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, listing: Listing) -> Listing:
        """The files of a listing that are its own, in the same order."""
        images = listing.files["image"]
        own = np.zeros(len(listing), bool)
        for start in range(0, len(listing), ROWS_AT_ONCE):
            some = images.slice(start, ROWS_AT_ONCE).to_pylist()
            own[start : start + len(some)] = [
                shard_of(image, self.count) == self.number for image in some
            ]
        others = int(len(own) - own.sum())
        left_out = listing.left_out | ({OF_OTHER_SHARDS: others} if others else {})
        return replace(listing, files=listing.files.filter(pa.array(own)), left_out=left_out)


def shard_of(image: str, count: int) -> int:
    """The number, from 1, of a file's shard: the first 8 bytes of its path's SHA-256, big-endian,
    modulo the count."""
    return int.from_bytes(sha256(image.encode()).digest()[:8], "big") % count + 1


def missing(shards: Iterable[Shard]) -> list[Shard]:
    """Those that are not there of the shards that one of them is of."""
    there = set(shards)
    count = next(iter(there)).count
    return [shard for shard in (Shard(i + 1, count) for i in range(count)) if shard not in there]
