"""Downloads Fashionpedia (annotations and photos) from its public address, and unpacks it.

    python train/download_fashionpedia.py path/to/fashionpedia

Annotations are CC BY 4.0; each photo has the licence its own record names. Run it again after an
interruption: it goes on where it stopped.
"""

import argparse
import http.client
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from archives import is_unpacked, need_space, stop, unpack

ADDRESS = "https://s3.amazonaws.com/ifashionist-dataset"
ANNOTATIONS = ("instances_attributes_train2020.json", "instances_attributes_val2020.json")
ARCHIVES = ("train2020.zip", "val_test2020.zip")
"""Photos to train on; and those of the validation set, together with the unlabelled test set."""

TRIES = 5
CHUNK_BYTES = 2**20


def main() -> None:
    """Downloads what is not there yet, unpacks it, and says how to go on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the dataset goes; made if need be")
    parser.add_argument("--need-gb", type=float, default=20, help="least free disk (default 20)")
    parser.add_argument("--keep-archives", action="store_true", help="keep the zip files")
    parser.add_argument("--address", default=ADDRESS, help="of a mirror")
    given = parser.parse_args()
    if not given.address.startswith(("https://", "http://")):
        stop(f"--address {given.address}: give one that begins with https://")

    given.folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in ANNOTATIONS if not (given.folder / name).is_file()]
    packed = [name for name in ARCHIVES if not is_unpacked(given.folder / name)]
    if missing or packed:
        need_space(given.folder, given.need_gb)
    for name in missing:
        download(f"{given.address}/annotations/{name}", given.folder / name)
    for name in packed:
        archive = given.folder / name
        if not archive.is_file():
            download(f"{given.address}/images/{name}", archive)
        unpack(archive, given.folder, lambda member: True, given.keep_archives)
    print(
        f"next: fftag data import fashionpedia {given.folder} --out dataset.parquet",
        file=sys.stderr,
    )


def download(address: str, target: Path) -> None:
    """Fetches a file, trying again where the connection breaks; `target` is whole or not there."""
    part = target.with_name(f"{target.name}.part")
    for attempt in range(1, TRIES + 1):
        print(f"downloading {address}", file=sys.stderr)
        try:
            fetch_rest(address, part)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                stop(f"{address} cannot be had ({error.code} {error.reason})")
            problem: Exception = error
        except (OSError, http.client.HTTPException) as error:
            problem = error
        else:
            part.replace(target)
            return
        if attempt < TRIES:
            time.sleep(2**attempt)
    stop(f"{address}: {problem}; run this again, and it goes on where it stopped")


def fetch_rest(address: str, part: Path) -> None:
    """Appends to `part` what it lacks.

    Raises:
        OSError, http.client.HTTPException: the connection failed or ended early.
    """
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address)  # noqa: S310 (http or https, checked in main)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=60)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and have == size_of(error):
            return
        raise
    with (
        response,
        part.open("ab" if response.status == http.client.PARTIAL_CONTENT else "wb") as to,
    ):
        shutil.copyfileobj(response, to, CHUNK_BYTES)
        wanted = to.tell() + (response.length or 0)
    if part.stat().st_size != wanted:
        raise OSError(f"the connection ended {wanted - part.stat().st_size} bytes early")


def size_of(refusal: urllib.error.HTTPError) -> int | None:
    """The file's size, which a server names when asked for bytes beyond its end."""
    named = refusal.headers.get("Content-Range", "").rpartition("/")[2]
    return int(named) if named.isdecimal() else None


if __name__ == "__main__":
    main()
