import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fftag.decode import FORMATS, Failure, InputSpec, Limits, Photo, decode

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


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "AVIF"])
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


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 80, dtype=np.uint16)[:, None].repeat(60, axis=1)
    pixels = photo(encoded(Image.fromarray(ramp), "PNG")).pixels
    assert pixels[0].mean() < 12 and pixels[-1].mean() > 243
    assert 110 < pixels[16].mean() < 146


def test_cmyk_jpeg_keeps_its_colours() -> None:
    pixels = photo(encoded(halves().convert("CMYK"), "JPEG", quality=95)).pixels
    assert pixels[4, 12, 0] > 150 and pixels[4, 12, 2] < 90
    assert pixels[28, 12, 2] > 150 and pixels[28, 12, 0] < 90


def test_padding_keeps_the_proportions_and_fills_with_white() -> None:
    wide = Image.new("RGB", (100, 50), (0, 0, 0))
    pixels = photo(encoded(wide, "PNG"), InputSpec(40, 40, "pad")).pixels
    assert (pixels[:9] == 255).all() and (pixels[31:] == 255).all()
    assert (pixels[12:28] < 10).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_file_cut_in_half_is_truncated(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 60, 3), np.uint8))
    data = encoded(noise, kind)
    assert failure(data[: len(data) // 2]).status == "truncated"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", "unreadable"),
        (b"just some text", "unsupported"),
        (b"<html>\xff\xd8</html>", "unsupported"),
        (b"\xff\xd8\xff" + bytes(100), "unreadable"),
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


@given(st.data(), st.sampled_from([kind for kind in FORMATS if kind != "AVIF"]))
def test_damaged_files_give_pixels_or_a_code_and_never_raise(
    data: st.DataObject, kind: str
) -> None:
    result = decode(damage(encoded(halves(), kind), data.draw), SPEC)
    assert isinstance(result, Photo | Failure)


@given(st.binary(max_size=300))
def test_any_bytes_give_pixels_or_a_code(data: bytes) -> None:
    assert isinstance(decode(data, SPEC), Photo | Failure)
