"""The pages of the app, run by Streamlit's own test driver; and how the app is started."""

import os
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from catalogues import (
    HOSTILE,
    SCRIPT,
    SHOP_LABELS,
    SHOP_PHOTOS,
    Shop,
    make_shop,
    save_bands,
    with_metadata,
)
from PIL import Image

from fftag.app import catalogue
from fftag.app.launch import THEME, is_loopback, start, streamlit_arguments
from fftag.app.parts import plain
from fftag.app.search import Search
from fftag.app.settings import VARIABLE, Settings
from fftag.app.written_pages import evaluate
from fftag.base.errors import FftagError
from fftag.catalogue.load import load
from fftag.data.eda import write_eda
from fftag.data.manifest import read_manifest
from fftag.explain.maps import heat_maps
from fftag.models.folder import Bundle, save_screen
from fftag.models.screen import Screen
from fftag.reports.ask import all_reports
from fftag.reports.review_queue import Answered, take_answers

streamlit = pytest.importorskip("streamlit")
from streamlit.testing.v1 import AppTest  # noqa: E402

PAGES = Path(__file__).parents[2] / "fftag/app/pages"
NEEDS = {"tag": "--model", "catalogue": "--db", "trends": "--db", "models": "--model"}
NEEDS["data"] = "--data"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., AppTest]:
    """Opens a page of an app started with these settings."""

    def open_page(page: str, query: dict[str, str] | None = None, **given: Any) -> AppTest:
        settings = Settings(runs=tmp_path / "runs", **given)
        monkeypatch.setenv(VARIABLE, settings.to_json())
        test = AppTest.from_file(str(PAGES / f"{page}.py"), default_timeout=30)
        for name, value in (query or {}).items():
            test.query_params[name] = value
        return well(test.run())

    return open_page


def well(test: AppTest) -> AppTest:
    """The page, which shows no traceback."""
    assert not test.exception, test.exception[0].message
    return test


def plain_again(text: str) -> str:
    return text.replace("\\", "").replace("\u2060", "")


def texts(test: AppTest) -> str:
    """What the page says."""
    kinds = ("title", "header", "caption", "markdown", "info", "warning", "error", "success")
    return "\n".join(str(one.value) for kind in kinds for one in getattr(test, kind))


@pytest.mark.parametrize("page", NEEDS)
def test_a_page_without_what_it_shows_says_how_to_give_it(
    opened: Callable[..., AppTest], page: str
) -> None:
    test = opened(page)
    assert len(test.info) == 1 and NEEDS[page] in test.info[0].value


@pytest.mark.parametrize("page", NEEDS)
@pytest.mark.parametrize("kind", ["missing", "broken"])
def test_what_is_missing_or_broken_is_one_clear_line(
    opened: Callable[..., AppTest], session_bundle: Bundle, tmp_path: Path, page: str, kind: str
) -> None:
    model, db, data = tmp_path / "model", tmp_path / "c.duckdb", tmp_path / "d.parquet"
    if kind == "broken":
        shutil.copytree(session_bundle.path, model)
        (model / "model.safetensors").write_bytes(b"altered")
        (model / "evaluation-test").mkdir()
        (model / "evaluation-test/predictions.parquet").write_text("no table")
        db.write_text("no database")
        data.write_text("no table")
    test = opened(page, model=model, db=db, data=data)
    said = texts(test)
    if page == "models" and kind == "missing":
        assert "Not evaluated yet" in said
        return
    named = {"tag": "model", "models": "model", "data": "d.parquet"}.get(page, "c.duckdb")
    assert plain(named) in said
    assert len([*test.error, *test.warning]) == 1 and "Traceback" not in said


def picture_of(folder: Path) -> bytes:
    Image.new("RGB", (8, 8)).save(folder / "one.png")
    return (folder / "one.png").read_bytes()


def sent(name: str, tmp_path: Path, labels: list[str]) -> tuple[str, bytes, str]:
    save_bands(tmp_path / "up.jpg", labels)
    return name, (tmp_path / "up.jpg").read_bytes(), "image/jpeg"


def test_photos_are_tagged_and_thresholds_move(
    opened: Callable[..., AppTest], session_bundle: Bundle, tmp_path: Path
) -> None:
    test = opened("tag", model=session_bundle.path)
    assert "Drop photos" in texts(test)
    files = [sent("**a**.jpg", tmp_path, ["red"]), sent("b.jpg", tmp_path, ["blue"])]
    files.append(("c.jpg", b"no photo", "image/jpeg"))
    well(test.file_uploader(key="tag_files").set_value(files).run())
    assert "3 photos" in texts(test) and "1 failed" in texts(test)
    assert plain("**a**.jpg") in [one.value for one in test.header]
    test.radio(key="tag_thresholds").set_value("One for all")
    well(test.run())
    test.slider(key="tag_threshold").set_value(1.0)
    well(test.run())
    assert "No label reaches its threshold." in texts(test) and "no tags" in texts(test)
    test.button(key="tag_open_2").click()
    well(test.run())
    assert "unsupported" in test.error[0].value


def test_a_photo_of_the_camera_is_tagged(
    opened: Callable[..., AppTest], session_bundle: Bundle, tmp_path: Path
) -> None:
    test = opened("tag", model=session_bundle.path)
    assert not test.camera_input
    well(test.toggle(key="tag_camera").set_value(True).run())
    well(test.camera_input(key="tag_taken").set_value(sent("c.jpg", tmp_path, ["red"])).run())
    assert "1 photo" in texts(test)


def test_why_a_label_was_given_is_shown_on_a_click(
    opened: Callable[..., AppTest],
    session_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[bytes, list[str]]] = []

    def noted(bundle: Bundle, photo: Path, labels: list[str]) -> dict[str, bytes]:
        asked.append((photo.read_bytes(), labels))
        made = heat_maps(bundle, photo, labels)
        assert made["blue"].startswith(b"\x89PNG")
        return made

    monkeypatch.setattr("fftag.explain.maps.heat_maps", noted)
    test = opened("tag", model=session_bundle.path)
    one = sent("a.jpg", tmp_path, ["red"])
    well(test.file_uploader(key="tag_files").set_value([one]).run())
    test.radio(key="tag_thresholds").set_value("One for all")
    well(test.run())
    test.slider(key="tag_threshold").set_value(0.0)
    well(test.run())
    test.selectbox(key="tag_why_0").set_value("blue")
    well(test.button(key="tag_heat_0").click().run())
    assert asked == [(one[1], ["blue"])]


def test_what_shows_no_apparel_is_said_to(
    opened: Callable[..., AppTest],
    session_bundle: Bundle,
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(session_bundle.path, tmp_path / "model"))
    # Around -1, which no photo is near to: every score lies at the far end of the curve.
    knots, shares = np.array([0, 1e-4], np.float32), np.array([0.9, 0.03], np.float32)
    features = session_bundle.build().head.in_features
    centre = {"centroids": -np.ones((1, features), np.float32), "spreads": np.ones(1, np.float32)}
    save_screen(folder, Screen("kmeans", centre, knots, shares, 0.05, 0.1, {}))
    test = opened("tag", model=folder)
    files = [sent("a.jpg", tmp_path, ["red"])]
    well(test.file_uploader(key="tag_files").set_value(files).run())
    assert "No apparel" in texts(test) and "screen 0.00" in texts(test)


def test_the_catalogue_is_filtered_and_paged(opened: Callable[..., AppTest], shop: Shop) -> None:
    test = opened("catalogue", db=shop.db)
    assert test.metric[0].value == f"{SHOP_PHOTOS - 1}"
    assert len([one for one in test.button if "find_open" in str(one.key)]) == 24
    well(test.button(key="find_next").click().run())
    assert len([one for one in test.button if "find_open" in str(one.key)]) == SHOP_PHOTOS - 1 - 24
    test.multiselect(key="find_all").set_value([SCRIPT])
    well(test.run())
    expected = catalogue.find(shop.db, Search(labels=[SCRIPT]))
    assert test.metric[0].value == f"{expected.total}"
    assert test.number_input(key="find_page").value == 1
    test.selectbox(key="find_sort").set_value("score")
    test.selectbox(key="find_scored").set_value("red")
    well(test.run())
    best = catalogue.find(shop.db, Search(labels=[SCRIPT], scored="red", sort="score")).photos[0]
    assert f"red: {best.scores['red']:.2f}" in texts(test).replace("\\", "")
    test.text_input(key="find_text").set_value("nothing like it")
    well(test.run())
    assert "loosen the filters" in texts(test)


def test_a_label_is_corrected_and_stands_in_the_database(
    opened: Callable[..., AppTest], tmp_path: Path
) -> None:
    shop = make_shop(tmp_path, 8)
    one = next(one for one in catalogue.find(shop.db, Search()).photos if one.tagged)
    wrong, new = one.labels[0], next(name for name in HOSTILE if name not in one.labels)
    test = opened("catalogue", {"source": one.source, "image": one.image}, db=shop.db)
    key = f"{one.source}/{one.image}"
    test.radio(key=f"review {key} {wrong}").set_value("wrong")
    test.multiselect(key=f"add {key}").set_value([new])
    test.text_input(key="reviewer").set_value("Ana")
    well(test.button[[b.label for b in test.button].index("Save")].click().run())
    assert "2 corrections saved" in texts(test)
    found = catalogue.photo(shop.db, one.source, one.image)
    assert found is not None and found.said == {wrong: False, new: True}
    well(test.button[[b.label for b in test.button].index("Save")].click().run())
    assert "Nothing to save" in texts(test)


def test_a_photo_is_said_to_show_no_other_label(
    opened: Callable[..., AppTest], tmp_path: Path
) -> None:
    shop = make_shop(tmp_path, 8)
    one = next(one for one in catalogue.find(shop.db, Search()).photos if one.tagged)
    new = next(name for name in HOSTILE if name not in one.labels)
    test = opened("catalogue", {"source": one.source, "image": one.image}, db=shop.db)
    key = f"{one.source}/{one.image}"
    for label in one.labels:
        test.radio(key=f"review {key} {label}").set_value("right")
    test.multiselect(key=f"add {key}").set_value([new])
    test.checkbox(key=f"whole {key}").set_value(True)
    well(test.button[[b.label for b in test.button].index("Save")].click().run())
    found = catalogue.photo(shop.db, one.source, one.image)
    assert found is not None
    assert found.said == {name: name in (*one.labels, new) for name in SHOP_LABELS}


def test_a_photo_that_was_encoded_anew_is_asked_what_was_said_before(
    opened: Callable[..., AppTest], tmp_path: Path
) -> None:
    shop = make_shop(tmp_path, 8)
    label, other = SHOP_LABELS[1:3]  # of one group
    one = next(one for one in catalogue.find(shop.db, Search()).photos if label not in one.labels)
    answer = Answered(one.image, one.source, label, False, True)
    take_answers(shop.db, [answer], "Ana", "it", "")
    table = pq.read_table(shop.tags)
    old, at = table["content_sha256"], table.schema.names.index("content_sha256")
    anew = pc.if_else(pc.equal(table["image"], one.image), "f" * 64, old)
    pq.write_table(table.set_column(at, "content_sha256", anew), tmp_path / "anew.parquet")
    load(with_metadata(tmp_path / "anew.parquet", tmp_path / "again.parquet"), shop.db)
    found = catalogue.photo(shop.db, one.source, one.image)
    assert found is not None and (found.said, found.offered) == ({}, {label: True})
    test = opened("catalogue", {"source": one.source, "image": one.image}, db=shop.db)
    asked = test.radio(key=f"review {one.source}/{one.image} {label}")
    assert "an earlier picture of it shows it" in asked.label and asked.value == "open"
    asked.set_value("none of its group")
    well(test.button[[b.label for b in test.button].index("Save")].click().run())
    found = catalogue.photo(shop.db, one.source, one.image)
    assert found is not None and (found.said, found.offered) == ({label: False, other: False}, {})


def test_a_correction_is_withdrawn_and_the_models_word_stands_again(
    opened: Callable[..., AppTest], tmp_path: Path
) -> None:
    shop = make_shop(tmp_path, 8)
    one = next(one for one in catalogue.find(shop.db, Search()).photos if one.tagged)
    wrong, new = one.labels[0], next(name for name in HOSTILE if name not in one.labels)
    key = f"{one.source}/{one.image}"
    test = opened("catalogue", {"source": one.source, "image": one.image}, db=shop.db)

    def save() -> dict[str, bool]:
        well(test.button[[b.label for b in test.button].index("Save")].click().run())
        found = catalogue.photo(shop.db, one.source, one.image)
        assert found is not None and found.facts == one.facts
        return found.said

    assert "withdraw" not in test.radio(key=f"review {key} {wrong}").options
    test.radio(key=f"review {key} {wrong}").set_value("wrong")
    test.multiselect(key=f"add {key}").set_value([new])
    assert save() == {wrong: False, new: True}
    assert test.radio(key=f"said {key} {wrong}").value == "wrong"

    test.radio(key=f"said {key} {wrong}").set_value("withdraw")
    assert save() == {new: True}
    assert "1 correction withdrawn" in texts(test)
    assert test.radio(key=f"review {key} {wrong}").value == "open"  # it is asked again

    # The last word counts: said anew, said otherwise, and withdrawn with the other.
    test.radio(key=f"review {key} {wrong}").set_value("right")
    assert save() == {wrong: True, new: True}
    test.radio(key=f"said {key} {wrong}").set_value("wrong")
    assert save() == {wrong: False, new: True}
    for label in (wrong, new):
        test.radio(key=f"said {key} {label}").set_value("withdraw")
    assert save() == {}
    assert "2 corrections withdrawn" in texts(test)
    again = catalogue.photo(shop.db, one.source, one.image)
    assert again is not None and again.labels == one.labels


def test_filters_are_kept_while_a_photo_is_looked_at_and_not_shown_beside_it(
    opened: Callable[..., AppTest], shop: Shop
) -> None:
    test = opened("catalogue", db=shop.db)
    test.multiselect(key="find_all").set_value(["red"])
    well(test.run())
    total = test.metric[0].value
    well(test.button(key="find_open_0").click().run())
    assert "Nearest by labels" in texts(test)
    assert "find_all" not in [one.key for one in test.multiselect] and not test.sidebar.selectbox
    well(test.button[[b.label for b in test.button].index("Back to the photos")].click().run())
    assert test.multiselect(key="find_all").value == ["red"] and test.metric[0].value == total


def test_a_photo_that_went_away_is_told(opened: Callable[..., AppTest], shop: Shop) -> None:
    test = opened("catalogue", {"source": "x", "image": "y"}, db=shop.db)
    assert "no such photo any more" in texts(test)


def test_photos_in_another_place_are_found_there_or_asked_for(
    opened: Callable[..., AppTest], shop: Shop, tmp_path: Path
) -> None:
    test = opened("catalogue", db=shop.db, photos={"": tmp_path / "gone"})
    assert "give" in test.warning[0].value and len(test.warning) == 1
    moved = Path(shutil.copytree(shop.photos, tmp_path / "moved"))
    test = opened("catalogue", db=shop.db, photos={"": moved})
    assert not test.warning


@pytest.mark.usefixtures("undrawn")
def test_every_report_is_a_page(opened: Callable[..., AppTest], shop: Shop) -> None:
    test = opened("trends", db=shop.db)
    for report in all_reports():
        test.selectbox(key="report").set_value(report.name)
        well(test.run())
        assert plain(report.title) in [one.value for one in test.header]
        assert test.code[0].value.strip() == report.sql.strip()
        assert not test.error and (test.dataframe or test.info)
        drawn = report.plot is not None and len(test.dataframe) > 0
        assert len(test.get("image")) == drawn, report.name


def test_reports_are_narrowed_down_and_asked_with_parameters(
    opened: Callable[..., AppTest], shop: Shop
) -> None:
    test = opened("trends", db=shop.db)
    test.selectbox(key="report").set_value("share")
    well(test.run())
    everything = len(test.dataframe[0].value)
    test.multiselect(key="only_labels").set_value([SCRIPT, "red"])
    test.multiselect(key="only_brand").set_value(["Acme"])
    well(test.run())
    assert len(test.dataframe[0].value) == 2 < everything
    assert "brand Acme" in texts(test).replace("\\", "")
    test.selectbox(key="report").set_value("pairs")
    well(test.run())
    test.number_input(key="parameter_pairs_min_items").set_value(100_000)
    well(test.run())
    assert "No two labels meet" in texts(test)


def test_a_filter_of_labels_is_offered_where_the_report_tells_them_apart(
    opened: Callable[..., AppTest], shop: Shop
) -> None:
    test = opened("trends", db=shop.db)
    test.multiselect(key="only_labels").set_value(["red"])
    well(test.run())
    assert "label red" in texts(test)
    test.selectbox(key="report").set_value("coverage")
    well(test.run())
    assert "only_labels" not in [one.key for one in test.multiselect]
    assert "label red" not in texts(test) and not test.error
    test.multiselect(key="only_brand").set_value(["Acme"])
    well(test.run())
    table = test.dataframe[0].value
    assert "brand Acme" in texts(test) and table["files"].tolist() == [f"{SHOP_PHOTOS // 2}"]


def framed_pages(test: AppTest) -> list[str]:
    """The pages of other commands that are shown, as they were put into their frames."""
    frames = [one.proto.srcdoc for one in test.get("iframe")]
    assert all(frame.startswith("<iframe sandbox ") for frame in frames)
    inside = [re.findall(r'srcdoc="([^"]*)"', frame)[0] for frame in frames]
    pages = [unescape(page) for page in inside]
    assert all(page.startswith("<meta http-equiv=") for page in pages)
    return pages


@pytest.mark.usefixtures("undrawn")
def test_models_are_evaluated_looked_at_and_compared(
    opened: Callable[..., AppTest],
    session_bundle: Bundle,
    bands_manifest: Path,
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(session_bundle.path, tmp_path / "runs" / "bands"))
    asked = opened("models", data=bands_manifest, local=False)
    assert "Not evaluated yet" in texts(asked) and not asked.button
    test = opened("models", data=bands_manifest)
    assert "bands" in texts(test) and not framed_pages(test)
    well(test.button(key="models_evaluate").click().run(timeout=120))
    written = (folder / "evaluation-test/evaluation.html").read_text(encoding="utf-8")
    (shown,) = framed_pages(test)
    assert shown.endswith(written) and "On 16 photos" in shown
    (folder / "curves.png").write_bytes(picture_of(tmp_path))
    well(test.run())
    assert "Training" in [one.label for one in test.expander]

    second = Path(shutil.copytree(folder, folder.with_name("second")))
    test = opened("models", data=bands_manifest)
    test.multiselect(key="models").set_value([folder, second])
    well(test.run(timeout=120))
    (shown,) = framed_pages(test)
    assert "2 models on the same 16 photos of split test" in shown and "Differences" in shown
    (second / "evaluation-test/predictions.parquet").write_bytes(b"no table")
    well(test.run())
    assert len(test.error) == 1 and "predictions" in test.error[0].value
    test.multiselect(key="models").set_value([])
    well(test.run())
    assert "Choose at least one" in texts(test)


@pytest.mark.usefixtures("undrawn")
def test_a_page_of_an_older_model_is_not_shown_as_this_ones(
    opened: Callable[..., AppTest],
    session_bundle: Bundle,
    bands_manifest: Path,
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(session_bundle.path, tmp_path / "runs" / "bands"))
    evaluate(folder, bands_manifest, "test")
    table = pq.read_table(folder / "evaluation-test/predictions.parquet")
    metadata = table.schema.metadata[b"fftag"].replace(session_bundle.model_id.encode(), b"0" * 64)
    pq.write_table(
        table.replace_schema_metadata({b"fftag": metadata}),
        folder / "evaluation-test/predictions.parquet",
    )
    test = opened("models")
    assert "another model than the folder now holds" in plain_again(test.error[0].value)
    assert not framed_pages(test)


@pytest.mark.usefixtures("undrawn")
def test_the_page_of_a_dataset_is_that_of_data_eda(
    opened: Callable[..., AppTest], bands_manifest: Path, tmp_path: Path
) -> None:
    test = opened("data", data=bands_manifest)
    (shown,) = framed_pages(test)
    written = write_eda(read_manifest(bands_manifest), tmp_path / "eda")[0]
    assert shown.endswith(written.read_text(encoding="utf-8"))
    test.text_input(key="data_manifest").set_value(str(tmp_path / "other.parquet"))
    well(test.run())
    assert "no manifest at" in test.error[0].value
    asked = opened("data", data=bands_manifest, local=False)
    assert not asked.text_input  # from elsewhere, no path on this machine is opened


@pytest.mark.parametrize(
    "text", ["**bold**", ":red[x]", "$a^2$", "[x](http://y)", "# a", "<b>", "a\nb", "- a", ":joy:"]
)
def test_plain_text_has_no_markdown_left(text: str) -> None:
    shown = plain(text).replace("\u2060", "")
    assert shown.replace("\\", "") == text.replace("\n", " ")
    assert "\n" not in shown
    for at, letter in enumerate(shown):
        if letter in "*_[]()<>$:#`~":
            assert shown[at - 1] == "\\"


def test_settings_come_back_as_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings(
        Path("m"), Path("c.duckdb"), {"": Path("p"), "قم": Path("q")}, None, Path("r"), local=False
    )
    monkeypatch.setenv(VARIABLE, given.to_json())
    assert Settings.from_environment() == given
    monkeypatch.delenv(VARIABLE)
    assert Settings.from_environment() == Settings(photos={})


def test_the_app_keeps_to_this_machine_and_sends_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *all_of_it: given.append(all_of_it))
    monkeypatch.chdir(Path.cwd())  # and back at the end
    start(Settings(db=Path("c.duckdb")))
    ((_, command, environment),) = given
    assert "--server.address=127.0.0.1" in command
    assert "--browser.gatherUsageStats=false" in command
    assert '"db": "c.duckdb"' in environment[VARIABLE]
    assert "other machines" not in capsys.readouterr().err
    start(Settings(), "0.0.0.0")
    assert "reached from other machines" in capsys.readouterr().err
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "db")] == [
        *[True] * 3,
        *[False] * 2,
    ]
    assert len(THEME) == sum("--theme." in flag for flag in streamlit_arguments("::1", 1))


def test_without_streamlit_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fftag.app.launch.find_spec", lambda name: None)
    with pytest.raises(FftagError, match=r"fftag\[app\]"):
        start(Settings())


def test_contrast_of_the_theme_is_enough_to_read() -> None:
    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(first: str, second: str) -> float:
        high, low = sorted((light(first), light(second)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for name in ("red", "blue", "green", "yellow"):
        ground = THEME[f"{name}BackgroundColor"]
        assert contrast(THEME[f"{name}TextColor"], ground) >= 4.5, name
    assert contrast(THEME["textColor"], THEME["secondaryBackgroundColor"]) >= 7
    primary = THEME["primaryColor"]
    assert contrast("#ffffff", primary) >= 4.5
    parts = [round(0.2 * int(primary[at : at + 2], 16) + 0.8 * 255) for at in (1, 3, 5)]
    chosen_and_pointed_at = f"#{bytes(parts).hex()}"  # what Streamlit makes of it
    assert contrast(primary, chosen_and_pointed_at) >= 4.5
