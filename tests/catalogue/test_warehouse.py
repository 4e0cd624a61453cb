"""The warehouse: what is loaded, how photos find their product, what is refused, who may read."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from catalogues import MODIFIED_AT, TAGGED_AT, Catalog, ask, with_metadata, write_feed

from fftag.base.errors import FftagError
from fftag.catalogue import feed
from fftag.catalogue import load as warehouse
from fftag.catalogue.load import load
from fftag.catalogue.options import LoadOptions, Named
from fftag.reports.ask import Filters, run_report

COUNTS = {"tp": 8, "fp": 2, "fn": 4, "tn": 6}
SMALL = Catalog(
    labels=["cape", "belt", "hat"],
    groups=["outer", None, "head"],
    photos={
        "a/FF-1_1.jpg": ["cape", "belt"],
        "a/FF-1_2.jpg": ["cape"],
        "a/FF-2.jpg": [],
        "b/FF-3_1.jpg": ["hat"],
        "b/notes.txt": "unsupported",
        "b/size-chart.png": ["belt"],
    },
    no_apparel=["b/size-chart.png"],
    validation=[COUNTS, COUNTS, {"tp": 0, "fp": 0, "fn": 0, "tn": 20}],
    settings={"precision": "bf16"},
)
PRODUCTS: list[dict[str, Any]] = [
    {"sku": "FF-1", "brand": "Acme", "price": 10.5, "listed_at": "2025-01-31", "Colour": "red"},
    {"sku": "FF-2", "brand": "", "price": "", "listed_at": "", "Colour": "007"},
    {"sku": "FF-9", "brand": "Brand, Inc.", "price": 5, "listed_at": "2025-02-01", "Colour": "NA"},
]


@pytest.fixture
def tags(tmp_path: Path) -> Path:
    return SMALL.write(tmp_path / "tags.parquet")


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "catalog.duckdb"


def refused(tags: Path, db: Path, products: Path | None = None, pattern: str | None = None) -> str:
    """The message of a load that fails, after making sure that it left nothing behind."""
    if not db.exists():
        load(SMALL.write(db.with_name("old.parquet")), db)
    before = db.read_bytes()
    with pytest.raises(FftagError) as caught:
        load(tags, db, products, LoadOptions(sku_pattern=pattern))
    assert db.read_bytes() == before
    assert not [path for path in db.parent.iterdir() if path.name.startswith(".")]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_row_of_the_tags_file_is_an_image_with_its_scores(tags: Path, db: Path) -> None:
    summary = load(tags, db)
    assert (summary.images, summary.tagged, summary.failed, summary.tags) == (6, 5, 1, 5)
    table = pq.read_table(tags)
    rows = ask(db, "select image, status, scores, run_id, sku from images order by image")
    assert [row[0] for row in rows] == sorted(table["image"].to_pylist())
    by_image = dict(zip(table["image"].to_pylist(), table["scores"].to_pylist(), strict=True))
    assert {row[0]: row[2] for row in rows} == by_image
    assert {row[3] for row in rows} == {"run-1"} and {row[4] for row in rows} == {None}


def test_times_are_stored_as_utc(tags: Path, db: Path) -> None:
    load(tags, db)
    (row,) = ask(db, "select distinct modified_at, tagged_at from images")
    assert row == (MODIFIED_AT.replace(tzinfo=None), TAGGED_AT.replace(tzinfo=None))


def test_tags_lie_sorted_by_label_then_image(tags: Path, db: Path) -> None:
    load(tags, db)
    assert ask(db, "select label, image from tags") == [
        ("belt", "a/FF-1_1.jpg"),
        ("belt", "b/size-chart.png"),
        ("cape", "a/FF-1_1.jpg"),
        ("cape", "a/FF-1_2.jpg"),
        ("hat", "b/FF-3_1.jpg"),
    ]


def test_failures_labels_and_the_run_are_there(tags: Path, db: Path) -> None:
    load(tags, db)
    assert ask(db, "select image, status, error, file_size from failures") == [
        ("b/notes.txt", "unsupported", "cannot read: unsupported", 1234)
    ]
    labels = ask(
        db,
        'select position, label, "group", kind, parent, tp, sensitivity, specificity from labels',
    )
    assert labels == [
        (0, "cape", "outer", "many", None, 8, 8 / 12, 6 / 8),
        (1, "belt", "labels", "many", None, 8, 8 / 12, 6 / 8),
        (2, "hat", "head", "many", None, 0, None, 1.0),
    ]
    run = ask(db, "select run_id, model_id, source, settings, files, tagged, failed from runs")
    assert run == [("run-1", "ab" * 32, "photos", '{"precision": "bf16"}', 6, 5, 1)]


def test_a_run_says_which_screen_it_had(tmp_path: Path, tags: Path, db: Path) -> None:
    screen = {"id": "ef" * 32, "method": "kmeans", "reject": 0.01, "review": 0.8}
    screened = with_metadata(tags, tmp_path / "s.parquet", screen=screen, run_id="run-2")
    load([Named(tags, "plain"), Named(screened, "screened")], db)
    columns = "screen_method, screen_review, screen_reject"
    assert ask(db, f"select source, {columns} from runs order by source") == [
        ("plain", None, None, None),
        ("screened", "kmeans", 0.8, 0.01),
    ]
    without = with_metadata(tags, tmp_path / "w.parquet", screen=None, run_id="run-3")
    load(without, db)
    assert ask(db, f"select {columns} from runs") == [(None, None, None)]


def test_the_documented_query_lists_photos_to_look_at(tmp_path: Path, tags: Path, db: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/warehouse.md").read_text()
    query = text[text.index("### runs") :].split("```sql\n")[1].split("```")[0]
    for review, wanted in ((0.8, 4), (0.7, 0)):  # every score of the catalogue is 0.75
        screen = {"id": "ef" * 32, "method": "kmeans", "reject": 0.01, "review": review}
        load(with_metadata(tags, tmp_path / "s.parquet", screen=screen), db)
        assert len(ask(db, query)) == wanted


def test_labels_of_a_model_without_validation_have_no_counts(tmp_path: Path, db: Path) -> None:
    load(Catalog(["cape"], {"a.jpg": ["cape"]}).write(tmp_path / "tags.parquet"), db)
    assert ask(db, "select tp, sensitivity from labels") == [(None, None)]


def test_an_empty_catalogue_loads(tmp_path: Path, db: Path) -> None:
    summary = load(Catalog(["cape"], {}).write(tmp_path / "tags.parquet"), db)
    assert (summary.images, summary.tags) == (0, 0)
    assert ask(db, "select counted, items from basis") == [("photos", 0)]


def test_a_feed_is_joined_by_the_sku_in_the_file_name(tmp_path: Path, tags: Path, db: Path) -> None:
    summary = load(tags, db, write_feed(tmp_path / "feed.csv", PRODUCTS))
    assert (summary.products, summary.joined, summary.without_photo) == (3, 3, 1)
    assert "3 images belong to one, 3 to none; 1 products have none" in summary.lines()[1]
    skus = ask(db, "select sku from images order by image")
    assert [sku for (sku,) in skus] == ["FF-1", "FF-1", "FF-2", "FF-3", "notes", "size-chart"]
    items = ask(db, "select item, photos from items order by item")
    assert items == [("FF-1", 2), ("FF-2", 1)]
    labels = ask(db, "select item, label from item_labels join items using (item_id) order by all")
    assert labels == [("FF-1", "belt"), ("FF-1", "cape")]


def test_the_feeds_columns_are_typed_or_kept_as_text(tmp_path: Path, tags: Path, db: Path) -> None:
    load(tags, db, write_feed(tmp_path / "feed.csv", PRODUCTS))
    rows = ask(db, "select sku, brand, price, listed_at::varchar, Colour from products")
    assert rows == [
        ("FF-1", "Acme", 10.5, "2025-01-31", "red"),
        ("FF-2", None, None, None, "007"),
        ("FF-9", "Brand, Inc.", 5.0, "2025-02-01", "NA"),
    ]


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
def test_feeds_of_every_format_give_the_same_products(
    tmp_path: Path, tags: Path, db: Path, suffix: str
) -> None:
    frame = pd.DataFrame(PRODUCTS[::2])
    path = tmp_path / f"feed{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False, encoding="utf-8-sig")
    elif suffix == ".xlsx":
        frame.to_excel(path, index=False)
    else:
        frame["listed_at"] = pd.to_datetime(frame["listed_at"])
        frame.to_parquet(path)
    load(tags, db, path)
    assert ask(db, "select sku, price, listed_at::varchar, Colour from products") == [
        ("FF-1", 10.5, "2025-01-31", "red"),
        ("FF-9", 5.0, "2025-02-01", "NA"),
    ]


def test_a_feed_with_an_image_column_is_joined_by_path(
    tmp_path: Path, tags: Path, db: Path
) -> None:
    path = write_feed(
        tmp_path / "feed.csv",
        [
            {"sku": "X", "image": "a/FF-1_1.jpg", "brand": "Acme"},
            {"sku": "X", "image": "b/FF-3_1.jpg", "brand": "Acme"},
            {"sku": "Y", "image": "a/FF-2.jpg", "brand": "Bold"},
            {"sku": "Z", "image": "", "brand": "None"},
        ],
    )
    summary = load(tags, db, path)
    assert (summary.products, summary.joined, summary.without_photo) == (3, 3, 1)
    assert ask(db, "select image, sku from images where sku is not null order by image") == [
        ("a/FF-1_1.jpg", "X"),
        ("a/FF-2.jpg", "Y"),
        ("b/FF-3_1.jpg", "X"),
    ]


def test_a_pattern_beats_the_image_column(tmp_path: Path, tags: Path, db: Path) -> None:
    path = write_feed(tmp_path / "feed.csv", [{"sku": "1", "image": "http://shop/1.jpg"}])
    assert load(tags, db, path, LoadOptions(sku_pattern=r"FF-(\d+)")).joined == 2
    assert ask(db, "select image from products") == [("http://shop/1.jpg",)]


def test_without_a_feed_photos_are_counted_and_those_without_apparel_are_not(
    tags: Path, db: Path
) -> None:
    load(tags, db)
    (row,) = ask(db, "select counted, items, photos, failed, without_apparel from basis")
    assert row == ("photos", 4, 4, 1, 1)


def test_what_is_left_out_is_counted(tmp_path: Path, tags: Path, db: Path) -> None:
    load(tags, db, write_feed(tmp_path / "feed.csv", PRODUCTS))
    query = "select counted, items, photos, failed, without_apparel, without_product from basis"
    assert ask(db, query) == [("products", 2, 3, 1, 1, 1)]
    assert ask(db, "select products_without_photo, items_with_date from basis") == [(1, 1)]


NASTY = [
    "x'); DROP TABLE tags; --",
    '"; attach',
    "=cmd()",
    "<script>",
    "عباية",
    "旗袍",
    "👗",
    "\x1b[31m",
]


def test_untrusted_names_pass_through_unharmed(tmp_path: Path, db: Path) -> None:
    photos = {f"{name.replace('/', '')}_1.jpg": [name] for name in NASTY}
    tags = Catalog(NASTY, photos, groups=NASTY).write(tmp_path / "tags.parquet")
    path = write_feed(
        tmp_path / "feed.csv",
        [{"sku": name, "brand": name, '"); drop table tags; --': name} for name in NASTY],
    )
    assert load(tags, db, path).joined == len(NASTY)
    assert sorted(name for (name,) in ask(db, "select label from tags")) == sorted(NASTY)
    assert sorted(name for (name,) in ask(db, "select brand from products")) == sorted(NASTY)
    assert ask(
        db, "select count(*) from item_labels join items using (item_id) where item = label"
    ) == [(len(NASTY),)]
    assert '"); drop table tags; --' in [row[0] for row in ask(db, "describe products")]


def test_what_is_fed_cannot_open_a_file(tmp_path: Path) -> None:
    with warehouse._database(tmp_path / "new.duckdb") as connection:
        for statement in ("select * from read_text('/etc/hostname')", "attach 'other.duckdb'"):
            with pytest.raises(duckdb.PermissionException):
                connection.execute(statement).fetchall()


def test_a_missing_or_foreign_tags_file_is_refused(tmp_path: Path, tags: Path, db: Path) -> None:
    assert "no tags file" in refused(tmp_path / "none.parquet", db)
    text = tmp_path / "text.parquet"
    text.write_text("hello")
    assert "is no Parquet file" in refused(text, db)
    plain = tmp_path / "plain.parquet"
    pq.write_table(pa.table({"image": ["a"]}), plain)
    assert "no tags file" in refused(plain, db)
    manifest = tmp_path / "manifest.parquet"
    pq.write_table(pa.table({"image": ["a"]}).replace_schema_metadata({b"fftag": b"{}"}), manifest)
    assert "no tags file" in refused(manifest, db)
    newer = with_metadata(tags, tmp_path / "newer.parquet", format_version=4)
    assert "newer fftag" in refused(newer, db)
    older = with_metadata(tags, tmp_path / "older.parquet", format_version=2)
    assert "older fftag" in refused(older, db)


@pytest.mark.parametrize(
    "odd",
    [{"format_version": "3"}, {"settings": None}, {"run_id": None}, {"labels": ["a"]},
     {"groups": [{"name": "labels", "kind": "some"}]}, {"screen": {"id": "x"}}],
)  # fmt: skip
def test_odd_metadata_is_one_line(tmp_path: Path, tags: Path, db: Path, odd: Any) -> None:
    message = refused(with_metadata(tags, tmp_path / "odd.parquet", **odd), db)
    assert "odd.parquet is damaged in its metadata" in message


def test_a_damaged_tags_file_is_refused(tmp_path: Path, db: Path) -> None:
    photos = {f"{number:05d}.jpg": ["cape"] for number in range(3000)}
    tags = Catalog(["cape"], photos).write(tmp_path / "tags.parquet")
    pq.write_table(pq.read_table(tags), tags, row_group_size=1000, write_page_checksum=True)
    whole = tags.read_bytes()
    scores = pq.ParquetFile(tags).metadata.row_group(1).column(6)
    assert scores.path_in_schema.startswith("scores")
    middle = scores.data_page_offset + scores.total_compressed_size // 2
    content = bytearray(whole)
    content[middle : middle + 64] = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
    tags.write_bytes(content)
    message = refused(tags, db)
    assert f"{tags} is damaged in row group 1 (rows 1,000 to 1,999" in message
    tags.write_bytes(whole[: len(whole) // 2])
    assert "cut off or damaged" in refused(tags, db)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("brand\nAcme\n", "neither a column sku nor image"),
        ("sku,brand\n", "no rows"),
        ("sku,brand\nFF-1,a,b\nFF-2,a,b\n", "more cells than its header"),
        ("sku,brand\nFF-1,a\nFF-1,b\nFF-2,c\n", "1 skus stand in several rows"),
        ("sku,brand\nFF-1,a\n,b\n", "1 rows of"),
        ("sku,price\nFF-1,free\nFF-2,2\n", "price that is no number, the first in row 2: 'free'"),
        ("sku,price\nFF-1,1\nFF-2,inf\n", "price that is no number, the first in row 3"),
        ("sku,listed_at\nFF-1,2025-01-01\nFF-2,31.12.2025\n", "no date (YYYY-MM-DD), the first in"),
        ("sku,Brand,brand\nFF-1,a,b\n", "several columns called 'brand'"),
        ("sku,image\nA,a/FF-1_1.jpg\nB,a/FF-1_1.jpg\n", "1 images stand in several rows"),
        ("sku,image\nA,elsewhere.jpg\n", "no image of the tags file is in the column image"),
        ("", "cannot be read as csv"),
    ],
)
def test_a_feed_that_is_wrong_is_refused(
    tmp_path: Path, tags: Path, db: Path, content: str, words: str
) -> None:
    path = tmp_path / "feed.csv"
    path.write_text(content)
    assert words in refused(tags, db, path)


def test_a_missing_feed_is_refused(tmp_path: Path, tags: Path, db: Path) -> None:
    assert "there is no file" in refused(tags, db, tmp_path / "none.csv")


def test_a_feed_that_no_image_belongs_to_is_refused_with_examples(
    tmp_path: Path, tags: Path, db: Path
) -> None:
    message = refused(tags, db, write_feed(tmp_path / "feed.csv", [{"sku": "ZZ-7"}]))
    assert all(part in message for part in ("'a/FF-1_1.jpg'", "'FF-1'", "'ZZ-7'", "--sku-pattern"))
    message = refused(tags, db, write_feed(tmp_path / "feed.csv", [{"sku": "ZZ-7"}]), "(ZZ-[0-9]+)")
    assert "no sku is found in 'a/FF-1_1.jpg'" in message


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "no regular expression"),
        ("FF-[0-9]+", "has 0 groups"),
        ("(FF)-([0-9]+)", "has 2 groups"),
        ("(?=FF)(.+)", "cannot be used"),
    ],
)
def test_a_pattern_that_is_wrong_is_refused(
    tmp_path: Path, tags: Path, db: Path, pattern: str, words: str
) -> None:
    assert words in refused(tags, db, write_feed(tmp_path / "feed.csv", PRODUCTS), pattern)


@pytest.mark.parametrize(
    ("image", "sku"),
    [
        ("dresses/2025-03/FF-000123_1.jpg", "FF-000123"),
        ("FF-000123.jpeg", "FF-000123"),
        ("a.b/FF_000123_12.webp", "FF_000123"),
        ("FF-000123_2025.jpg", "FF-000123_2025"),
        ("no-ending_3", "no-ending"),
        ("v1.2/shoe.v2_1.jpg", "shoe.v2"),
    ],
)
def test_the_default_pattern_takes_the_name_without_view_number(image: str, sku: str) -> None:
    connection = duckdb.connect()
    query = "select regexp_extract($image, $pattern, 1)"
    found = connection.execute(query, {"image": image, "pattern": feed.SKU_PATTERN}).fetchall()
    connection.close()
    assert found == [(sku,)]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, tags: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FftagError, match=r"cannot open .*: Not a directory"):
        load(tags, tmp_path / "file" / "catalog.duckdb")


def test_folders_are_made(tmp_path: Path, tags: Path) -> None:
    load(tags, tmp_path / "new/folder/catalog.duckdb")
    left = [path.name for path in (tmp_path / "new/folder").iterdir()]
    assert left == ["catalog.duckdb"]


HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
print(connection.execute("select count(*) from images").fetchall()[0][0], flush=True)
sys.stdin.readline()
print(connection.execute("select count(*), min(image) from images").fetchall()[0][0], flush=True)
"""


def test_a_reader_keeps_its_database_while_a_new_one_takes_its_place(
    tmp_path: Path, tags: Path, db: Path
) -> None:
    load(tags, db)
    larger = Catalog(["cape"], {f"{n}.jpg": ["cape"] for n in range(50)})
    command = [sys.executable, "-c", HOLD, str(db)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        timer = threading.Timer(30, reader.kill)
        timer.start()
        assert reader.stdout.readline() == "6\n"
        load(larger.write(tmp_path / "larger.parquet"), db)
        output, _ = reader.communicate("go on\n")
        timer.cancel()
    assert output == "6\n"
    assert ask(db, "select count(*) from images") == [(50,)]


def test_a_log_that_another_program_left_does_not_reach_the_new_database(
    tags: Path, db: Path
) -> None:
    load(tags, db)
    code = (
        "import os, sys, duckdb; connection = duckdb.connect(sys.argv[1]);"
        "connection.execute('create table mine (i int)').fetchall(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(db)], check=True)
    assert db.with_name(db.name + ".wal").exists()
    load(tags, db)
    assert not db.with_name(db.name + ".wal").exists()
    names = [name for (name,) in ask(db, "show tables")]
    assert "mine" not in names and "images" in names


def test_sorting_more_than_fits_in_memory_goes_on_on_disk(
    tmp_path: Path, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 300_000
    catalog = Catalog(["cape", "belt"], {"a.jpg": ["cape"]})
    one = pq.read_table(catalog.write(tmp_path / "one.parquet"))
    names = [f"{number * 7919 % count:064d}.jpg" for number in range(count)]
    many = one.take(np.zeros(count, np.int64)).set_column(0, "image", pa.array(names, pa.string()))
    pq.write_table(many.cast(one.schema), tmp_path / "many.parquet")
    monkeypatch.setattr(warehouse, "MEMORY", "90MB")
    assert load(tmp_path / "many.parquet", db).tags == count
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_column_of_the_feed_that_is_called_like_ours_is_kept_and_can_be_asked_for(
    tmp_path: Path, tags: Path, db: Path
) -> None:
    rows = [row | {"photos": "few", "item": f"item {row['sku']}"} for row in PRODUCTS]
    load(tags, db, write_feed(tmp_path / "feed.csv", rows))
    found = ask(db, "select sku, photos_in_feed, item_in_feed, photos from items order by sku")
    assert found == [("FF-1", "few", "item FF-1", 2), ("FF-2", "few", "item FF-2", 1)]
    answer = run_report(db, "share", filters=Filters(where={"item_in_feed": ["item FF-1"]}))
    assert "Counted: 1 products" in answer.basis
