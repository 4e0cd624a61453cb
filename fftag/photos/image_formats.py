"""What the bytes of a file say before anything decodes them.

That is its format, whether it is of a kind that comes out right, where its picture lies, and
whether the file ends before it.

Decoders are given the picture alone, put together anew from the parts that were understood here:
metadata is kept from them, as its damage would cost the picture, and so is what is hidden between
the parts.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

ALLOWED = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
DECODER_REVISIONS = dict.fromkeys(ALLOWED, 1)
"""Raised for a format by whoever changes what comes out of its files: pixels, size, the moment a
photo was taken, or whether it fails. The next run reads its photos again, and what failed.
`tests/photos/test_decoder_revisions.py` notices some such changes."""

Image.init()
READABLE = tuple(name for name in ALLOWED if name in Image.OPEN)
"""Those that the Pillow installed here has a plugin for."""


class UnsupportedError(Exception):
    """A file that may be sound, of a kind that is not read."""


@dataclass(frozen=True)
class Picture:
    """What is to be decoded, and what is known of it.

    Attributes:
        format: one of `ALLOWED`.
        data: the picture alone, as a file of that format.
        exif: its EXIF block, as it was found; nothing where there is none.
        xmp: likewise.
        size: width and height as stored, in pixels; of a JPEG only.
        components: of a pixel, of a JPEG only.
        transparent: the one colour that a PNG has transparent, as stored: a sample of each channel.
    """

    format: str
    data: bytes
    exif: bytes = b""
    xmp: bytes = b""
    size: tuple[int, int] = (0, 0)
    components: int = 0
    transparent: tuple[int, ...] = ()


def format_of(data: bytes) -> str | None:
    """The format that the first bytes announce, one of `ALLOWED`; None for anything else."""
    if data[4:8] == b"ftyp":
        brands = data[8 : min(int.from_bytes(data[:4], "big"), 512)]
        return "AVIF" if any(brand in brands for brand in (b"avif", b"avis")) else None
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


def picture_of(data: bytes) -> Picture:
    """The picture of a file.

    Raises:
        UnsupportedError: the file is of a format or of a kind that is not read.
        ValueError, IndexError, struct.error: it is damaged, or ends too early.
    """
    match format_of(data):
        case None:
            raise UnsupportedError(f"not an image of a known format ({', '.join(ALLOWED)})")
        case name if name not in READABLE:
            raise UnsupportedError(f"{name}, which the Pillow installed cannot read")
        case "JPEG":
            return _jpeg(data)
        case "PNG":
            return _png(data)
        case "WEBP":
            return _webp(data)
        case "TIFF":
            return _tiff(data)
        case "BMP":
            _check_bmp(data)
            return Picture("BMP", data)
        case name:
            return Picture(name, data)


def is_cut_short(data: bytes) -> bool:
    """Whether a file that cannot be decoded ends before its format says that it does."""
    try:
        match format_of(data):
            case "JPEG":
                *_, (_, scan) = _jpeg_segments(data)
                return data.find(b"\xff\xd9", scan) < 0
            case "PNG":
                return b"IEND\xaeB`\x82" not in data
            case "WEBP":
                return len(data) < 12 or int.from_bytes(data[4:8], "little") + 8 > len(data)
            case "GIF":
                return _gif_ends_early(data)
            case "BMP":
                return _bmp_end(data) > len(data)
            case "AVIF":
                return _boxes_end(data) > len(data)
            case "TIFF":
                return _directory(data).end > len(data)
    except (IndexError, struct.error):
        return True  # it ends within a number or a name
    except ValueError:
        return False
    return False


# JPEG (ITU-T T.81)

FRAMES = {*range(0xC0, 0xD0), 0xDE, 0xF7} - {0xC4, 0xC8, 0xCC}
READ_FRAMES = (0xC0, 0xC1, 0xC2)
SCAN = 0xDA
WITHOUT_LENGTH = (0x00, 0x01, *range(0xD0, 0xD8))
JFIF, EXIF_OR_XMP, ICC, ADOBE, COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
EXIF_START, XMP_START, ICC_START = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Each marker up to that of the first scan, and where what follows it begins: its length.

    Raises:
        IndexError: the file ends before.
        ValueError: it has no scan.
    """
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            raise IndexError("the file ends before its picture")
        while data[at] == 0xFF:
            at += 1
        marker, at = data[at], at + 1
        if marker in WITHOUT_LENGTH:
            continue
        if marker in (0xD8, 0xD9):
            raise ValueError("no picture stands before the mark of an end or a start")
        length = data[at] << 8 | data[at + 1]
        if length < 2:
            raise ValueError("a segment is shorter than its own length")
        yield marker, at
        if marker == SCAN:
            return
        at += length


def _jpeg(data: bytes) -> Picture:
    kept, profile = [b"\xff\xd8"], []
    exif = xmp = b""
    frame, is_adobe = b"", False
    for marker, at in _jpeg_segments(data):
        if marker == SCAN:
            break
        content = data[at + 2 : at + (data[at] << 8 | data[at + 1])]
        segment = b"\xff" + data[at - 1 : at + 2] + content
        if marker in FRAMES:
            if marker not in READ_FRAMES:
                raise UnsupportedError(f"a JPEG whose coding (marker {marker:X}) is not read")
            if frame:
                raise ValueError("a JPEG of two frames")
            frame = content
        elif marker == EXIF_OR_XMP:
            if content.startswith(EXIF_START):
                exif += content[6:]
            elif content.startswith(XMP_START):
                xmp = content
            continue
        elif marker == ICC:
            if content.startswith(ICC_START) and len(content) > 14:
                profile.append(segment)
            continue
        elif marker == ADOBE:
            if not content.startswith(b"Adobe") or len(content) < 12:
                continue
            is_adobe = True
        elif marker == JFIF:
            if not content.startswith(b"JFIF\0") or len(content) < 14:
                continue
        elif JFIF < marker < 0xF0 or marker == COMMENT:
            continue
        kept.append(segment)
    depth, height, width, components = struct.unpack_from(">BHHB", frame)
    if depth != 8:
        raise UnsupportedError(f"a JPEG of {depth} bits")
    if components not in (1, 3, 4) or (components == 4 and not is_adobe):
        raise UnsupportedError(f"a JPEG of {components} components that do not say what they are")
    if not height:
        raise UnsupportedError("a JPEG whose height follows its picture")
    if components == 4:  # of others the profile is not applied
        kept[1:1] = profile
    kept.append(data[at - 2 :])
    return Picture("JPEG", b"".join(kept), exif, xmp, (width, height), components)


# PNG (third edition, W3C)

PNG_START = b"\x89PNG\r\n\x1a\n"
CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
XMP_TEXT = b"XML:com.adobe.xmp\0"
GREY, TRUE_COLOUR, PALETTE = 0, 2, 3


def _png(data: bytes) -> Picture:
    kept = [PNG_START]
    about: dict[bytes, bytes] = {}
    at = len(PNG_START)
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        whole = data[at : at + 12 + length]
        at += len(whole)
        content = whole[8 : 8 + length]
        is_sound = whole[8 + length :] == struct.pack(">I", zlib.crc32(whole[4 : 8 + length]))
        is_cut = len(whole) < 12 + length
        if name in CRITICAL:
            if not (is_sound or is_cut):
                raise ValueError(f"the checksum of a {name.decode()} chunk is wrong")
            kept.append(whole)
            about[name] = content
        elif is_sound and name[:1].isupper():
            raise UnsupportedError(f"a PNG with chunks of a kind that is not known ({name!r})")
        elif is_sound:
            if name == b"iTXt" and content.startswith(XMP_TEXT):
                name = XMP_TEXT
            about.setdefault(name, content)
            if name == b"tRNS" and about[b"IHDR"][9] == PALETTE:
                kept.append(whole)
        if name == b"IEND":
            break
    _, _, depth, colour = struct.unpack_from(">IIBB", about.get(b"IHDR", b""))
    key = about.get(b"tRNS", b"") if colour in (GREY, TRUE_COLOUR) else b""
    if key and depth == 16 and colour == TRUE_COLOUR:
        raise UnsupportedError("a PNG of 16 bits with one colour that is transparent")
    return Picture(
        "PNG",
        b"".join(kept),
        about.get(b"eXIf", b""),
        about.get(XMP_TEXT, b""),
        transparent=_key(key, depth, colour),
    )


def _key(content: bytes, depth: int, colour: int) -> tuple[int, ...]:
    """The samples of a tRNS chunk as Pillow has them: of up to 8 bits in 8."""
    if len(content) != (2 if colour == GREY else 6):
        return ()
    most = 2**depth - 1
    samples = struct.unpack(f">{len(content) // 2}H", content)
    return tuple((sample & most) * (255 // most if depth < 8 else 1) for sample in samples)


# WebP (RFC 9649)

OF_A_PICTURE = (b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L")
METADATA_FLAGS = 0x20 | 0x08 | 0x04  # of VP8X: a profile, EXIF and XMP follow


def _webp(data: bytes) -> Picture:
    kept: list[bytes] = []
    metadata: dict[bytes, bytes] = {}
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise ValueError("the file is shorter than it says")  # how to turn it stands at its end
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        whole = data[at : at + 8 + length + length % 2]
        at += len(whole)
        if name in OF_A_PICTURE:
            if name == b"VP8X" and length:
                whole = whole[:8] + bytes((whole[8] & ~METADATA_FLAGS,)) + whole[9:]
            kept.append(whole)
        else:
            metadata.setdefault(name, whole[8 : 8 + length])
    body = b"WEBP" + b"".join(kept)
    picture = b"RIFF" + struct.pack("<I", len(body)) + body
    return Picture("WEBP", picture, metadata.get(b"EXIF", b""), metadata.get(b"XMP ", b""))


# GIF (GIF89a)


def _gif_ends_early(data: bytes) -> bool:
    at = 13 + _gif_table(data[10])
    while data[at] != ord(";"):
        if data[at] == ord(","):
            at += 11 + _gif_table(data[at + 9])
        elif data[at] == ord("!"):
            at += 2
        else:
            return False  # damaged
        while data[at]:
            at += 1 + data[at]
        at += 1
    return False


def _gif_table(flags: int) -> int:
    """Bytes of a table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


# BMP (Microsoft's BITMAPINFOHEADER, its predecessor and successors)

BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
RAW, RUNS_OF_8, RUNS_OF_4, MASKS = range(4)
READ_BMPS = {
    *((bits, RAW) for bits in (1, 4, 8, 16, 24, 32)),
    (8, RUNS_OF_8),
    (4, RUNS_OF_4),
    (16, MASKS),
    (32, MASKS),
}
READ_MASKS = {
    (16, 0xF800, 0x7E0, 0x1F, 0),
    (16, 0x7C00, 0x3E0, 0x1F, 0),
    (32, 0xFF0000, 0xFF00, 0xFF, 0),
    (32, 0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    (32, 0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    (32, 0xFF000000, 0xFF0000, 0xFF00, 0),
    (32, 0xFF000000, 0xFF0000, 0xFF00, 0xFF),
}


def _bmp_header(data: bytes) -> tuple[int, int, int, int, int]:
    """Size of the header, width, height, bits of a pixel, compression."""
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        return size, width, height, bits, RAW
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    return size, width, abs(height), bits, compression


def _check_bmp(data: bytes) -> None:
    size, _, _, bits, compression = _bmp_header(data)
    if size < BMP_HEADERS[0]:
        raise ValueError("the image header is damaged")
    if size not in BMP_HEADERS or (bits, compression) not in READ_BMPS:
        raise UnsupportedError(
            f"a BMP of {bits} bits, compression {compression} and a header of {size} bytes"
        )
    if compression == MASKS:
        masks = struct.unpack_from("<4I", data, 54)
        if size in (40, 52):
            masks = (*masks[:3], 0)
        if (bits, *masks) not in READ_MASKS or size == 64:
            raise UnsupportedError(f"a BMP with masks {', '.join(f'{mask:x}' for mask in masks)}")


def _bmp_end(data: bytes) -> int:
    """Where a BMP ends, as its header says."""
    _, width, height, bits, compression = _bmp_header(data)
    if compression in (RAW, MASKS):
        (start,) = struct.unpack_from("<I", data, 10)
        return start + (width * bits + 31) // 32 * 4 * height
    return struct.unpack_from("<I", data, 2)[0]


# TIFF (TIFF 6.0, Adobe)

NUMBERS = {1: "B", 3: "H", 4: "I"}  # of the types that a number may have
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIPS, SAMPLES, STRIP_LENGTHS, PLANAR, PREDICTOR = 273, 277, 279, 284, 317
COLOURS, TILES, TILE_LENGTHS, INKS, EXTRA, SAMPLE_FORMAT = 320, 324, 325, 332, 338, 339
PROFILE, REDUCED, JPEG_TABLES = 34675, 254, 347
OF_A_TIFF = (
    *(WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIPS, SAMPLES, 278, STRIP_LENGTHS, PLANAR),
    *(292, 293, PREDICTOR, COLOURS, 322, 323, TILES, TILE_LENGTHS, EXTRA, SAMPLE_FORMAT),
    *(JPEG_TABLES, 530, PROFILE),
)
"""Tags that the pixels depend on; 278 are rows of a strip, 292 and 293 options of fax, 322 and 323
the sides of a tile, 530 the subsampling of JPEG."""
JPEG_IN_TIFF, FAX = 7, (2, 3, 4)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, INDEXED, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
NO_MORE: set[tuple[int, ...]] = {()}  # samples than the colours'
ONE_MORE: set[tuple[int, ...]] = {(), (0,), (2,)}  # 0 is anything, 1 and 2 are alpha
READ_TIFFS: dict[tuple[int, int], set[tuple[int, ...]]] = {
    **{(WHITE_IS_ZERO, bits): NO_MORE for bits in (1, 2, 4, 8)},
    **{(BLACK_IS_ZERO, bits): NO_MORE for bits in (1, 2, 4, 16)},
    **{(INDEXED, bits): NO_MORE for bits in (1, 2, 4)},
    (BLACK_IS_ZERO, 8): ONE_MORE,
    (INDEXED, 8): ONE_MORE,
    (RGB, 8): ONE_MORE | {(1,), (0, 0), (1, 0), (2, 0)},
    (RGB, 16): ONE_MORE | {(1,)},
    (CMYK, 8): {(), (0,)},
    (CMYK, 16): NO_MORE,
    (YCBCR, 8): NO_MORE,
}
READ_COMPRESSIONS = (1, *FAX, 5, JPEG_IN_TIFF, 8, 32773, 32946, 50000)
COLOURS_OF = {RGB: 3, CMYK: 4, YCBCR: 3}  # of the others one
IN_PLANES = {(RGB, 8, ()), (RGB, 8, (2,)), (CMYK, 8, ())}


@dataclass(frozen=True)
class _Directory:
    """The first directory of a TIFF, as far as the pixels depend on it.

    Attributes:
        order: of its bytes, as `struct` has it.
        numbers: of each tag.
        entries: of each tag, as they stand there.
        end: of the last of what it points at.
    """

    order: str
    numbers: dict[int, tuple[int, ...]]
    entries: dict[int, bytes]
    end: int


def _directory(data: bytes) -> _Directory:
    """Raises struct.error where it lies behind the end."""
    order = "<" if data[:1] == b"I" else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    numbers: dict[int, tuple[int, ...]] = {}
    entries: dict[int, bytes] = {}
    ends = [start + 2 + 12 * count]
    for at in range(start + 2, ends[0], 12):
        tag, kind, length, place = struct.unpack_from(f"{order}HHII", data, at)
        if tag not in (*OF_A_TIFF, FILL_ORDER, INKS, REDUCED):
            continue
        entries[tag] = data[at : at + 12]
        if kind in NUMBERS:
            form = f"{order}{length}{NUMBERS[kind]}"
            inside = struct.calcsize(form) <= 4
            numbers[tag] = struct.unpack_from(form, data, at + 8 if inside else place)
        elif tag == JPEG_TABLES:
            ends.append(place + length)
    ends += [place + length for place, length in _parts(numbers)]
    return _Directory(order, numbers, entries, max(ends))


def _parts(numbers: dict[int, tuple[int, ...]]) -> Iterator[tuple[int, int]]:
    """Where each strip or tile begins, and its length."""
    for places, lengths in ((STRIPS, STRIP_LENGTHS), (TILES, TILE_LENGTHS)):
        yield from zip(numbers.get(places, ()), numbers.get(lengths, ()), strict=False)


def _tiff(data: bytes) -> Picture:
    found = _directory(data)
    order, numbers, entries = found.order, found.numbers, found.entries
    _check_tiff(numbers)
    if found.end > len(data):
        raise ValueError("a part of the picture lies behind the end of the file")
    if numbers.get(COMPRESSION) == (JPEG_IN_TIFF,):
        for place, length in _parts(numbers):
            _jpeg(data[place : place + length])  # of a coding that is read, or it says so
    more = b"" if len(data) % 2 == 0 else b"\0"
    if COLOURS in numbers and max(numbers[COLOURS]) < 256:  # written in 8 bits, against the rule
        colours = [257 * number for number in numbers[COLOURS]]
        entries[COLOURS] = struct.pack(
            f"{order}HHII", COLOURS, 3, len(colours), len(data) + len(more)
        )
        more += struct.pack(f"{order}{len(colours)}H", *colours)
    is_cmyk = numbers.get(PHOTOMETRIC) == (CMYK,)  # of others the profile is not applied
    wanted = set(OF_A_TIFF) - (set() if is_cmyk else {PROFILE})
    kept = [entry for tag, entry in sorted(entries.items()) if tag in wanted]
    start = struct.pack(f"{order}I", len(data) + len(more))
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)
    picture = data[:4] + start + data[8:] + more + directory
    return Picture("TIFF", picture, data)


def _check_tiff(numbers: dict[int, tuple[int, ...]]) -> None:
    """Raises UnsupportedError unless a TIFF is of a kind that is known to come out right."""

    def one(tag: int, default: int) -> int:
        return numbers.get(tag, (default,))[0]

    samples, compression, photometric = one(SAMPLES, 1), one(COMPRESSION, 1), one(PHOTOMETRIC, 0)
    depths, more = set(numbers.get(BITS, (1,))), numbers.get(EXTRA, ())
    bits = min(depths)
    planes = one(PLANAR, 1) if samples > 1 else 1
    is_read = (
        len(depths) == 1
        and more in READ_TIFFS.get((photometric, bits), set())
        and samples == COLOURS_OF.get(photometric, 1) + len(more)
        and (planes == 1 or (photometric, bits, more) in IN_PLANES)
        and compression in READ_COMPRESSIONS
        and set(numbers.get(SAMPLE_FORMAT, (1,))) == {1}
        and one(FILL_ORDER, 1) == 1
        and one(INKS, 1) == 1
    )
    match compression:
        case 2 | 3 | 4:
            is_read &= bits == 1
        case 7:
            is_read &= bits == 8 and planes == 1 and photometric in (BLACK_IS_ZERO, RGB, YCBCR)
        case _:
            is_read &= photometric != YCBCR
    if one(REDUCED, 0) & 0b101:
        raise UnsupportedError("a TIFF whose first picture is a preview or a mask of another")
    if not is_read:
        raise UnsupportedError(
            f"a TIFF of {bits} bits, photometric interpretation {photometric}, {samples} samples "
            f"and compression {compression}, of a kind that is not read"
        )


# AVIF (an ISO base media file, ISO/IEC 14496-12)

EXIF_OR_XMP_ITEM = re.compile(rb"(infe[\2\3].{7,9})(Exif|mime)", re.DOTALL)


def without_avif_metadata(data: bytes) -> bytes:
    """The same picture, its EXIF and XMP no longer named as such."""
    return EXIF_OR_XMP_ITEM.sub(rb"\1free", data)


def _boxes_end(data: bytes) -> int:
    """Where the boxes of an ISO base media file end, as their sizes say."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:  # 0: to the end of the file; others are damaged
            return len(data)
        at += size
    return at if at >= len(data) else len(data) + 1
