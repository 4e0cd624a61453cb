"""One small picture in every variant of each format: TIFF, PNG, BMP, GIF, WebP, AVIF and JPEG.

What a file shows is known before it is written: the samples are worked out from the picture, packed
here or by encoders that are not Pillow's, and checked with decoders that are not Pillow's.
"""

import io
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import imagecodecs
import numpy as np
from PIL import Image

ROWS, COLUMNS = 32, 48
WHITE = 255
COLOURS = np.array(
    [
        *[(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)],
        *[(200, 40, 40), (40, 170, 60), (30, 90, 160), (250, 220, 20), (120, 60, 180)],
        *[(64, 64, 64), (10, 200, 200), (240, 240, 240), (90, 30, 10), (180, 180, 120)],
    ],
    np.uint8,
)
"""16 of them, in tiles of 8 x 8 pixels, so that lossy codecs hardly change them."""


def tiles(values: np.ndarray) -> np.ndarray:
    """[16, ...] -> [ROWS, COLUMNS, ...], every value in a tile or two."""
    places = np.arange(ROWS // 8 * (COLUMNS // 8)).reshape(ROWS // 8, COLUMNS // 8) % len(values)
    return values[places.repeat(8, axis=0).repeat(8, axis=1)]


RGB = tiles(COLOURS)
ALPHA = tiles(np.array([255, 0, 128, 255, 64, 255, 0, 200] * 2, np.uint8))
INDEX = tiles(np.arange(16, dtype=np.uint8))


MIDDLE = np.ix_(
    [row for row in range(ROWS) if row % 8 in (3, 4)],
    [at for at in range(COLUMNS) if at % 8 in (3, 4)],
)


class Variant(NamedTuple):
    """A file, and what it shows.

    Attributes:
        name: words of what makes it a variant.
        data: the file.
        shows: uint8 [ROWS, COLUMNS, 3].
        within: how far pixels may be off, by its depth or its codec; of more than 3, in the middle
            of tiles only, as lossy codecs mix the colours at their borders.
        samples: as stored, for an independent decoder to find them; None where it is not asked.
    """

    name: str
    data: bytes
    shows: np.ndarray
    within: int = 1
    samples: np.ndarray | None = None

    def is_shown_by(self, pixels: np.ndarray) -> bool:
        """Whether uint8 [ROWS, COLUMNS, 3] are what it shows."""
        off = np.abs(pixels.astype(int) - self.shows)
        return int((off if self.within <= 3 else off[MIDDLE]).max()) <= self.within


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """uint8 [..., 3] of colours under alpha, on white."""
    share = alpha[..., None] / 255
    return np.rint(colours * share + WHITE * (1 - share)).astype(np.uint8)


def grey_of(bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples of a grey picture in so many bits, and the RGB that they stand for."""
    most = 2**bits - 1
    values = np.rint(np.linspace(0, 1, 16) * most).astype(np.int64)
    shown = np.rint(values / most * 255).astype(np.uint8)
    return tiles(values), tiles(shown[:, None].repeat(3, axis=1))


def packed(samples: np.ndarray, bits: int, order: str = ">") -> bytes:
    """Samples [rows, ...] in so many bits each, most significant first, rows on whole bytes."""
    flat = samples.reshape(len(samples), -1)
    if bits in (8, 16, 32, 64):
        kind = "f" if samples.dtype.kind == "f" else "u"
        return flat.astype(f"{order}{kind}{bits // 8}", casting="unsafe").tobytes()
    wide = np.unpackbits(flat.astype(">u4").view(np.uint8), axis=1)
    kept = wide.reshape(*flat.shape, 32)[..., 32 - bits :]
    return np.packbits(kept.reshape(len(flat), -1), axis=1).tobytes()


# TIFF (TIFF 6.0, Adobe 1992)

NONE, CCITT, FAX3, FAX4, LZW, JPEG, DEFLATE, PACKBITS, ZSTD = 1, 2, 3, 4, 5, 7, 8, 32773, 50000
COMPRESSIONS: dict[int, tuple[str, Callable[[bytes], bytes]]] = {
    NONE: ("raw", bytes),
    LZW: ("lzw", imagecodecs.lzw_encode),
    DEFLATE: ("deflate", zlib.compress),
    PACKBITS: ("packbits", imagecodecs.packbits_encode),
    ZSTD: ("zstd", imagecodecs.zstd_encode),
}
SHORT, LONG = 3, 4
PHOTOMETRICS = {
    0: "white is zero",
    1: "black is zero",
    2: "rgb",
    3: "palette",
    5: "cmyk",
    6: "ycbcr",
    8: "cielab",
}
FORMATS = {"uint": 1, "int": 2, "float": 3}
NUMBER_BITS = {"int": (8, 16, 32), "float": (16, 32)}
ALPHAS = {None: "", 0: " and a sample", 1: " and alpha (multiplied)", 2: " and alpha"}
SAMPLINGS = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}


def tiff(
    planes: Sequence[bytes],
    bits: Sequence[int],
    photometric: int,
    *,
    order: str = "<",
    compression: int = NONE,
    planar: int = 1,
    tags: dict[int, tuple[int, Sequence[int]]] | None = None,
    strips: int = 1,
) -> bytes:
    """A TIFF of one picture.

    Args:
        planes: of packed rows; one where samples lie side by side. Each is cut into strips, unless
            they are compressed already.
        bits: per sample.
        photometric: see `PHOTOMETRICS`.
        order: `<` or `>`.
        compression: see `COMPRESSIONS`; what is not there is taken as compressed.
        planar: 1 or 2.
        tags: further ones: type and values.
        strips: of each plane.
    """
    encode = COMPRESSIONS.get(compression, ("", bytes))[1]
    pieces = []
    for plane in planes:
        length = len(plane) // strips
        for number in range(strips):
            pieces.append(encode(plane[number * length : (number + 1) * length]))
    body = b"".join(pieces)
    offsets = list(itertools.accumulate((len(one) for one in pieces[:-1]), initial=8))
    entries = {
        256: (LONG, [COLUMNS]),
        257: (LONG, [ROWS]),
        258: (SHORT, bits),
        259: (SHORT, [compression]),
        262: (SHORT, [photometric]),
        273: (LONG, offsets),
        277: (SHORT, [len(bits)]),
        278: (LONG, [ROWS // strips]),
        279: (LONG, [len(one) for one in pieces]),
        284: (SHORT, [planar]),
        **(tags or {}),
    }
    if 322 in entries:
        entries |= {324: entries.pop(273), 325: entries.pop(279)}
        del entries[278]
    body += bytes(len(body) % 2)
    at = 8 + len(body)
    behind = at + 2 + 12 * len(entries) + 4
    directory, values = struct.pack(f"{order}H", len(entries)), b""
    for tag, (kind, numbers) in sorted(entries.items()):
        content = struct.pack(f"{order}{len(numbers)}{'xxxHI'[kind]}", *numbers)
        if len(content) > 4:
            place, content = behind + len(values), content + bytes(len(content) % 2)
            values += content
            content = struct.pack(f"{order}I", place)
        directory += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + content.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}I", at) + body + directory + bytes(4) + values


def lab_of(rgb: np.ndarray) -> np.ndarray:
    """sRGB, uint8 [..., 3] -> CIE L*a*b* (D50) as TIFF has it: L in 255 steps, a and b signed."""
    scaled = rgb / 255
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    matrix = [  # sRGB -> XYZ adapted to D50 (ICC)
        (0.4360747, 0.3850649, 0.1430804),
        (0.2225045, 0.7168786, 0.0606169),
        (0.0139322, 0.0971045, 0.7141733),
    ]
    xyz = linear @ np.transpose(matrix) / (0.96422, 1.0, 0.82521)
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    lab = np.stack([(116 * y - 16) * 2.55, 500 * (x - y), 200 * (y - z)], axis=-1)
    return np.rint(lab).astype(np.int64) % 256


def ycbcr_of(rgb: np.ndarray) -> np.ndarray:
    """RGB -> YCbCr (JFIF), rounded."""
    matrix = [
        (0.299, 0.587, 0.114),
        (-0.168735892, -0.331264108, 0.5),
        (0.5, -0.418687589, -0.081312411),
    ]
    return np.rint(rgb @ np.transpose(matrix) + (0, 128, 128)).clip(0, 255).astype(np.int64)


def _cmyk_of(rgb: np.ndarray) -> np.ndarray:
    return np.concatenate([255 - rgb, np.zeros_like(rgb[..., :1])], axis=2).astype(np.int64)


IN_EIGHT_BITS = {2: np.asarray, 5: _cmyk_of, 6: ycbcr_of, 8: lab_of}
GREY = grey_of(8)[1]


def tiff_variants() -> Iterator[Variant]:
    """Every layout of samples in every depth, order and lossless compression; and some others."""
    for photometric, bits, kind, alpha in itertools.product(
        PHOTOMETRICS, (1, 2, 4, 8, 12, 16, 32), FORMATS, (None, 0, 1, 2)
    ):
        made = _tiff_samples(photometric, bits, alpha)
        if made is None or (kind != "uint" and bits not in NUMBER_BITS[kind]):
            continue
        samples, shows, tags, within = made
        count = samples.shape[2]
        if kind == "float":
            samples = samples / (2**bits - 1)
        tags[339] = (SHORT, [FORMATS[kind]] * count)
        for planar, order, compression in itertools.product(
            (1, 2) if count > 1 else (1,), "<>", COMPRESSIONS
        ):
            planes = [samples] if planar == 1 else np.split(samples, count, axis=2)
            data = tiff(
                [packed(plane, bits, order) for plane in planes],
                [bits] * count,
                photometric,
                order=order,
                compression=compression,
                planar=planar,
                tags=tags,
                strips=2,
            )
            words = [
                f"{PHOTOMETRICS[photometric]}{ALPHAS[alpha]}",
                f"{bits} bits {kind}",
                "planes" if planar == 2 else "chunky",
                {"<": "little", ">": "big"}[order],
                COMPRESSIONS[compression][0],
            ]
            stored = samples if planar == 1 else np.moveaxis(samples, -1, 0)
            yield Variant(f"TIFF, {', '.join(words)}", data, shows, within, stored)
    yield from _other_tiffs()


def _tiff_samples(
    photometric: int, bits: int, alpha: int | None
) -> tuple[np.ndarray, np.ndarray, dict[int, tuple[int, Sequence[int]]], int] | None:
    """Samples [rows, columns, samples], what they show, further tags, and the tolerance."""
    most = 2**bits - 1
    tags: dict[int, tuple[int, Sequence[int]]] = {}
    if photometric in (0, 1):
        samples, shows = grey_of(bits)
        samples = (most - samples if photometric == 0 else samples)[..., None]
    elif photometric == 3 and bits <= 8:
        samples = INDEX[..., None].astype(np.int64) % (most + 1)
        shows = tiles(COLOURS[np.arange(16) % (most + 1)])
        colormap = np.zeros((3, most + 1), np.int64)
        colormap[:, : min(16, most + 1)] = COLOURS[: most + 1].T * np.int64(257)
        tags[320] = (SHORT, colormap.ravel().tolist())
    elif photometric != 3 and bits in (8, 16, 32):
        samples = IN_EIGHT_BITS[photometric](RGB).astype(np.int64) * (most // 255)
        shows = RGB
    else:
        return None
    if photometric == 6:
        tags[530] = (SHORT, (1, 1))  # not subsampled
    within = {6: 3, 8: 6}.get(photometric, 1)
    if alpha is not None:
        if bits < 8 or bits == 12 or (alpha == 1 and photometric not in (1, 2)):
            return None
        tags[338] = (SHORT, [alpha])
        if alpha == 1:  # colours are multiplied by it
            samples = np.rint(samples * (ALPHA / 255)[..., None]).astype(np.int64)
        if alpha:
            shows, within = over_white(shows, ALPHA), within + 2
        more = ALPHA[..., None].astype(np.int64) * (most // 255)
        samples = np.concatenate([samples, more], axis=2)
    return samples, shows, tags, within


def _other_tiffs() -> Iterator[Variant]:
    rgb, grey = packed(RGB, 8), GREY[..., 0].copy()
    three = [8, 8, 8]
    yield Variant(
        "TIFF, bits in reverse", tiff([_reversed(rgb)], three, 2, tags={266: (3, [2])}), RGB
    )
    differences = np.diff(RGB.astype(np.int64), axis=1, prepend=0) % 256
    for compression in (LZW, DEFLATE):
        data = tiff(
            [packed(differences, 8)], three, 2, compression=compression, tags={317: (3, [2])}
        )
        yield Variant(f"TIFF, predicted, {COMPRESSIONS[compression][0]}", data, RGB)
    tags = {322: (3, [16]), 323: (3, [16])}
    squares = [
        packed(RGB[top : top + 16, left : left + 16], 8)
        for top in range(0, ROWS, 16)
        for left in range(0, COLUMNS, 16)
    ]
    for compression in (NONE, DEFLATE):
        data = tiff(squares, three, 2, compression=compression, tags=tags)
        yield Variant(f"TIFF, tiled, {COMPRESSIONS[compression][0]}", data, RGB)
    small = np.zeros((3, 256), np.int64)
    small[:, :16] = COLOURS.T
    data = tiff([packed(INDEX, 8)], [8], 3, tags={320: (3, small.ravel().tolist())})
    yield Variant("TIFF, palette of 8 bits", data, RGB)
    one_bit, shows = grey_of(1)
    for compression in ("tiff_ccitt", "group3", "group4"):
        buffer = io.BytesIO()
        Image.fromarray(one_bit.astype(bool)).save(buffer, "TIFF", compression=compression)
        yield Variant(f"TIFF, fax, {compression}", buffer.getvalue(), shows)
    jpeg = imagecodecs.jpeg8_encode(grey, level=95)
    yield Variant("TIFF, JPEG, grey", tiff([jpeg], [8], 1, compression=JPEG), GREY, 6)
    jpeg = imagecodecs.jpeg8_encode(RGB, level=95, colorspace="RGB", outcolorspace="RGB")
    yield Variant("TIFF, JPEG, rgb", tiff([jpeg], three, 2, compression=JPEG), RGB, 6)
    jpeg = imagecodecs.jpeg8_encode(RGB, lossless=True)
    yield Variant("TIFF, JPEG, lossless", tiff([jpeg], three, 2, compression=JPEG), RGB)
    for sampling, numbers in SAMPLINGS.items():
        jpeg = imagecodecs.jpeg8_encode(RGB, level=95, subsampling=sampling)
        tags = {530: (3, numbers)}
        data = tiff([jpeg], three, 6, compression=JPEG, tags=tags)
        yield Variant(f"TIFF, JPEG, ycbcr {sampling}", data, RGB, 8)
    y, cb, cr = np.moveaxis(ycbcr_of(RGB), -1, 0)
    units = [y[0::2, 0::2], y[0::2, 1::2], y[1::2, 0::2], y[1::2, 1::2], cb[::2, ::2], cr[::2, ::2]]
    data = tiff([packed(np.stack(units, axis=-1), 8)], three, 6, tags={530: (3, (2, 2))})
    yield Variant("TIFF, ycbcr 420, raw", data, RGB, 3)
    five = packed(np.concatenate([RGB, ALPHA[..., None], INDEX[..., None]], axis=2), 8)
    for extra in ((0, 0), (2, 0)):
        shown = over_white(RGB, ALPHA) if extra[0] else RGB
        data = tiff([five], [8] * 5, 2, tags={338: (3, extra)})
        yield Variant(
            f"TIFF, rgb and two samples of kinds {extra[0]} and {extra[1]}", data, shown, 3
        )
    for compression in (6, 34712, 34925, 50001):  # JPEG of old, JPEG 2000, LZMA, WebP
        data = tiff([rgb], three, 2, compression=compression)
        yield Variant(f"TIFF, compression {compression}", data, RGB)
    for kind, name in ((1, "a preview"), (4, "a mask")):
        yield Variant(f"TIFF, {name}", tiff([rgb], three, 2, tags={254: (3, [kind])}), RGB)
    data = tiff([packed(_cmyk_of(RGB), 8)], [8] * 4, 5, tags={332: (3, [2])})
    yield Variant("TIFF, four inks of another kind", data, RGB)


def _reversed(data: bytes) -> bytes:
    return np.packbits(np.unpackbits(np.frombuffer(data, np.uint8)), bitorder="little").tobytes()


# PNG (W3C)

BITS_OF = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PNG_TYPES = {0: "grey", 2: "rgb", 3: "palette", 4: "grey and alpha", 6: "rgb and alpha"}
ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def png(samples: np.ndarray, bits: int, kind: int, more: bytes = b"", interlaced: int = 0) -> bytes:
    """A PNG of samples [rows, columns, samples], with further chunks before the data."""
    header = struct.pack(
        ">IIBBBBB", samples.shape[1], samples.shape[0], bits, kind, 0, 0, interlaced
    )
    passes = (
        [samples[y::down, x::right] for y, x, down, right in ADAM7] if interlaced else [samples]
    )
    rows = [b"\0" + packed(row[None], bits) for part in passes if part.size for row in part]
    body = more + chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def png_variants() -> Iterator[Variant]:
    for kind, depths in BITS_OF.items():
        for bits, transparent, interlaced in itertools.product(depths, (False, True), (0, 1)):
            if transparent and kind >= 4:
                continue
            samples, shows, more = _png_samples(kind, bits, transparent)
            words = [PNG_TYPES[kind], f"{bits} bits"]
            words += ["tRNS"] * transparent + ["interlaced"] * interlaced
            yield Variant(
                f"PNG, {', '.join(words)}", png(samples, bits, kind, more, interlaced), shows, 1
            )


def _png_samples(kind: int, bits: int, transparent: bool) -> tuple[np.ndarray, np.ndarray, bytes]:
    most, more = 2**bits - 1, b""
    if kind in (0, 4):
        samples, shows = grey_of(bits)
        samples = samples[..., None]
        key = samples[8, 16]  # of a tile that is not white
    elif kind == 3:
        samples = INDEX[..., None].astype(np.int64) % (most + 1)
        shows = tiles(COLOURS[np.arange(16) % (most + 1)])
        more = chunk(b"PLTE", COLOURS[: most + 1].tobytes())
    else:
        samples, shows = RGB.astype(np.int64) * (most // 255), RGB
        key = samples[8, 16]
    if kind in (4, 6):
        samples = np.concatenate(
            [samples, ALPHA[..., None].astype(np.int64) * (most // 255)], axis=2
        )
        shows = over_white(shows, ALPHA)
    if transparent and kind == 3:
        opacities = np.array([255, 0, 128, 255, 64, 255, 0, 200] * 2, np.uint8)[: most + 1]
        shows = over_white(shows, opacities[samples[..., 0]])
        more += chunk(b"tRNS", opacities.tobytes())
    elif transparent:
        if bits == 16:  # its neighbour differs in the lower byte alone: it is not transparent
            samples = samples.copy()
            samples[8:16, 20:24] ^= 1
        is_key = (samples == key).all(axis=2)
        shows = np.where(is_key[..., None], np.uint8(WHITE), shows)
        more = chunk(b"tRNS", key.astype(">u2").tobytes())
    return samples, shows, more


# BMP (Microsoft's BITMAPINFOHEADER and its successors)

MASKS = {
    "565": (16, (0xF800, 0x7E0, 0x1F, 0)),
    "555": (16, (0x7C00, 0x3E0, 0x1F, 0)),
    "1555": (16, (0x7C00, 0x3E0, 0x1F, 0x8000)),
    "4444": (16, (0xF00, 0xF0, 0xF, 0xF000)),
    "bgrx": (32, (0xFF0000, 0xFF00, 0xFF, 0)),
    "bgra": (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    "rgba": (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    "rgbx": (32, (0xFF, 0xFF00, 0xFF0000, 0)),
    "101010": (32, (0x3FF00000, 0xFFC00, 0x3FF, 0)),
}
HEADERS = (12, 40, 52, 56, 64, 108, 124)


def bmp(
    rows: list[bytes],
    bits: int,
    header: int = 40,
    compression: int = 0,
    masks: Sequence[int] = (0, 0, 0, 0),
    palette: np.ndarray | None = None,
    top_down: bool = False,
) -> bytes:
    """A BMP of packed rows, given from the top; of what is compressed, all in one."""
    entry = 3 if header == 12 else 4
    colours = (
        b""
        if palette is None
        else b"".join(bytes(one[::-1]).ljust(entry, b"\0") for one in palette)
    )
    if header == 12:
        about = struct.pack("<IHHHH", 12, COLUMNS, ROWS, 1, bits)
    else:
        height = -ROWS if top_down else ROWS
        used = 0 if palette is None else len(palette)
        numbers = (40, COLUMNS, height, 1, bits, compression, 0, 2835, 2835, used, 0)
        about = struct.pack("<IiiHHIIiiII", header, *numbers[1:])
        about = (about + struct.pack("<4I", *masks)[: max(0, header - 40)]).ljust(header, b"\0")
        if header == 40 and compression == 3:
            about += struct.pack("<3I", *masks[:3])
        elif header == 40 and compression == 6:
            about += struct.pack("<4I", *masks)
        if header == 64:
            about = about[:40] + bytes(24)
    padded = [row + bytes(-len(row) % 4) for row in rows] if compression in (0, 3, 6) else rows
    body = b"".join(padded if top_down or len(rows) == 1 else padded[::-1])
    start = 14 + len(about) + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + about + colours + body


def bmp_variants() -> Iterator[Variant]:
    for header, bits, top_down in itertools.product(
        HEADERS, (1, 2, 4, 8, 16, 24, 32), (False, True)
    ):
        if top_down and header == 12:
            continue
        palette, masks = None, (0, 0, 0, 0)
        if bits <= 8:
            palette = COLOURS[: 2**bits]
            samples, shows = INDEX % len(palette), tiles(COLOURS[np.arange(16) % len(palette)])
        elif bits == 16:
            samples, shows = _masked(MASKS["555"][1])
        else:
            samples = RGB[..., ::-1]
            samples = np.concatenate([samples, INDEX[..., None]], axis=2) if bits == 32 else samples
            shows = RGB
        each = 16 if bits == 16 else min(bits, 8)
        rows = [packed(row[None], each, "<") for row in samples]
        data = bmp(rows, bits, header, palette=palette, masks=masks, top_down=top_down)
        words = f"BMP, header of {header}, {bits} bits{', from the top' * top_down}"
        yield Variant(words, data, shows, 1)
    for header, compression, name in itertools.product((40, 52, 56, 108, 124), (3, 6), MASKS):
        bits, masks = MASKS[name]
        if (compression == 6 and header != 40) or (masks[3] and header == 52):
            continue
        if compression == 3 and header == 40 and masks[3]:
            continue
        samples, shows = _masked(masks)
        rows = [packed(row[None], bits, "<") for row in samples]
        data = bmp(rows, bits, header, compression, masks)
        yield Variant(f"BMP, header of {header}, masks {name}, {compression}", data, shows, 3)
    runs = b"".join(
        b"".join(bytes((8, row[left])) for left in range(0, COLUMNS, 8)) + b"\0\0"
        for row in INDEX[::-1]
    )
    data = bmp([runs + b"\0\1"], 8, 40, 1, palette=COLOURS)
    yield Variant("BMP, runs of 8 bits", data, RGB)
    runs = b"".join(
        b"".join(bytes((8, row[left] * 17)) for left in range(0, COLUMNS, 8)) + b"\0\0"
        for row in INDEX[::-1]
    )
    data = bmp([runs + b"\0\1"], 4, 40, 2, palette=COLOURS)
    yield Variant("BMP, runs of 4 bits", data, RGB)


def _masked(masks: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Samples [rows, columns] of the picture by masks of its channels, and what they show."""
    samples = np.zeros((ROWS, COLUMNS), np.int64)
    shows = np.zeros_like(RGB)
    for channel, mask in enumerate(masks):
        if not mask:
            continue
        shift = (mask & -mask).bit_length() - 1
        most = mask >> shift
        values = np.rint((ALPHA if channel == 3 else RGB[..., channel]) / 255 * most).astype(
            np.int64
        )
        samples |= values << shift
        if channel < 3:
            shows[..., channel] = np.rint(values / most * 255)
        else:
            shows = over_white(shows, np.rint(values / most * 255))
    return samples, shows


# GIF (GIF89a)


def gif(
    index: np.ndarray,
    table: np.ndarray,
    *,
    local: bool = False,
    transparent: int | None = None,
    interlaced: bool = False,
    disposal: int = 0,
    at: tuple[int, int] = (0, 0),
    background: int = 0,
    more: bytes = b"",
) -> bytes:
    """A GIF of one picture; `at` is its top left corner on the canvas."""
    power = max(1, int(len(table) - 1).bit_length())
    colours = table.tobytes().ljust(3 << power, b"\0")
    flags = 0xF0 | (0 if local else power - 1)
    head = struct.pack("<HHBBB", COLUMNS, ROWS, flags & (0x70 if local else 0xFF), background, 0)
    control = bytes(
        (0x21, 0xF9, 4, disposal << 2 | (transparent is not None), 0, 0, transparent or 0, 0)
    )
    rows, columns = index.shape
    place = struct.pack("<HHHH", at[1], at[0], columns, rows)
    bits = (0x80 | power - 1 if local else 0) | 0x40 * interlaced
    if interlaced:
        index = np.concatenate([index[0::8], index[4::8], index[2::4], index[1::2]])
    size = max(2, power)
    blocks, codes = b"", _lzw_without_codes(index.tobytes(), size)
    for start in range(0, len(codes), 255):
        blocks += bytes((len(codes[start : start + 255]),)) + codes[start : start + 255]
    picture = b"," + place + bytes((bits,)) + (colours if local else b"") + bytes((size,)) + blocks
    return b"GIF89a" + head + (b"" if local else colours) + control + picture + b"\0" + more + b";"


def _lzw_without_codes(data: bytes, size: int) -> bytes:
    """LZW that clears its table before it would grow, so that codes stay of one width."""
    clear, width = 1 << size, size + 1
    codes, room = [], (1 << size) - 2
    for start in range(0, len(data), room):
        codes += [clear, *data[start : start + room]]
    bits = "".join(f"{code:0{width}b}"[::-1] for code in [*codes, clear + 1])
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def gif_variants() -> Iterator[Variant]:
    for count, local, transparent, interlaced, disposal in itertools.product(
        (2, 4, 16, 256), (False, True), (None, 0, 1), (False, True), (0, 1, 2, 3)
    ):
        table = np.zeros((count, 3), np.uint8)
        table[:16] = COLOURS[:count]
        index = INDEX % min(count, 16)
        shows = table[index]
        if transparent is not None:
            shows = np.where((index == transparent)[..., None], np.uint8(WHITE), shows)
        words = [f"{count} colours", "local" if local else "global"]
        words += [f"transparent {transparent}"] if transparent is not None else []
        words += ["interlaced"] * interlaced + [f"disposal {disposal}"] * (disposal > 0)
        data = gif(
            index,
            table,
            local=local,
            transparent=transparent,
            interlaced=interlaced,
            disposal=disposal,
        )
        yield Variant(f"GIF, {', '.join(words)}", data, shows)
    part = INDEX[8:24, 8:40]
    shows = np.full_like(RGB, WHITE)
    shows[8:24, 8:40] = COLOURS[part]
    for background, transparent in itertools.product((0, 3), (None, 15)):
        data = gif(part, COLOURS, at=(8, 8), background=background, transparent=transparent)
        shown = shows.copy()
        shown[8:24, 8:40] = np.where(
            (part == transparent)[..., None], np.uint8(WHITE), COLOURS[part]
        )
        yield Variant(
            f"GIF, smaller than its canvas, background {background}, transparent {transparent}",
            data,
            shown,
        )
    grey = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
    yield Variant("GIF, grey", gif(GREY[..., 0], grey), GREY)
    second = gif(INDEX[::-1], COLOURS)
    second = second[second.index(b"!\xf9") : -1]
    yield Variant("GIF, animated", gif(INDEX, COLOURS, more=second), RGB)


# WebP and AVIF, by the encoders of imagecodecs and, where those cannot, of Pillow


def webp_variants() -> Iterator[Variant]:
    rgba = np.concatenate([RGB, ALPHA[..., None]], axis=2)
    flat = over_white(RGB, ALPHA)
    yield Variant("WebP, lossless", imagecodecs.webp_encode(RGB, lossless=True), RGB)
    yield Variant("WebP, lossy", imagecodecs.webp_encode(RGB, level=95), RGB, 8)
    yield Variant("WebP, lossless, alpha", imagecodecs.webp_encode(rgba, lossless=True), flat)
    yield Variant("WebP, lossy, alpha", imagecodecs.webp_encode(rgba, level=95), flat, 8)
    for lossless in (True, False):
        frames = [Image.fromarray(one) for one in (rgba, rgba[::-1])]
        buffer = io.BytesIO()
        frames[0].save(
            buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=lossless, quality=95
        )
        yield Variant(
            f"WebP, animated, {'lossless' if lossless else 'lossy'}", buffer.getvalue(), flat, 8
        )


def avif_variants() -> Iterator[Variant]:
    for bits, sampling, alpha in itertools.product(
        (8, 10, 12), ("444", "422", "420", "400"), (False, True)
    ):
        most = 2**bits - 1
        picture = GREY if sampling == "400" else RGB
        samples = picture[..., :1] if sampling == "400" else picture
        if alpha:
            samples = np.concatenate([samples, ALPHA[..., None]], axis=2)
        scaled = np.rint(samples / 255 * most).astype(np.uint8 if bits == 8 else np.uint16)
        scaled = scaled[..., 0] if scaled.shape[2] == 1 else scaled
        data = imagecodecs.avif_encode(
            scaled, level=95, speed=9, bitspersample=bits, pixelformat=sampling
        )
        shows = over_white(picture, ALPHA) if alpha else picture
        words = f"AVIF, {bits} bits, {sampling}{', alpha' * alpha}"
        yield Variant(words, data, shows, 8)


# JPEG


def jpeg_variants() -> Iterator[Variant]:
    yield Variant("JPEG, grey", imagecodecs.jpeg8_encode(GREY[..., 0].copy(), level=95), GREY, 6)
    for sampling in (*SAMPLINGS, "440", "411"):
        data = imagecodecs.jpeg8_encode(RGB, level=95, subsampling=sampling)
        yield Variant(f"JPEG, ycbcr {sampling}", data, RGB, 8)
    data = imagecodecs.jpeg8_encode(RGB, level=95, colorspace="RGB", outcolorspace="RGB")
    yield Variant("JPEG, rgb", data, RGB, 6)
    extended = imagecodecs.jpeg8_encode(RGB, level=95, subsampling="444")
    yield Variant("JPEG, extended", extended.replace(b"\xff\xc0", b"\xff\xc1", 1), RGB, 8)
    inks = 255 - _cmyk_of(RGB).astype(np.uint8)
    data = imagecodecs.jpeg8_encode(inks, level=95, colorspace="CMYK", outcolorspace="YCCK")
    yield Variant("JPEG, ycck of Adobe", data, RGB, 8)
    at = data.index(b"\xff\xee")
    unsaid = data[:at] + data[at + 16 :]
    yield Variant("JPEG, cmyk of nobody", unsaid, RGB)
    for name, options in (
        ("progressive", {"progressive": True}),
        ("optimized", {"optimize": True}),
    ):
        buffer = io.BytesIO()
        Image.fromarray(RGB).save(buffer, "JPEG", quality=95, subsampling=0, **options)
        yield Variant(f"JPEG, {name}", buffer.getvalue(), RGB, 8)
    inverted = 255 - _cmyk_of(RGB).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(255 - inverted, "CMYK").save(buffer, "JPEG", quality=95)
    yield Variant("JPEG, cmyk of Adobe", buffer.getvalue(), RGB, 8)
    lossless = imagecodecs.jpeg8_encode(RGB, lossless=True)
    yield Variant("JPEG, lossless, rgb", lossless, RGB)
    lossless = imagecodecs.jpeg8_encode(GREY[..., 0].copy(), lossless=True)
    yield Variant("JPEG, lossless, grey", lossless, GREY)
    twelve, shows = grey_of(12)
    data = imagecodecs.jpeg8_encode(twelve.astype(np.uint16), level=95, bitspersample=12)
    yield Variant("JPEG, 12 bits", data, shows, 6)
    yield Variant("JPEG, JPEG-LS", imagecodecs.jpegls_encode(RGB), RGB)


def variants() -> list[Variant]:
    """All of them."""
    kinds = (
        tiff_variants,
        png_variants,
        bmp_variants,
        gif_variants,
        webp_variants,
        avif_variants,
        jpeg_variants,
    )
    return [one for kind in kinds for one in kind()]
