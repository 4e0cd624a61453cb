"""Damaged, large or strange metadata cost no picture, and what is sound beside them is heeded."""

import base64
import io
import random
import struct
import zlib

import numpy as np
import pytest
from damaged_images import VARIANTS, whole_images
from image_variants import COLUMNS, RGB, ROWS, chunk, jpeg_variants, png, tiff
from PIL import Image

from fftag.photos.decode import Failure, InputSpec, Limits, Photo, decode

SPEC = InputSpec(ROWS, COLUMNS)
TURNED = b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"  # EXIF: turn it to the right
MANY = zlib.compress(bytes(3 * 2**20))


def photo(data: bytes) -> Photo:
    found = decode(data, SPEC)
    assert isinstance(found, Photo), found
    return found


def damaged(name: bytes, content: bytes) -> bytes:
    return chunk(name, content)[:-1] + b"!"


PLAIN_PNG = png(RGB, 8, 2)
CHUNKS = {
    "a wrong checksum": damaged(b"tEXt", b"a\0b"),
    "a profile with a wrong checksum": damaged(b"iCCP", b"a\0\0" + zlib.compress(b"profile")),
    "a large profile": chunk(b"iCCP", b"a\0\0" + MANY),
    "a profile compressed otherwise": chunk(b"iCCP", b"a\0\7" + MANY),
    "a profile without a name": chunk(b"iCCP", b""),
    "a large deflated text": chunk(b"zTXt", b"a\0\0" + MANY),
    "a text deflated otherwise": chunk(b"zTXt", b"a\0\7" + MANY),
    "a large international text": chunk(b"iTXt", b"a\0\1\0\0\0" + MANY),
    "an international text deflated otherwise": chunk(b"iTXt", b"a\0\1\7\0\0" + MANY),
    "texts without end": b"".join(chunk(b"zTXt", b"a\0\0" + MANY) for _ in range(30)),
    "an empty text": chunk(b"tEXt", b"") + chunk(b"zTXt", b"") + chunk(b"iTXt", b""),
    "a short gamma": chunk(b"gAMA", b"\1"),
    "short chromaticities": chunk(b"cHRM", b"\1\2\3"),
    "no intent": chunk(b"sRGB", b""),
    "a short density": chunk(b"pHYs", b"\1\2"),
    "a broken EXIF block": chunk(b"eXIf", b"II*\0\xff\xff\xff\x7f"),
    "a damaged EXIF block": damaged(b"eXIf", TURNED),
    "a short animation": chunk(b"acTL", b"\1") + chunk(b"fcTL", b"\2"),
    "a chunk of nobody's": chunk(b"abCd", bytes(5000)),
    "a profile by another name in text": chunk(b"zTXt", b"Raw profile type exif\0\0" + MANY),
}


@pytest.mark.parametrize("name", CHUNKS)
def test_chunks_beside_the_picture_of_a_png(name: str) -> None:
    before = png(RGB, 8, 2, CHUNKS[name])
    behind = PLAIN_PNG[:-12] + CHUNKS[name] + PLAIN_PNG[-12:]
    turned = png(RGB, 8, 2, CHUNKS[name] + chunk(b"eXIf", TURNED))
    for data in (before, behind):
        assert np.array_equal(photo(data).pixels, RGB)
    if "EXIF" not in name:
        assert (photo(turned).width, photo(turned).height) == (ROWS, COLUMNS)


def test_a_damaged_checksum_of_the_picture_is_a_failure() -> None:
    for name in (b"IHDR", b"IDAT"):
        at = PLAIN_PNG.index(name)
        (length,) = struct.unpack_from(">I", PLAIN_PNG, at - 4)
        end = at + 4 + length
        broken = PLAIN_PNG[:end] + b"\0\0\0\0" + PLAIN_PNG[end + 4 :]
        found = decode(broken, SPEC)
        assert isinstance(found, Failure) and found.status == "unreadable", name


def test_a_png_that_cannot_be_understood_without_a_chunk_of_nobody_s_is_unsupported() -> None:
    found = decode(png(RGB, 8, 2, chunk(b"CgBI", bytes(4))), SPEC)
    assert isinstance(found, Failure) and found.status == "unsupported"


@pytest.mark.parametrize(
    ("data", "first_row"),
    [
        (
            "iVBORw0KGgoAAAANSUhEUgAAAAgAAAACEAAAAAAQbx5yAAAAAnRSTlMAAHaTzTgAAAAOSURBVHicY2BAB6FoAAAt"
            "SgVRvfrZbwAAAABJRU5ErkJggg==",
            [255] * 8,
        ),
        (
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAAA3RFWHRhAGLcSaI6AAAADElEQVR4nGP4z8AAAAMB"
            "AQDJ/pLvAAAAAElFTkSuQmCC",
            [255],
        ),
    ],
)
def test_pngs_that_were_met(data: str, first_row: list[int]) -> None:
    width = len(first_row)
    found = decode(base64.b64decode(data), InputSpec(3 - width if width < 3 else 2, width))
    assert isinstance(found, Photo) and found.pixels[0, :, 0].tolist() == first_row


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


SEGMENTS = {
    **{f"an empty APP{number}": segment(0xE0 + number, b"") for number in range(16)},
    **{f"junk in APP{number}": segment(0xE0 + number, b"\xff" * 300) for number in range(16)},
    **{f"APP{number} of one byte": segment(0xE0 + number, b"E") for number in (0, 1, 2, 13, 14)},
    "a short JFIF": segment(0xE0, b"JFIF\0\1"),
    "a short Adobe": segment(0xEE, b"Adobe\0"),
    "a profile without numbers": segment(0xE2, b"ICC_PROFILE\0"),
    "one half of a profile": segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(50)),
    "a profile of junk": segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(500)),
    "broken pictures of several": segment(0xE2, b"MPF\0II*\0\xff\xff\xff\x7f"),
    "a broken Photoshop block": segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\xff\xff\xff\xff"),
    "a broken EXIF block": segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\x7f"),
    "an empty EXIF block": segment(0xE1, b"Exif\0\0"),
    "broken XMP": segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation="'),
    "comments": segment(0xFE, b"c" * 65_000) * 40 + segment(0xFE, b""),
    "a thumbnail of another coding": segment(0xE1, b"Exif\0\0\xff\xd8" + segment(0xC3, bytes(9))),
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_segments_beside_the_picture_of_a_jpeg(name: str) -> None:
    for one in jpeg_variants():
        whole = decode(one.data, SPEC)
        if not isinstance(whole, Photo):
            continue
        with_it = one.data[:2] + SEGMENTS[name] + one.data[2:]
        assert np.array_equal(photo(with_it).pixels, whole.pixels), one.name
        if "EXIF" not in name and one.name == "JPEG, grey":
            turned = photo(with_it[:2] + segment(0xE1, b"Exif\0\0" + TURNED) + with_it[2:])
            assert (turned.width, turned.height) == (ROWS, COLUMNS)


def with_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    """A WebP with one chunk more, behind its picture."""
    body = data[8:] + name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("name", [b"EXIF", b"XMP ", b"ICCP", b"nil?"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 33, b"II*\0\xff\xff\xff\x7f", bytes(2**21)])
def test_chunks_beside_the_picture_of_a_webp(name: bytes, content: bytes) -> None:
    for kind, whole in zip(VARIANTS, whole_images(5), strict=True):
        if kind[0] == "WEBP":
            untouched = decode(without_exif(whole), SPEC)
            assert isinstance(untouched, Photo)
            found = photo(with_chunk(without_exif(whole), name, content))
            assert np.array_equal(found.pixels, untouched.pixels)


def without_exif(data: bytes) -> bytes:
    body = data[8 : data.rindex(b"EXIF")]
    return b"RIFF" + struct.pack("<I", len(body)) + body


ASCII, UNDEFINED, RATIONAL, SHORT = 2, 7, 5, 3


def tiff_with(tag: int, kind: int, count: int, value: int) -> bytes:
    """A TIFF with one entry more, whose value or place is as given."""
    data = tiff([RGB.tobytes()], [8, 8, 8], 2, tags={tag: (SHORT, [0])})
    entry = struct.pack("<HHI", tag, SHORT, 1)
    assert data.count(entry) == 1
    at = data.index(entry)
    return data[:at] + struct.pack("<HHII", tag, kind, count, value) + data[at + 12 :]


@pytest.mark.parametrize(
    ("tag", "kind", "count", "value"),
    [
        (282, ASCII, 4, 0x41414141),  # the resolution as a word
        (282, RATIONAL, 1, 2**32 - 1),
        (296, ASCII, 300, 8),
        (306, SHORT, 2**31, 8),  # the date
        (700, UNDEFINED, 2**32 - 1, 8),  # XMP
        (700, SHORT, 1, 0),
        (33723, UNDEFINED, 2**32 - 1, 8),  # IPTC
        (34377, UNDEFINED, 99, 2**32 - 1),  # Photoshop
        (34665, 4, 1, 2**32 - 1),  # EXIF
        (34665, ASCII, 2, 0),
        (34853, 4, 1, 8),  # GPS
        (330, 4, 1, 8),  # further directories
        (34675, UNDEFINED, 2**31, 8),  # a profile
        (34675, SHORT, 1, 0),
        (65000, 99, 2**32 - 1, 2**32 - 1),  # of nobody's, of no type
    ],
)
def test_entries_beside_the_picture_of_a_tiff(tag: int, kind: int, count: int, value: int) -> None:
    assert np.array_equal(photo(tiff_with(tag, kind, count, value)).pixels, RGB)


def test_metadata_of_an_avif_are_damaged() -> None:
    for (kind, *_), whole in zip(VARIANTS, whole_images(6), strict=True):
        if kind != "AVIF":
            continue
        picture = io.BytesIO()
        exif = Image.Exif()
        exif[0x010F] = "a maker"
        Image.open(io.BytesIO(whole)).save(picture, "AVIF", exif=exif, xmp=b"<x:xmpmeta/>")
        data = picture.getvalue()
        untouched = photo(data)
        at = data.index(b"a maker")
        for junk in (b"\xff" * 40, bytes(40), random.Random(1).randbytes(40)):
            broken = data[: at - 33] + junk + data[at + 7 :]
            assert np.array_equal(photo(broken).pixels, untouched.pixels)


def test_long_comments_of_a_gif() -> None:
    for (kind, *_), whole in zip(VARIANTS, whole_images(6), strict=True):
        if kind == "GIF":
            at = 13 + (6 << (whole[10] & 7))  # behind the table of colours
            block = b"!\xfe" + (b"\xff" + b"c" * 255) * 9000 + b"\0"
            block += b"!\xff\x0bXMP DataXMP" + b"\1x" + b"\0" + b"!\xff\3ABC\0"
            with_it = whole[:at] + block + whole[at:]
            assert np.array_equal(photo(with_it).pixels, photo(whole).pixels)


# Files that end early


@pytest.mark.parametrize(
    "number", range(len(VARIANTS)), ids=lambda n: "-".join(map(str, VARIANTS[n][:2]))
)
def test_a_file_cut_anywhere_is_truncated_or_shows_its_whole_picture(number: int) -> None:
    whole = whole_images(1)[number]
    pixels = photo(whole).pixels
    cuts = {
        13,
        14,
        20,
        30,
        len(whole) - 1,
        len(whole) - 2,
        *range(16, len(whole), len(whole) // 60),
    }
    truncated = 0
    for cut in cuts:
        found = decode(whole[:cut], SPEC)
        if isinstance(found, Photo):
            assert np.array_equal(found.pixels, pixels), cut
        else:
            assert found.status == "truncated", (cut, found)
            truncated += 1
    assert truncated > 0.8 * len(cuts) or VARIANTS[number][2].get("save_all")


@pytest.mark.parametrize(
    "number",
    # Any bytes are pixels of a BMP, and a JPEG's do not say where they end.
    [n for n, (kind, *_) in enumerate(VARIANTS) if kind not in ("BMP", "JPEG")],
    ids=lambda n: "-".join(map(str, VARIANTS[n][:2])),
)
def test_a_whole_file_whose_picture_is_damaged_is_not_called_truncated(number: int) -> None:
    kind = VARIANTS[number][0]
    whole = whole_images(1)[number]
    middle = {"AVIF": len(whole) - 60, "PNG": 200}.get(kind, len(whole) // 2)
    broken = whole[:middle] + b"\x2a" * 30 + whole[middle + 30 :]
    found = decode(broken, SPEC)
    assert isinstance(found, Photo) or found.status == "unreadable", found


def test_salvage_is_for_what_was_cut_only() -> None:
    broken = PLAIN_PNG[:60] + b"\0" + PLAIN_PNG[61:]
    found = decode(broken, SPEC, Limits(salvage=True))
    assert isinstance(found, Failure) and found.status == "unreadable"


# Codings of JPEG

LOSSLESS = next(one.data for one in jpeg_variants() if one.name == "JPEG, lossless, grey")
PLAIN = next(one.data for one in jpeg_variants() if one.name == "JPEG, grey")
FRAME = PLAIN.index(b"\xff\xc0")


@pytest.mark.parametrize("marker", sorted({*range(0xC3, 0xD0), 0xDE, 0xF7} - {0xC4, 0xC8, 0xCC}))
def test_a_coding_that_is_not_known_never_reaches_a_decoder(
    marker: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*data: object, **options: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr("simplejpeg.decode_jpeg", refuse)
    monkeypatch.setattr("PIL.Image.open", refuse)
    as_it_is = PLAIN[:FRAME] + bytes((0xFF, marker)) + PLAIN[FRAME + 2 :]
    filled = PLAIN[:FRAME] + bytes((0xFF, 0xFF, 0xFF, marker)) + PLAIN[FRAME + 2 :]
    behind_junk = PLAIN[:FRAME] + b"\0junk" + bytes((0xFF, marker)) + PLAIN[FRAME + 2 :]
    for data in (as_it_is, filled, behind_junk, LOSSLESS):
        found = decode(data, SPEC)
        assert isinstance(found, Failure) and found.status == "unsupported", found


def test_a_second_frame_is_no_way_round() -> None:
    frame = PLAIN[FRAME : FRAME + 2 + int.from_bytes(PLAIN[FRAME + 2 : FRAME + 4], "big")]
    hidden = frame.replace(b"\xff\xc0", b"\xff\xc3")
    for data, status in (
        (PLAIN[:FRAME] + frame + PLAIN[FRAME:], "unreadable"),
        (PLAIN[:FRAME] + hidden + PLAIN[FRAME:], "unsupported"),
        (PLAIN[: FRAME + len(frame)] + hidden + PLAIN[FRAME + len(frame) :], "unsupported"),
        (b"\xff\xd8" + PLAIN, "unreadable"),
    ):
        found = decode(data, SPEC)
        assert isinstance(found, Failure) and found.status == status, (found, status)
    thumbnail = segment(0xE1, b"Exif\0\0" + LOSSLESS[:60_000])
    assert isinstance(decode(PLAIN[:2] + thumbnail + PLAIN[2:], SPEC), Photo)
    assert isinstance(decode(PLAIN + LOSSLESS, SPEC), Photo)


def test_scaled_decoding_is_given_no_lossless_jpeg() -> None:
    """It would overrun its buffer: the process, not the photo, would be lost."""
    for side in (1, 8, 16, 31):
        found = decode(LOSSLESS, InputSpec(side, side))
        assert isinstance(found, Failure) and found.status == "unsupported"
