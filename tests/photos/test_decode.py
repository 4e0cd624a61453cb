import io
import os
import struct
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps
from PIL.PngImagePlugin import PngInfo

from fftag.photos import decode as decoder
from fftag.photos import image_formats
from fftag.photos.decode import Failure, InputSpec, Limits, Photo, decode
from fftag.photos.image_formats import ALLOWED

SPEC = InputSpec(32, 24)
RGB = tuple[int, int, int]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(data: bytes, spec: InputSpec = SPEC) -> Photo:
    result = decode(data, spec)
    assert isinstance(result, Photo), result
    return result


def failure(data: bytes, limits: Limits = Limits()) -> Failure:
    result = decode(data, SPEC, limits)
    assert isinstance(result, Failure)
    return result


def halves(top: RGB = (200, 30, 30), bottom: RGB = (30, 30, 200)) -> Image.Image:
    image = Image.new("RGB", (60, 80), top)
    image.paste(bottom, (0, 40, 60, 80))
    return image


@pytest.mark.parametrize("kind", ALLOWED)
def test_every_allowed_format_decodes_to_the_same_picture(kind: str) -> None:
    decoded = photo(encoded(halves(), kind))
    assert (decoded.width, decoded.height, decoded.format) == (60, 80, kind)
    assert decoded.pixels.shape == (32, 24, 3) and decoded.pixels.dtype == np.uint8
    assert np.abs(decoded.pixels[4, 12].astype(int) - (200, 30, 30)).max() < 25
    assert np.abs(decoded.pixels[28, 12].astype(int) - (30, 30, 200)).max() < 25


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_exif_rotation_is_undone(orientation: int, undo: Image.Transpose) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = encoded(halves().transpose(undo), "PNG", exif=exif)
    upright = photo(stored)
    assert (upright.width, upright.height) == (60, 80)
    assert np.array_equal(upright.pixels, photo(encoded(halves(), "PNG")).pixels)


def test_alpha_and_palette_are_flattened_on_white() -> None:
    clear = photo(encoded(Image.new("RGBA", (60, 80), (0, 0, 0, 0)), "PNG"))
    assert (clear.pixels == 255).all()
    palette = halves().quantize(4)
    palette.info["transparency"] = palette.getpixel((0, 0))
    flattened = photo(encoded(palette, "PNG", transparency=palette.getpixel((0, 0))))
    assert (flattened.pixels[4] == 255).all() and flattened.pixels[28, 12, 2] > 150


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 80, dtype=np.uint16)[:, None].repeat(60, axis=1)
    pixels = photo(encoded(Image.fromarray(ramp), kind)).pixels
    assert pixels[0].mean() < 12 and pixels[-1].mean() > 243
    assert 110 < pixels[16].mean() < 146


def cmyk_profile(cyan_is: tuple[int, int, int]) -> bytes:
    """A printer profile (ICC.1) by which full cyan is the Lab colour given, beside white paper."""
    paper, black, ink = bytes((255, 128, 128)), bytes((0, 128, 128)), bytes(cyan_is)
    corners = [black if corner & 1 else ink if corner & 8 else paper for corner in range(16)]
    grid = b"".join(corners)
    ramp = bytes(range(256))
    identity = struct.pack(
        ">9i", *(65536 * (row == column) for row in range(3) for column in range(3))
    )
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + ramp * 4 + grid + ramp * 3
    text = b"test\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0" + text,
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061),
        b"A2B0": table,
    }
    directory, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        directory += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12x4s",
        start + len(body),
        b"test",
        0x02400000,
        b"prtr",
        b"CMYK",
        b"Lab ",
        b"acsp",
    )
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + directory + body


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_seen_as_its_profile_says(kind: str) -> None:
    cyan = Image.new("CMYK", (60, 80), (255, 0, 0, 0))
    plain = photo(encoded(cyan, kind)).pixels[4, 12]
    assert plain[0] < 40 and plain[2] > 200
    red_ink = cmyk_profile((136, 208, 195))
    proofed = photo(encoded(cyan, kind, icc_profile=red_ink)).pixels[4, 12]
    assert proofed[0] > 220 and proofed[2] < 60
    damaged = photo(encoded(cyan, kind, icc_profile=b"no profile" * 20)).pixels[4, 12]
    assert np.array_equal(damaged, plain)


def test_a_tiff_is_turned_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = photo(encoded(halves().transpose(Image.Transpose.ROTATE_90), "TIFF", exif=exif))
    assert (turned.width, turned.height) == (60, 80)
    assert np.array_equal(turned.pixels, photo(encoded(halves(), "PNG")).pixels)


def test_every_orientation_is_undone_as_pillow_undoes_it() -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = encoded(halves(), "PNG", exif=exif)
        expected = ImageOps.exif_transpose(Image.open(io.BytesIO(stored)))
        assert np.array_equal(photo(stored).pixels, photo(encoded(expected, "PNG")).pixels)


def test_damaged_metadata_costs_no_photo() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(halves(), "JPEG", exif=exif)
    block = data.index(b"Exif\0\0") + 6
    for junk in (b"\xff" * 20, b"II*\0\xff\xff\xff\x7f" + b"\xff" * 12, bytes(20)):
        broken = data[:block] + junk + data[block + 20 :]
        assert photo(broken).width == 60


def test_a_decoder_out_of_memory_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*image: object) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr(decoder, "to_rgb", exhausted)
    assert failure(encoded(halves(), "PNG")).status == "too_large"


def test_a_codec_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_formats, "READABLE", ("JPEG", "PNG"))
    found = failure(encoded(halves(), "AVIF"))
    assert found.status == "unsupported" and found.error.startswith("AVIF")


def test_the_limit_on_pixels_holds_above_that_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert photo(encoded(halves(), "PNG")).width == 60
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize("size", [(1, 9000), (9000, 1)])
def test_a_photo_as_thin_as_a_line_is_padded(size: tuple[int, int]) -> None:
    pixels = photo(encoded(Image.new("RGB", size), "PNG"), InputSpec(32, 24, "pad")).pixels
    assert pixels.shape == (32, 24, 3) and pixels.min() == 0 and pixels.max() == 255


def test_cmyk_jpeg_keeps_its_colours() -> None:
    pixels = photo(encoded(halves().convert("CMYK"), "JPEG", quality=95)).pixels
    assert pixels[4, 12, 0] > 150 and pixels[4, 12, 2] < 90
    assert pixels[28, 12, 2] > 150 and pixels[28, 12, 0] < 90


def test_padding_keeps_the_proportions_and_fills_with_white() -> None:
    wide = Image.new("RGB", (100, 50), (0, 0, 0))
    pixels = photo(encoded(wide, "PNG"), InputSpec(40, 40, "pad")).pixels
    assert (pixels[:9] == 255).all() and (pixels[31:] == 255).all()
    assert (pixels[12:28] < 10).all()


def test_salvage_decodes_what_there_is_and_says_so() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 60, 3), np.uint8))
    data = encoded(noise, "JPEG")
    half = data[: len(data) // 2]
    whole, part = decode(data, SPEC, exact=True), decode(half, SPEC, Limits(salvage=True))
    assert isinstance(whole, Photo)
    assert isinstance(part, Photo) and part.note
    assert part.note == f"salvaged: {failure(half).error}"
    assert np.array_equal(part.pixels[:5], whole.pixels[:5])
    assert not np.array_equal(part.pixels[-6:], whole.pixels[-6:])
    assert not ImageFile.LOAD_TRUNCATED_IMAGES and failure(half).status == "truncated"


def test_a_jpeg_that_was_cut_and_then_closed_is_truncated() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 60, 3), np.uint8))
    data = encoded(noise, "JPEG")
    closed = data[: len(data) // 2] + b"\xff\xd9"
    for exact in (False, True):
        found = decode(closed, SPEC, exact=exact)
        assert isinstance(found, Failure) and found.status == "truncated"


def smooth(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A picture with as little detail as a photo has."""
    noise = np.random.default_rng(1).integers(0, 255, (8, 6, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_a_jpeg_decoded_small_is_the_same_picture(
    mode: str, orientation: int, resize: Literal["squash", "pad"]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(smooth(700, 1000, mode), "JPEG", exif=exif, quality=95)
    spec = InputSpec(64, 60, resize)
    small, full = decode(data, spec), decode(data, spec, exact=True)
    assert isinstance(small, Photo) and isinstance(full, Photo)
    assert (small.width, small.height) == (full.width, full.height)
    assert (small.width, small.height) == ((700, 1000) if orientation < 5 else (1000, 700))
    assert np.abs(small.pixels.astype(int) - full.pixels).mean() < 1
    assert np.array_equal(
        decode(data, InputSpec(1000, 700)).pixels,
        decode(data, InputSpec(1000, 700), exact=True).pixels,
    )


def test_real_photos_decoded_small_differ_by_about_a_grey_level() -> None:
    folder = os.environ.get("FFTAG_TEST_PHOTOS")
    if folder is None:
        pytest.skip("FFTAG_TEST_PHOTOS names no folder of photos, such as Clothing Co-Parsing's")
    found = sorted(Path(folder).rglob("*.jpg"))[:60]
    assert found
    for side, bound in ((224, 1.5), (64, 2.5)):
        differences = []
        for path in found:
            spec = InputSpec(side, side)
            small, full = (decode(path.read_bytes(), spec, exact=exact) for exact in (False, True))
            assert isinstance(small, Photo) and isinstance(full, Photo)
            differences.append(np.abs(small.pixels.astype(int) - full.pixels).mean())
        assert np.mean(differences) < bound


def test_salvage_leaves_alone_what_is_whole_and_what_shows_nothing() -> None:
    data = encoded(halves(), "JPEG")
    whole = decode(data, SPEC, Limits(salvage=True))
    assert isinstance(whole, Photo) and whole.note is None
    header_only = data[: data.index(b"\xff\xda") + 14]
    assert failure(header_only, Limits(salvage=True)).status == "truncated"
    assert failure(b"no photo", Limits(salvage=True)).status == "unsupported"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", "unreadable"),
        (b"just some text", "unsupported"),
        (b"<html>\xff\xd8</html>", "unsupported"),
        (b"\xff\xd8\xff" + bytes(100), "truncated"),
        (b"\xff\xd8\xff" + bytes(100) + b"\xff\xd9", "unreadable"),
        (b"BM" + bytes(60), "unreadable"),
    ],
)
def test_what_is_no_photo_gets_a_code_and_a_reason(data: bytes, status: str) -> None:
    result = failure(data)
    assert result.status == status
    assert result.error and "\n" not in result.error


def test_limits_are_checked_before_pixels_are_decoded() -> None:
    data = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    assert failure(data).status == "too_large"
    assert failure(encoded(halves(), "JPEG"), Limits(pixels=1000)).status == "too_large"
    assert failure(encoded(halves(), "JPEG"), Limits(file_bytes=100)).status == "too_large"


def damage(data: bytes, draw: Callable[..., int]) -> bytes:
    broken = bytearray(data)
    for _ in range(draw(st.integers(1, 12))):
        broken[draw(st.integers(0, len(broken) - 1))] = draw(st.integers(0, 255))
    return bytes(broken[: draw(st.integers(0, len(broken)))])


@given(st.data(), st.sampled_from(ALLOWED))
def test_damaged_files_give_pixels_or_a_code_and_never_raise(
    data: st.DataObject, kind: str
) -> None:
    result = decode(damage(encoded(halves(), kind), data.draw), SPEC)
    assert isinstance(result, Photo | Failure)


@given(st.binary(max_size=300))
def test_any_bytes_give_pixels_or_a_code(data: bytes) -> None:
    assert isinstance(decode(data, SPEC), Photo | Failure)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_when_a_photo_was_taken_is_what_its_exif_says(kind: str) -> None:
    image = Image.new("RGB", (40, 30), "red")
    for text, expected in (
        ("2025:03:31 14:05:59", datetime(2025, 3, 31, 14, 5, 59)),
        ("0000:00:00 00:00:00", None),
        ("yesterday", None),
        (None, None),
    ):
        exif = Image.Exif()
        if text is not None:
            exif[0x010F] = "maker"
            exif.get_ifd(0x8769)[0x9003] = text
        buffer = io.BytesIO()
        image.save(buffer, kind, exif=exif)
        photo = decode(buffer.getvalue(), InputSpec(8, 8))
        assert isinstance(photo, Photo) and photo.taken_at == expected


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_xmp_says_how_to_turn_a_photo_where_exif_does_not(kind: str) -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    if kind == "PNG":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp)
        options: dict[str, object] = {"pnginfo": text}
    else:
        options = {"xmp": xmp}
    image = Image.new("RGB", (60, 80))
    assert photo(encoded(image, kind, **options)).width == 80
    upright = Image.Exif()
    upright[0x0112] = 1
    assert photo(encoded(image, kind, exif=upright, **options)).width == 60
