"""Which formats are read, told by content; and what the bytes of a file say about its end."""

from typing import Literal

from PIL import Image

ALLOWED = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")

Image.init()
READABLE = tuple(name for name in ALLOWED if name in Image.OPEN)
"""Those that the Pillow installed here has a plugin for."""


def format_of(data: bytes) -> str | None:
    """The format that the first bytes announce, one of `ALLOWED`; None for anything else."""
    if data[4:8] == b"ftyp":
        return "AVIF" if data[8:12] in (b"avif", b"avis") else None
    if data[:4] == b"RIFF":
        return "WEBP" if data[8:12] in (b"WEBP", b"") else None
    starts = {
        b"\xff\xd8": "JPEG",
        b"\x89PNG": "PNG",
        b"GIF8": "GIF",
        b"II*\0": "TIFF",
        b"MM\0*": "TIFF",
        b"BM": "BMP",
    }
    return next((name for start, name in starts.items() if data.startswith(start)), None)


def is_cut_short(data: bytes) -> bool:
    """Whether a file that cannot be decoded ends before its format says that it does."""
    match format_of(data):
        case "JPEG":
            return b"\xff\xd9" not in data
        case "PNG":
            return b"IEND" not in data
        case "WEBP":
            return len(data) < 12 or int.from_bytes(data[4:8], "little") + 8 > len(data)
        case "GIF":
            return not data.rstrip(b"\0").endswith(b";")
        case "BMP":
            return len(data) < 14 or int.from_bytes(data[2:6], "little") > len(data)
        case "AVIF":
            return _boxes_end(data) > len(data)
        case "TIFF":
            order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
            return int.from_bytes(data[4:8], order) + 2 > len(data)  # the directory is behind
    return False


def _boxes_end(data: bytes) -> int:
    """Where the boxes of an ISO base media file end, as their sizes say (ISO/IEC 14496-12)."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:  # 0: to the end of the file; others are damaged
            return len(data)
        at += size
    return at if at >= len(data) else len(data) + 1
