"""torchcodec decodes on a CPU what it decodes on a GPU: all but the device is tested so."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import fftag.gpu_decode
from fftag.bundle import Bundle
from fftag.cli import app
from fftag.decode import InputSpec, Limits, plain_jpeg
from fftag.devices import Device, choose_decoder
from fftag.errors import FftagError
from fftag.gpu_decode import batches_on
from fftag.reader import ENCODED, ReadOptions
from fftag.sources.folder import Folder
from fftag.tag import tag
from fftag.tag_options import TagOptions
from fftag.workers import batches

CPU = torch.device("cpu")
OPTIONS = ReadOptions(batch_size=4, workers=1)
REAL = Path(__file__).parents[2] / "shared" / "data" / "ccp" / "photos"


def scene(width: int = 300, height: int = 400, mode: str = "RGB") -> Image.Image:
    """Something smooth with edges, so that a shift or a turn shows."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 97 * 2], axis=2)
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (250, 20, 20)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def jpeg(image: Image.Image, orientation: int = 1, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    made = io.BytesIO()
    image.save(made, "JPEG", quality=92, exif=exif, **options)
    return made.getvalue()


def png(image: Image.Image) -> bytes:
    made = io.BytesIO()
    image.save(made, "PNG")
    return made.getvalue()


def files() -> dict[str, bytes]:
    """Files of every fate: decoded on the device, by the processes, or by none."""
    whole = jpeg(scene())
    spoilt = bytearray(whole)
    spoilt[whole.index(b"\xff\xc0") + 4] = 77  # a precision that no decoder knows
    return {
        "plain.jpg": whole,
        "grey.jpg": jpeg(scene(mode="L")),
        "wide.jpg": jpeg(scene(640, 200)),
        "tiny.jpg": jpeg(scene(20, 30)),
        "progressive.jpg": jpeg(scene(), progressive=True),
        **{f"turned{turn}.jpg": jpeg(scene(), turn) for turn in range(2, 9)},
        "cmyk.jpg": jpeg(scene(mode="CMYK")),
        "colours.png": png(scene()),
        "cut.jpg": whole[: len(whole) // 2],
        "followed.jpg": whole + b"something behind",
        "spoilt.jpg": bytes(spoilt),
        "empty.jpg": b"",
        "words.txt": b"no photo",
    }


def folder(at: Path) -> Folder:
    at.mkdir()
    for name, data in files().items():
        (at / name).write_bytes(data)
    return Folder(at)


def plan(source: Folder, size: int = 4) -> list[tuple[int, list[dict[str, Any]]]]:
    entries = [entry | {"known": ()} for entry in source.list().files.to_pylist()]
    return [(at // size, entries[at : at + size]) for at in range(0, len(entries), size)]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many JPEGs each call to the device's decoder is given."""
    counts: list[int] = []
    decode = fftag.gpu_decode._decode

    def noted(some: list[bytes], device: torch.device) -> Any:
        counts.append(len(some))
        return decode(some, device)

    monkeypatch.setattr(fftag.gpu_decode, "_decode", noted)
    return counts


@pytest.mark.parametrize("spec", [InputSpec(96, 64), InputSpec(80, 80, resize="pad")])
def test_a_device_sees_what_the_processes_see(spec: InputSpec, tmp_path: Path) -> None:
    source = folder(tmp_path / "photos")
    scaled, full = (
        [
            (batch.photos, batch.pixels.copy())
            for batch in batches(source, plan(source), spec, options)
        ]
        for options in (OPTIONS, replace(OPTIONS, exact=True))
    )
    plain = {name for name, data in files().items() if plain_jpeg(data)}
    found = list(batches_on(CPU, source, plan(source), spec, OPTIONS))
    assert [batch.number for batch in found] == list(range(len(full)))
    for batch, (photos, by_processes), (_, in_full) in zip(found, scaled, full, strict=True):
        assert batch.photos == photos
        assert isinstance(batch.pixels, torch.Tensor) and batch.pixels.dtype == torch.uint8
        assert batch.pixels.is_inference()  # or what is compiled would be compiled anew
        for place, photo in enumerate(photos):
            pixels = batch.pixels[place].numpy().astype(int)
            if photo["image"] in plain:
                apart = np.abs(pixels - in_full[place])
                assert apart.mean() < 0.6 and apart.max() <= 6, photo["image"]
            else:
                assert np.array_equal(pixels, by_processes[place]), photo["image"]


def test_plain_jpegs_are_left_to_the_device_and_others_are_not(
    tmp_path: Path, given: list[int]
) -> None:
    source = folder(tmp_path / "photos")
    list(
        batches_on(
            CPU, source, plan(source, 100), InputSpec(64, 64), replace(OPTIONS, batch_size=100)
        )
    )
    plain = {name for name, data in files().items() if plain_jpeg(data)}
    assert {"plain.jpg", "grey.jpg", "turned6.jpg", "progressive.jpg"} <= plain
    assert not plain & {"cmyk.jpg", "colours.png", "cut.jpg", "followed.jpg", "empty.jpg"}
    assert given[0] == len(plain)


def test_one_file_that_is_damaged_spoils_no_other() -> None:
    whole = jpeg(scene())
    first, none, last = fftag.gpu_decode._decode([whole, b"\xff\xd8 no picture", whole], CPU)
    assert none is None
    assert first is not None and last is not None and torch.equal(first, last)
    assert first.shape == (3, 400, 300)


def test_large_photos_are_decoded_a_few_at_once(
    tmp_path: Path, given: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, spec = folder(tmp_path / "photos"), InputSpec(64, 64)
    whole = list(batches_on(CPU, source, plan(source), spec, OPTIONS))
    assert max(given) > 1
    given.clear()
    monkeypatch.setattr(fftag.gpu_decode, "PIXELS_AT_ONCE", 1)
    one_by_one = list(batches_on(CPU, source, plan(source), spec, OPTIONS))
    for batch, other in zip(whole, one_by_one, strict=True):
        assert torch.equal(batch.pixels, other.pixels) and batch.photos == other.photos
    assert len(given) > 5 and set(given) == {1}


def test_the_processes_decode_what_the_device_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, spec = folder(tmp_path / "photos"), InputSpec(64, 64)
    normal = [
        (batch.photos, batch.pixels.copy())
        for batch in batches(source, plan(source), spec, OPTIONS)
    ]
    monkeypatch.setattr(fftag.gpu_decode, "_decode", lambda some, device: [None] * len(some))
    found = batches_on(CPU, source, plan(source), spec, OPTIONS)
    for batch, (photos, pixels) in zip(found, normal, strict=True):
        assert batch.photos == photos
        assert np.array_equal(batch.pixels.numpy(), pixels)


@pytest.mark.parametrize("fault", ["_decode", "interpolate"])
def test_no_memory_on_the_device_is_not_the_fault_of_a_file(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **options: Any) -> Any:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(fftag.gpu_decode, fault, full)
    source = folder(tmp_path / "photos")
    with pytest.raises(torch.OutOfMemoryError):
        list(batches_on(CPU, source, plan(source), InputSpec(64, 64), OPTIONS))


def test_a_photo_that_the_device_cannot_reduce_so_far_goes_to_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, spec = folder(tmp_path / "photos"), InputSpec(64, 64)
    reduce = fftag.gpu_decode.interpolate

    def limited(image: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        if image.shape[3] > 500:
            raise RuntimeError("Too much shared memory required")
        return reduce(image, *args, **options)

    monkeypatch.setattr(fftag.gpu_decode, "interpolate", limited)
    normal = {
        photo["image"]: pixels.copy()
        for batch in batches(source, plan(source), spec, OPTIONS)
        for photo, pixels in zip(batch.photos, batch.pixels, strict=False)
    }
    as_processes_do = {
        photo["image"]: np.array_equal(pixels.numpy(), normal[photo["image"]])
        for batch in batches_on(CPU, source, plan(source), spec, OPTIONS)
        for photo, pixels in zip(batch.photos, batch.pixels, strict=False)
    }
    assert as_processes_do["wide.jpg"] and not as_processes_do["plain.jpg"]


def test_a_torchcodec_that_does_not_work_is_found_before_the_first_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchcodec.decoders

    def broken(*args: Any, **options: Any) -> Any:
        raise RuntimeError("nvJPEG is not there\nand more")

    monkeypatch.setattr(torchcodec.decoders, "decode_jpeg", broken)
    source = folder(tmp_path / "photos")
    message = r"cannot decode JPEGs on cpu \(nvJPEG is not there\): leave out --decoder cuda"
    with pytest.raises(FftagError, match=message):
        next(batches_on(CPU, source, plan(source), InputSpec(64, 64), OPTIONS))


def test_a_turn_that_only_pillow_sees_is_left_to_it() -> None:
    made = io.BytesIO()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="3"/></x:xmpmeta>'
    scene().save(made, "JPEG", xmp=xmp)
    assert plain_jpeg(made.getvalue()) is None
    made = io.BytesIO()
    scene().save(made, "JPEG", xmp=xmp.replace(b'"3"', b'"1"'))
    assert plain_jpeg(made.getvalue()) is not None


def test_an_image_of_another_size_than_its_header_says_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, spec = folder(tmp_path / "photos"), InputSpec(64, 64)
    black = torch.zeros(3, 5, 5, dtype=torch.uint8)
    monkeypatch.setattr(fftag.gpu_decode, "_decode", lambda some, device: [black] * len(some))
    for batch in batches_on(CPU, source, plan(source), spec, OPTIONS):
        for photo, pixels in zip(batch.photos, batch.pixels, strict=False):
            assert bool(pixels.any()) == (photo["status"] == "ok"), photo


def test_no_process_stays_when_the_run_is_left(tmp_path: Path) -> None:
    def running() -> set[int]:
        children = psutil.Process().children()
        return {child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE}

    source, before = folder(tmp_path / "photos"), running()
    stream = batches_on(CPU, source, plan(source, 2), InputSpec(64, 64), OPTIONS)
    next(stream)
    assert running() - before
    stream.close()
    del stream
    assert not running() - before


def test_headers_that_cannot_be_trusted_are_left_to_the_processes() -> None:
    whole = jpeg(scene(300, 400), orientation=6)
    header = plain_jpeg(whole)
    assert header is not None and (header["width"], header["height"]) == (400, 300)
    assert plain_jpeg(whole, Limits(file_bytes=len(whole) - 1)) is None
    assert plain_jpeg(whole, Limits(pixels=300 * 400 - 1)) is None
    for end in range(0, 200, 7):
        assert plain_jpeg(whole[:end] + b"\xff\xd9") is None or end > 100


def test_a_run_is_recorded_as_decoded_there(
    folder_of_photos: Callable[[int], Path],
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Folder(folder_of_photos(9))
    a_photo = next(source.root.rglob("*.jpg"))
    (source.root / "copy.jpg").write_bytes(a_photo.read_bytes())
    options = TagOptions(device="cpu", tier="fast", backend="torch", workers=1)
    tag(source, tmp_path / "exact.parquet", session_bundle, replace(options, exact=True))
    monkeypatch.setattr("fftag.tag_options.choose_decoder", lambda *given: "cuda")
    tag(source, tmp_path / "there.parquet", session_bundle, options)
    there, exact = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("there", "exact"))
    assert b'"decoder": "cuda"' in there.schema.metadata[b"fftag"]
    assert ENCODED not in there.schema.names
    same = ("image", "status", "width", "height", "format", "content_sha256")
    assert there.select(same).equals(exact.select(same))
    apart = np.subtract(there["scores"].to_pylist(), exact["scores"].to_pylist())
    assert np.abs(apart).max() < 0.02


def test_real_photos_differ_by_less_than_a_grey_level(tmp_path: Path) -> None:
    if not REAL.is_dir():
        pytest.skip("no photos of Clothing Co-Parsing beside the project")
    at = tmp_path / "photos"
    at.mkdir()
    for photo in sorted(REAL.glob("*.jpg"))[:24]:
        (at / photo.name).write_bytes(photo.read_bytes())
    source, spec = Folder(at), InputSpec(224, 224)
    exact = replace(OPTIONS, exact=True)
    expected = [batch.pixels.copy() for batch in batches(source, plan(source), spec, exact)]
    for batch, pixels in zip(
        batches_on(CPU, source, plan(source), spec, OPTIONS), expected, strict=True
    ):
        assert np.abs(batch.pixels.numpy().astype(int) - pixels).mean() < 0.5


def test_a_decoder_that_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda = Device("cpu"), Device("cuda")
    assert choose_decoder("auto", cuda) == choose_decoder("cpu", cpu) == "cpu"
    assert choose_decoder("cuda", cuda) == "cuda"
    with pytest.raises(FftagError, match="no decoder 'gpu'"):
        choose_decoder("gpu", cuda)
    with pytest.raises(FftagError, match="needs a CUDA device"):
        choose_decoder("cuda", cpu)
    with pytest.raises(FftagError, match="leave out --decoder cuda"):
        choose_decoder("cuda", cuda, exact=True)
    monkeypatch.setattr("fftag.devices.version", lambda name: "0.16.1")
    with pytest.raises(FftagError, match=r"pip install 'fftag\[cuda\]'"):
        choose_decoder("cuda", cuda)


def test_the_command_line_names_what_to_do(
    folder_of_photos: Callable[[int], Path], session_bundle: Bundle, tmp_path: Path
) -> None:
    given = [str(folder_of_photos(2)), "--model", str(session_bundle.path), "--device", "cpu"]
    out = ["--out", str(tmp_path / "t.parquet")]
    for command in (["tag", *given, *out], ["tag", *given, *out, "--dry-run"], ["bench", *given]):
        result = CliRunner().invoke(app, [*command, "--decoder", "cuda"])
        assert isinstance(result.exception, FftagError), command
        assert "--decoder cuda needs a CUDA device" in str(result.exception)
    result = CliRunner().invoke(app, ["tag", *given, *out, "--decoder", "cuda", "--engine", "ray"])
    assert result.exit_code == 2 and "cluster decodes on its CPUs" in result.output
