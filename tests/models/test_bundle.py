import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fftag.base.errors import FftagError
from fftag.models.architectures import factory
from fftag.models.folder import Bundle, load_bundle, newest_model, save_bundle
from fftag.models.labels import Group, LabelSet
from fftag.training.checkpoint import begin_or_resume
from fftag.training.processes import Processes


@pytest.fixture
def folder(session_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(session_bundle.path, tmp_path / "copy"))


def test_a_saved_model_comes_back_the_same(session_bundle: Bundle, tmp_path: Path) -> None:
    again = load_bundle(session_bundle.path)
    assert again == session_bundle
    pixels = torch.rand(2, 3, 32, 24)
    assert torch.equal(again.build()(pixels).logits, session_bundle.build()(pixels).logits)
    network = session_bundle.build()
    copy = save_bundle(tmp_path / "copy", session_bundle.config, network.state_dict())
    assert copy.model_id == session_bundle.model_id


def test_the_config_says_what_the_counts_mean(session_bundle: Bundle) -> None:
    label = json.loads((session_bundle.path / "config.json").read_text())["labels"][0]
    assert label["validation"] == {
        "tp": 8,
        "fp": 2,
        "fn": 4,
        "tn": 6,
        "support": 12,
        "precision": 0.8,
        "sensitivity": 8 / 12,
        "specificity": 0.75,
    }


def test_other_thresholds_make_another_model(session_bundle: Bundle, tmp_path: Path) -> None:
    from dataclasses import replace

    config = replace(session_bundle.config, thresholds=(0.5, 0.5, 0.6))
    other = save_bundle(tmp_path / "other", config, session_bundle.build().state_dict())
    assert other.model_id != session_bundle.model_id


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "SHA256SUMS"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FftagError, match=name):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_an_altered_file_is_refused_and_named(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-10] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(FftagError, match=f"{name} is not the file that was saved"):
        load_bundle(folder)


def rewrite_sums(folder: Path) -> None:
    import hashlib

    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("config.json", "model.safetensors")
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def test_a_newer_format_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format_version": 99}))
    rewrite_sums(folder)
    with pytest.raises(FftagError, match="newer fftag"):
        load_bundle(folder)


def test_an_older_format_says_what_to_do(folder: Path) -> None:
    rewritten(folder, lambda content: content.update(format_version=1))
    with pytest.raises(FftagError, match="older fftag: train it anew"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["groups"].pop(),
        lambda content: content["groups"][0].update(kind="some"),
        lambda content: content["groups"][0].update(kind="one", threshold=None),
        lambda content: content["groups"][0].update(kind="one", threshold=float("inf")),
        lambda content: content["groups"][0].update(above={"garment": "garment"}),
        lambda content: content["groups"][0].update(above={"red": None}),
        lambda content: content["labels"][0].update(parent="garment"),
        lambda content: content["labels"][0].update(group="hot"),
        lambda content: content["labels"][0].pop("group"),
    ],
)
def test_groups_that_contradict_themselves_are_refused(
    folder: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    with pytest.raises(FftagError, match="no model config"):
        load_bundle(rewritten(folder, change))


def test_groups_of_either_kind_and_what_stands_above_labels_come_back(
    session_bundle: Bundle, tmp_path: Path
) -> None:
    labels = LabelSet.of(
        ["red", "green", "coat"],
        ["hue", "hue", None],
        ["warm", None, None],
        [Group("hue", "one", {"warm": "any", "any": None})],
    )
    assert labels.groups == ("hue", "hue", "labels")
    config = replace(session_bundle.config, labels=labels, group_thresholds={"hue": 0.25})
    saved = save_bundle(tmp_path / "groups", config, session_bundle.build().state_dict())
    assert load_bundle(saved.path).config == config


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    save_file(state | {"head.bias": torch.zeros(7)}, folder / "model.safetensors")
    rewrite_sums(folder)
    with pytest.raises(FftagError, match=r"head\.bias"):
        load_bundle(folder).build()


def test_a_pickle_in_place_of_the_weights_is_never_opened(folder: Path) -> None:
    torch.save({"head.bias": torch.zeros(3)}, folder / "model.safetensors")
    rewrite_sums(folder)
    with pytest.raises(FftagError, match="no safetensors file"):
        load_bundle(folder).build()


def test_a_folder_that_is_no_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(FftagError, match="is not a model folder"):
        load_bundle(tmp_path)
    with pytest.raises(FftagError, match="is not there"):
        load_bundle(tmp_path / "nowhere")


def test_the_newest_model_is_the_one_finished_last(session_bundle: Bundle, tmp_path: Path) -> None:
    import os

    with pytest.raises(FftagError, match="no model under"):
        newest_model(tmp_path)
    for age, name in enumerate(("new", "old")):
        copy = Path(shutil.copytree(session_bundle.path, tmp_path / name))
        os.utime(copy / "SHA256SUMS", (1000 - age, 1000 - age))
    assert newest_model(tmp_path).name == "new"


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A model folder whose config was changed by someone who knows how to digest it."""
    content = json.loads((folder / "config.json").read_text())
    change(content)
    (folder / "config.json").write_text(json.dumps(content))
    files = [folder / name for name in ("config.json", "model.safetensors")]
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("height", 10**9),
        ("width", 0),
        ("height", -5),
        ("resize", "stretch"),
        ("std", [1.0]),
    ],
)
def test_an_input_that_cannot_be_allocated_is_refused(folder: Path, key: str, value: Any) -> None:
    rewritten(folder, lambda content: content["input"].update({key: value}))
    with pytest.raises(FftagError, match="no model config"):
        load_bundle(folder)


def test_weights_larger_than_the_file_are_refused_before_they_are_allocated(folder: Path) -> None:
    def grow(content: dict[str, Any]) -> None:
        label = content["labels"][0]
        content["labels"] = [{**label, "name": f"label {number}"} for number in range(20_000)]
        content["groups"] = [one for one in content["groups"] if one["name"] == label["group"]]

    bundle = load_bundle(rewritten(folder, grow))
    with pytest.raises(FftagError, match="does not fit its config: 2 tensors differ"):
        bundle.build()


def test_a_header_that_promises_too_much_is_refused(folder: Path) -> None:
    header = b'{"x":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    rewritten(folder, lambda content: None)
    with pytest.raises(FftagError, match="is no safetensors file"):
        load_bundle(folder).build()
    (folder / "model.safetensors").write_bytes(b"\xff" * 8 + header)
    rewritten(folder, lambda content: None)
    with pytest.raises(FftagError, match="is no safetensors file"):
        load_bundle(folder).build()


def test_no_model_needs_more_than_shapes_to_be_planned(tmp_path: Path) -> None:
    for architecture in ("cnn", "resnet18", "vit_b_32", "inception_v3"):
        spec = factory.input_spec(architecture)
        with torch.device("meta"):
            planned = factory.build(architecture, 3, spec)
        assert all(value.is_meta for value in planned.state_dict().values())


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("architecture", ["regnet_y_400mf", "swin_v2_t", "vit_b_32"])
def test_every_kind_of_network_comes_back_the_same(
    architecture: str, session_bundle: Bundle, tmp_path: Path
) -> None:
    spec = factory.input_spec(architecture)
    config = replace(session_bundle.config, architecture=architecture, input=spec)
    network = factory.build(architecture, len(config.labels), spec).eval()
    again = save_bundle(tmp_path / architecture, config, network.state_dict()).build()
    assert not any(value.is_meta for value in [*again.parameters(), *again.buffers()])
    pixels = torch.rand(1, 3, spec.height, spec.width)
    with torch.no_grad():
        assert torch.equal(again(pixels).logits, network(pixels).logits)


def test_a_model_in_use_outlives_its_file(session_bundle: Bundle, folder: Path) -> None:
    network = load_bundle(folder).build()
    (folder / "model.safetensors").write_bytes(b"")
    pixels = torch.rand(2, 3, 32, 24)
    assert torch.equal(network(pixels).logits, session_bundle.build()(pixels).logits)


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o027, 0o640)])
def test_the_files_of_a_model_have_the_mode_that_the_umask_leaves_them(
    session_bundle: Bundle, tmp_path: Path, mask: int, expected: int
) -> None:
    before = os.umask(mask)
    try:
        save_bundle(tmp_path / "model", session_bundle.config, session_bundle.build().state_dict())
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "model").iterdir()
    }
    assert set(modes.values()) == {expected}, modes


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.md", b"# Our shop\n"),
        ("config.json", b'{"architectures": ["ViTForImageClassification"]}'),
        ("model.safetensors", b"no weights"),
        ("curves.png", b"no picture"),
    ],
)
def test_a_model_takes_the_place_of_nothing_else(
    session_bundle: Bundle, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FftagError, match=f"{name} is there and is not"):
        begin_or_resume(tmp_path, {}, restart=True, processes=Processes())
    with pytest.raises(FftagError, match=f"{name} is there and is not"):
        save_bundle(tmp_path, session_bundle.config, session_bundle.build().state_dict())
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_folder_that_this_user_may_not_read_is_one_line(
    session_bundle: Bundle,
) -> None:
    above = Path(tempfile.mkdtemp())  # pytest's own folders are for this user alone
    above.chmod(0o755)
    folder = Path(shutil.copytree(session_bundle.path, above / "model"))
    (folder / "model.safetensors").chmod(0o600)
    os.seteuid(65534)
    try:
        with pytest.raises(FftagError, match=r"cannot read .*model\.safetensors \(Permission"):
            load_bundle(folder)
    finally:
        os.seteuid(0)
        shutil.rmtree(above)
