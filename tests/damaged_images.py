"""Thousands of damaged images, from a seed: what no photo archive should hold, and each does."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from fftag.photos.image_formats import ALLOWED

VARIANTS: list[tuple[str, str, dict[str, Any]]] = [
    ("JPEG", "RGB", {}),
    ("JPEG", "RGB", {"progressive": True, "quality": 95}),
    ("JPEG", "L", {}),
    ("JPEG", "CMYK", {}),
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("PNG", "P", {}),
    ("PNG", "1", {}),
    ("PNG", "I;16", {}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("GIF", "P", {}),
    ("GIF", "P", {"save_all": True}),
    ("TIFF", "RGB", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"compression": "jpeg"}),
    ("TIFF", "1", {"compression": "group4"}),
    ("TIFF", "I;16", {}),
    ("BMP", "RGB", {}),
    ("BMP", "P", {}),
    ("AVIF", "RGB", {}),
]
HUGE = (0, 1, 2, 9_999, 65_535, 100_000, 2**31 - 1, 2**31, 2**32 - 1)
assert {kind for kind, *_ in VARIANTS} == set(ALLOWED)


def whole_images(seed: int) -> list[bytes]:
    """One image of every variant, valid."""
    return list(_whole_images(seed))


@cache
def _whole_images(seed: int) -> list[bytes]:
    noise = np.random.default_rng(seed)
    found = []
    for kind, mode, options in VARIANTS:
        base = Image.fromarray(noise.integers(0, 255, (40, 56, 3), np.uint8))
        if mode == "I;16":
            image = Image.fromarray(noise.integers(0, 65535, (40, 56), np.uint16))
        else:
            image = base.convert(mode)
        extra = {"append_images": [image.rotate(90), image]} if "save_all" in options else {}
        exif = Image.Exif()
        exif[0x0112] = int(noise.integers(1, 9))
        tagged = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}
        buffer = io.BytesIO()
        image.save(buffer, kind, **options, **extra, **tagged)
        found.append(buffer.getvalue())
    return found


def flipped(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(draw.choice((1, 1, 3, 10, 50))):
        broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
    return bytes(broken)


def flipped_in_header(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(draw.choice((1, 2, 8))):
        broken[draw.randrange(min(len(broken), 200))] = draw.choice((0, 255, draw.randrange(256)))
    return bytes(broken)


def truncated(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def holed(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    length = draw.choice((16, 512, 4096, len(data)))
    return data[:start] + bytes(len(data[start : start + length])) + data[start + length :]


def spliced(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    other = draw.choice(others)
    cut = draw.choice((4, 16, 100, len(data) // 2))
    return data[:cut] + other[draw.choice((cut, 0, len(other) // 2)) :]


def shifted(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    if draw.random() < 0.5:
        return data[:at] + data[at + draw.choice((1, 2, 33)) :]
    return data[:at] + draw.randbytes(draw.choice((1, 2, 33))) + data[at:]


def doubled(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    return data + draw.choice((data, draw.choice(others), draw.randbytes(5000)))


def absurd(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """With dimensions that nobody can mean."""
    width, height = draw.choice(HUGE), draw.choice((*HUGE, 40))
    broken = bytearray(data)
    if data.startswith(b"\x89PNG"):
        struct.pack_into(">II", broken, 16, width, height)
        struct.pack_into(">I", broken, 29, zlib.crc32(broken[12:29]))
    elif data.startswith(b"\xff\xd8"):
        frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        struct.pack_into(">HH", broken, frame + 5, height & 0xFFFF, width & 0xFFFF)
    elif data.startswith(b"GIF8"):
        struct.pack_into("<HH", broken, 6, width & 0xFFFF, height & 0xFFFF)
        frame = data.find(b",\0\0\0\0")
        if draw.random() < 0.5 and frame > 0:
            struct.pack_into("<HH", broken, frame + 5, width & 0xFFFF, height & 0xFFFF)
    elif data.startswith(b"BM"):
        struct.pack_into("<II", broken, 18, width, height)
    elif data.startswith(b"RIFF") and data[12:16] == b"VP8 ":
        struct.pack_into("<HH", broken, 26, width & 0xFFFF, height & 0xFFFF)
    else:
        numbers = {b"II": "<I", b"MM": ">I"}.get(data[:2], ">I")
        for old in (56, 40):
            at = data.find(struct.pack(numbers, old))
            if at > 0:
                struct.pack_into(numbers, broken, at, draw.choice(HUGE))
    return bytes(broken)


def no_image(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    length = draw.choice((0, 1, 12, 1000))
    return draw.choice(
        (
            bytes(length),
            b"\xff" * length,
            draw.randbytes(length),
            b"<html>404 Not Found</html>",
            data[: draw.choice((2, 4, 12))] + draw.randbytes(length),
            b"version https://git-lfs.github.com/spec/v1\n",
        )
    )


DAMAGES: list[Callable[[bytes, list[bytes], random.Random], bytes]] = [
    flipped,
    flipped_in_header,
    truncated,
    holed,
    spliced,
    shifted,
    doubled,
    absurd,
    no_image,
]


def damaged_images(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """So many files: names whose suffix is often wrong, and bytes that are damaged in some way.

    Every variant meets every kind of damage in turn.
    """
    draw, whole = random.Random(seed), whole_images(seed)
    for number in range(count):
        kind = VARIANTS[number % len(VARIANTS)][0]
        damage = DAMAGES[number // len(VARIANTS) % len(DAMAGES)]
        content = damage(whole[number % len(VARIANTS)], whole, draw)
        suffix = kind.lower() if draw.random() < 0.7 else draw.choice(("jpg", "png", "txt", "JPEG"))
        yield f"{damage.__name__}-{number:05d}.{suffix}", content
