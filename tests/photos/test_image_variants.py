"""Every variant of a format is shown right, or said to be unsupported: never wrong."""

import io
from collections import defaultdict

import imagecodecs
import numpy as np
import pytest
import tifffile
from image_variants import COLUMNS, ROWS, Variant, variants

from fftag.photos.decode import InputSpec, Photo, decode

SPEC = InputSpec(ROWS, COLUMNS)
READ_TIFFS = {  # in every byte order and lossless compression
    "white is zero": "1 2 4 8 bits",
    "black is zero": "1 2 4 8 16 bits",
    "black is zero and a sample": "8 bits",
    "black is zero and alpha": "8 bits",
    "rgb": "8 16 bits, 8 in planes",
    "rgb and a sample": "8 16 bits",
    "rgb and alpha": "8 16 bits, 8 in planes",
    "rgb and alpha (multiplied)": "8 16 bits",
    "palette": "1 2 4 8 bits",
    "palette and a sample": "8 bits",
    "palette and alpha": "8 bits",
    "cmyk": "8 16 bits, 8 in planes",
    "cmyk and a sample": "8 bits",
}
REFUSED = {
    "TIFF, bits in reverse",
    "TIFF, ycbcr 420, raw",
    "TIFF, four inks of another kind",
    *(f"TIFF, compression {number}" for number in (6, 34712, 34925, 50001)),
    "TIFF, JPEG, lossless",
    "TIFF, a preview",
    "TIFF, a mask",
    "PNG, rgb, 16 bits, tRNS",
    "PNG, rgb, 16 bits, tRNS, interlaced",
    "JPEG, lossless, rgb",
    "JPEG, lossless, grey",
    "JPEG, 12 bits",
    "JPEG, cmyk of nobody",
    "JPEG, JPEG-LS",
}


@pytest.fixture(scope="module")
def every() -> list[Variant]:
    return variants()


@pytest.fixture(scope="module")
def outcomes(every: list[Variant]) -> dict[str, str]:
    """Name -> `right`, `wrong`, or the status of a failure."""
    found = {}
    for one in every:
        shown = decode(one.data, SPEC, exact=True)
        is_right = isinstance(shown, Photo) and one.is_shown_by(shown.pixels)
        found[one.name] = (
            ("right" if is_right else "wrong") if isinstance(shown, Photo) else shown.status
        )
    assert len(found) == len(every)
    return found


def test_every_variant_is_right_or_unsupported(outcomes: dict[str, str]) -> None:
    assert set(outcomes.values()) == {"right", "unsupported"}, [
        (name, outcome)
        for name, outcome in outcomes.items()
        if outcome not in ("right", "unsupported")
    ]


def test_tiffs_are_read_whatever_their_byte_order_and_compression(outcomes: dict[str, str]) -> None:
    found = defaultdict(lambda: defaultdict[str, set[str]](set))
    for name, outcome in outcomes.items():
        match name.split(", "):
            case ["TIFF", layout, depth, planes, _, _]:
                found[layout][f"{depth} {planes}"].add(outcome)
    read = {}
    for layout, kinds in found.items():
        assert all(len(one) == 1 for one in kinds.values()), layout
        bits = {"chunky": [], "planes": []}
        for kind in (kind for kind, one in kinds.items() if one == {"right"}):
            depth, _, number, planes = kind.split()
            assert number == "uint", kind
            bits[planes].append(depth)
        if bits["chunky"]:
            planes = f", {' '.join(bits['planes'])} in planes" if bits["planes"] else ""
            read[layout] = f"{' '.join(bits['chunky'])} bits{planes}"
    assert read == READ_TIFFS


def test_of_the_others_few_are_refused(outcomes: dict[str, str]) -> None:
    refused = {name for name, outcome in outcomes.items() if outcome == "unsupported"}
    of_a_layout = {name for name in refused if name.startswith("TIFF") and name.count(", ") == 5}
    bmps = {name for name in refused if name.startswith("BMP")}
    assert refused - of_a_layout - bmps == REFUSED
    for name in bmps:
        words = name.split(", ")
        masks = words[2].removeprefix("masks ")
        assert (
            words[2] == "2 bits" or masks in ("1555", "4444", "rgbx", "101010") or words[-1] == "6"
        )


def test_files_hold_what_an_independent_decoder_finds_in_them(every: list[Variant]) -> None:
    """The variants themselves are sound: what they show is no fancy of their maker's."""
    looked = defaultdict[str, int](int)
    for one in every:
        form = one.name.split(", ")[0]
        found, wanted = None, one.shows
        if one.samples is not None and one.name.endswith(("raw", "lzw")):
            found, wanted = tifffile.imread(io.BytesIO(one.data)), np.squeeze(one.samples)
            found = found.view(f"u{found.itemsize}") if found.dtype.kind == "i" else found
        elif one.name in ("PNG, rgb, 8 bits", "PNG, palette, 4 bits"):
            found = imagecodecs.png_decode(one.data)
        elif form == "GIF" and "transparent" not in one.name and "canvas" not in one.name:
            found = imagecodecs.gif_decode(one.data)
            found = found[0] if found.ndim == 4 else found
        elif one.name.startswith("BMP, header of 40") and (
            "24" in one.name or "565, 3" in one.name
        ):
            found = imagecodecs.bmp_decode(one.data, asrgb=True)
        if found is not None:
            assert np.allclose(found, wanted, atol=1e-3 if form == "TIFF" else one.within), one.name
            looked[form] += 1
    assert set(looked) == {"TIFF", "PNG", "GIF", "BMP"} and looked["TIFF"] > 500
