import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fftag.base.errors import FftagError
from fftag.base.resources import recipes_folder
from fftag.data.manifest import Manifest, read_manifest
from fftag.evaluation.evaluate import evaluate_model
from fftag.models.folder import load_bundle
from fftag.photos.decode import InputSpec
from fftag.training.loop import TrainOptions, train
from fftag.training.recipe import load_recipe, shipped_recipes
from fftag.training.sampling import label_weights, make_sampler, photo_weights

QUICK = TrainOptions(device="cpu", workers=1)
SMALL = {
    "model.input_size": "[32, 24]",
    "run.epochs": "4",
    "run.batch_size": "16",
    "optimizer.lr": "0.01",
    "data.crop_area": "1",
}


@pytest.fixture
def manifest(bands_manifest: Path) -> Manifest:
    return read_manifest(bands_manifest)


def test_a_training_ends_with_a_model_that_beats_chance(manifest: Manifest, tmp_path: Path) -> None:
    recipe = load_recipe("cnn", SMALL | {"run.epochs": "12"})
    bundle = train(recipe, manifest, tmp_path / "run", QUICK)
    files = {path.name for path in bundle.path.iterdir()}
    assert {
        "config.json",
        "model.safetensors",
        "SHA256SUMS",
        "metrics.json",
        "README.md",
        "curves.png",
        "log.jsonl",
        "evaluation.html",
    } <= files
    assert "checkpoint.pt" not in files
    content = evaluate_model(bundle, manifest, "test", tmp_path / "test", "cpu", 1)
    chance = content["baselines"]["chance"]["overall"]["mAP"]
    assert content["overall"]["mAP"] > chance + 0.2
    assert (tmp_path / "test/evaluation.html").exists()
    assert json.loads((tmp_path / "test/metrics.json").read_text()) == content
    config = json.loads((bundle.path / "config.json").read_text())
    assert config["recipe"]["model"]["input_size"] == [32, 24]
    assert config["data_fingerprint"] == manifest.fingerprint
    support = [label["validation"]["support"] for label in config["labels"]]
    assert support == manifest.of_split("val").targets().sum(axis=0).tolist()


@pytest.mark.usefixtures("undrawn")
def test_the_model_card_can_be_published_as_it_is(manifest: Manifest, tmp_path: Path) -> None:
    bundle = train(load_recipe("cnn", SMALL), manifest, tmp_path / "my-run", QUICK)
    card = (bundle.path / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\nlibrary_name: fftag\n")
    assert "# my-run" in card and "| mAP |" in card and "| red |" in card
    assert str(tmp_path) not in card


def interrupt_after(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from fftag.training.trainer import Trainer

    original = Trainer._train_epoch

    def stop(self: Trainer, epoch: int) -> float:
        if epoch == epochs:
            raise KeyboardInterrupt
        return original(self, epoch)

    monkeypatch.setattr(Trainer, "_train_epoch", stop)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "changes",
    [
        {"data.sampler": "shuffle", "data.trivial": "true", "data.cutout": "0.2"},
        {"data.sampler": "class_weighted"},
        {"run.ema": "0.9", "freeze.schedule": "freezeout", "optimizer.accumulate": "2"},
        {"freeze.schedule": "gradual", "optimizer.schedule": "one_cycle"},
    ],
)
def test_an_interrupted_training_ends_with_the_weights_of_an_undisturbed_one(
    manifest: Manifest, tmp_path: Path, changes: dict[str, str]
) -> None:
    recipe = load_recipe("cnn", SMALL | {"data.crop_area": "0.7"} | changes)
    whole = train(recipe, manifest, tmp_path / "whole", QUICK)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(2, patch)
        train(recipe, manifest, tmp_path / "broken", QUICK)
    assert (tmp_path / "broken/checkpoint.pt").exists()
    resumed = train(recipe, manifest, tmp_path / "broken", QUICK)
    assert resumed.model_id == whole.model_id


@pytest.mark.usefixtures("undrawn")
def test_a_resume_with_another_recipe_or_other_data_is_refused(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(1, patch)
        train(load_recipe("cnn", SMALL), manifest, tmp_path / "run", QUICK)
    other = load_recipe("cnn", SMALL | {"optimizer.lr": "0.5"})
    with pytest.raises(FftagError, match="another recipe"):
        train(other, manifest, tmp_path / "run", QUICK)
    anew = train(other, manifest, tmp_path / "run", TrainOptions("cpu", 1, restart=True))
    assert anew.config.recipe["optimizer"]["lr"] == 0.5


@pytest.mark.usefixtures("undrawn")
def test_a_finished_model_is_not_written_over_unasked(manifest: Manifest, tmp_path: Path) -> None:
    recipe = load_recipe("cnn", SMALL | {"run.epochs": "1"})
    before = train(recipe, manifest, tmp_path / "run", QUICK)
    with pytest.raises(FftagError, match="not empty"):
        train(recipe, manifest, tmp_path / "run", QUICK)
    assert load_bundle(tmp_path / "run") == before


@pytest.mark.usefixtures("undrawn")
def test_early_stopping_ends_and_keeps_the_best_epoch(manifest: Manifest, tmp_path: Path) -> None:
    changes = SMALL | {"run.epochs": "40", "run.patience": "2", "optimizer.lr": "1e-9"}
    bundle = train(load_recipe("cnn", changes), manifest, tmp_path / "run", QUICK)
    log = [json.loads(line) for line in (bundle.path / "log.jsonl").read_text().splitlines()]
    assert len(log) < 40
    best = max(range(len(log)), key=lambda epoch: log[epoch]["mAP"])
    assert len(log) - 1 - best == 2


def test_missing_and_broken_photos_are_reported_before_training(
    bands_manifest: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(bands_manifest.parent, tmp_path / "bands"))
    manifest = read_manifest(root / "bands.parquet")
    (root / "photos/003.jpg").write_bytes(b"no photo")
    with pytest.raises(FftagError, match=r"1 photos cannot be read, such as .*003\.jpg"):
        train(load_recipe("cnn", SMALL), manifest, tmp_path / "run", QUICK)
    (root / "photos/003.jpg").unlink()
    with pytest.raises(FftagError, match=r"1 of 96 photos are missing: .*003\.jpg"):
        train(load_recipe("cnn", SMALL), manifest, tmp_path / "run", QUICK)


@pytest.mark.usefixtures("undrawn")
def test_photos_too_many_for_memory_are_decoded_as_they_come(
    manifest: Manifest, tmp_path: Path
) -> None:
    one = load_recipe("cnn", SMALL | {"run.epochs": "2"})
    two = load_recipe("cnn", SMALL | {"run.epochs": "2", "data.cache_gb": "0"})
    states = [
        train(recipe, manifest, tmp_path / name, QUICK).build().state_dict()
        for name, recipe in (("memory", one), ("disk", two))
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_manifest_without_validation_photos_is_refused(
    manifest: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(FftagError, match="no photo is in split 'val'"):
        train(load_recipe("cnn", SMALL), manifest.of_split("train"), tmp_path / "run", QUICK)


def test_evaluation_refuses_labels_the_model_does_not_know(
    manifest: Manifest, session_bundle: Any, tmp_path: Path
) -> None:
    from dataclasses import replace

    from fftag.models.labels import LabelSet

    other = replace(manifest, labels=LabelSet.of(["red", "green", "blue", "plaid"]))
    with pytest.raises(FftagError, match="'plaid'"):
        evaluate_model(session_bundle, other, "test", tmp_path, "cpu", 1)


def test_label_and_photo_weights_follow_their_definition() -> None:
    targets = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0]], dtype=np.uint8)
    # 6 labels in all on 3 kinds: 6 / (4 x 3), 6 / (2 x 3), and none to draw for the third.
    assert label_weights(targets).tolist() == [0.5, 1.0, 0.0]
    assert photo_weights(targets).tolist() == [1.5, 0.5, 0.5, 1.5]


def test_weighted_sampling_draws_photos_by_their_weights() -> None:
    targets = np.array([[1, 0]] * 90 + [[0, 1]] * 10, dtype=np.uint8)
    drawn = np.concatenate(
        [
            list(make_sampler("class_weighted", targets, torch.Generator().manual_seed(seed)))
            for seed in range(40)
        ]
    )
    assert len(drawn) == 4000
    assert abs((drawn >= 90).mean() - 0.5) < 0.03
    plain = list(make_sampler("shuffle", targets, torch.Generator().manual_seed(0)))
    assert sorted(plain) == list(range(100)) and plain != sorted(plain)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "[model]\narchitecture = 'cnn'\nlayers = 3",
            r"unknown key model\.layers: use one of arch",
        ),
        ("[modle]\narchitecture = 'cnn'", "unknown key modle|model: Field required"),
        ("[model]\narchitecture = 'cnn'\n[run]\nepochs = 0", r"run\.epochs: .*greater"),
        ("[model]\narchitecture = 'cnn'\n[loss]\nname = 'hinge'", r"loss\.name: .*'bce'"),
        ("[model]\narchitecture = 'resnet9000'", "no architecture 'resnet9000'"),
        ("[model]\narchitecture = 'cnn'\n[run]\nepochs = 'many'", r"run\.epochs"),
        ("[run]\nepochs = 3", "model: Field required"),
        ("architecture: cnn", "is no TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_place(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "recipe.toml").write_text(content)
    with pytest.raises(FftagError, match=words):
        load_recipe(str(tmp_path / "recipe.toml"))


@pytest.mark.parametrize("content", [[1], {"identity": {}}, {"state": 3}])
def test_a_file_that_is_no_checkpoint_is_one_line(
    manifest: Manifest, tmp_path: Path, content: Any
) -> None:
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(FftagError, match=r"checkpoint\.pt is no checkpoint .*--restart"):
        train(load_recipe("cnn", SMALL), manifest, tmp_path, QUICK)


def test_an_unknown_recipe_is_answered_with_the_shipped_ones() -> None:
    with pytest.raises(FftagError, match="cnn, demo, hugging_face, inception_v3"):
        load_recipe("cnnn")


def test_flags_beat_the_recipe_and_must_name_a_section() -> None:
    assert load_recipe("cnn", {"optimizer.lr": "0.5"}).optimizer.lr == 0.5
    assert load_recipe("cnn", {"model.resize": "pad"}).model.input_spec().resize == "pad"
    with pytest.raises(FftagError, match=r"section\.key=value"):
        load_recipe("cnn", {"lr": "1"})


def test_recipes_are_small_and_say_why() -> None:
    for name in shipped_recipes():
        text = (recipes_folder() / f"{name}.toml").read_text()
        assert text.startswith("# ") and len(text.splitlines()) < 40


@pytest.mark.usefixtures("undrawn", "shallow")
@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_trains_saves_and_loads(
    manifest: Manifest, tmp_path: Path, name: str
) -> None:
    weights = "none"
    if name == "hugging_face":
        from transformers import ViTConfig, ViTImageProcessor, ViTModel

        config = ViTConfig(image_size=32, patch_size=8, num_hidden_layers=1, hidden_size=12)
        ViTModel(config).save_pretrained(tmp_path / "checkpoint")
        ViTImageProcessor(size=32).save_pretrained(tmp_path / "checkpoint")
        weights = str(tmp_path / "checkpoint")
    changes = {
        "model.weights": json.dumps(weights),
        "run.epochs": "1",
        "run.max_steps": "1",
        "run.batch_size": "2",
        "data.cache_gb": "0",
    }
    recipe = load_recipe(name, changes)
    if recipe.model.architecture == "vit_b_16":
        recipe = load_recipe(name, changes | {"model.input_size": "[32, 32]"})
    if recipe.model.architecture == "resnet101":
        recipe = load_recipe(name, changes | {"model.input_size": "[64, 48]"})
    few = manifest.frame.groupby("split").head(4).reset_index(drop=True)
    bundle = train(recipe, Manifest(few, manifest.labels, manifest.root), tmp_path / "r", QUICK)
    network = bundle.build()
    spec: InputSpec = bundle.config.input
    with torch.no_grad():
        assert network(torch.rand(1, 3, spec.height, spec.width)).logits.shape == (1, 3)
