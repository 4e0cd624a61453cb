"""Downloads iMaterialist (Fashion) 2019 or 2020 with Kaggle's own client, and unpacks it.

    python train/download_imaterialist.py 2019 path/to/imaterialist2019

Needs the client (`pip install 'fftag[kaggle]'`), a token, and that you have accepted the rules of
the competition in a browser. Run it again after an interruption: it goes on where it stopped.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from archives import is_unpacked, need_space, stop, unpack

COMPETITIONS = {2019: "imaterialist-fashion-2019-FGVC6", 2020: "imaterialist-fashion-2020-fgvc7"}
TOKEN_FILES = ("kaggle.json", "access_token", "credentials.json")


def main() -> None:
    """Checks client, token and disk; downloads; unpacks what training uses."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("year", type=int, choices=COMPETITIONS)
    parser.add_argument("folder", type=Path, help="where the dataset goes; made if need be")
    parser.add_argument("--need-gb", type=float, default=60, help="least free disk (default 60)")
    parser.add_argument("--keep-archive", action="store_true", help="keep the zip file")
    given = parser.parse_args()

    competition = COMPETITIONS[given.year]
    archive = given.folder / f"{competition}.zip"
    if is_unpacked(archive):
        print(f"{given.folder} is complete already", file=sys.stderr)
    else:
        client = shutil.which("kaggle")
        if client is None:
            stop("Kaggle's client is not on the PATH: pip install 'fftag[kaggle]'")
        if not has_token():
            stop(
                "there is no Kaggle token: sign in at https://www.kaggle.com/settings, choose "
                "«Create New Token» under API, and put the file it gives you at "
                "~/.kaggle/kaggle.json (chmod 600), or set KAGGLE_API_TOKEN"
            )
        given.folder.mkdir(parents=True, exist_ok=True)
        need_space(given.folder, given.need_gb)
        download(client, competition, given.folder, archive)
        unpack(archive, given.folder, wanted, given.keep_archive)
    unpack_inner(given.folder)
    check(given.folder)
    print(
        f"next: fftag data import imaterialist{given.year} {given.folder} --out dataset.parquet",
        file=sys.stderr,
    )


def has_token() -> bool:
    """Whether the client will find credentials; what they are is its own affair."""
    if os.environ.get("KAGGLE_API_TOKEN"):
        return True
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        return True
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"
    folders = [Path.home() / ".kaggle", settings]
    if os.environ.get("KAGGLE_CONFIG_DIR"):
        folders = [Path(os.environ["KAGGLE_CONFIG_DIR"])]
    return any((folder / name).is_file() for folder in folders for name in TOKEN_FILES)


def download(client: str, competition: str, folder: Path, archive: Path) -> None:
    """Has the client fetch the archive; it resumes a partial file, and skips a complete one."""
    command = [client, "competitions", "download", "-c", competition, "-p", str(folder)]
    ended = subprocess.run(command, check=False).returncode  # noqa: S603 (no shell, fixed words)
    # Some versions of the client print «403 - Forbidden» and still end with 0.
    if ended != 0 or not archive.is_file():
        stop(
            f"the download of {competition} failed (the client ended with {ended}).\n"
            "403 - Forbidden: its rules are not accepted yet. Nothing can accept them for you: "
            f"sign in as the token's owner, open https://www.kaggle.com/c/{competition}/rules, "
            "read them, choose «I Understand and Accept» (or «Late Submission» first, if that is "
            "all the page offers), then run this again.\n"
            "401 - Unauthorized: the token is void; make a new one at "
            "https://www.kaggle.com/settings.\n"
            "Anything else: run this again, and it goes on where it stopped."
        )


def wanted(name: str) -> bool:
    """Test photos have no labels: they stay in the archive."""
    return not name.startswith(("test/", "test.zip"))


def unpack_inner(folder: Path) -> None:
    """The archive may hold archives: of the photos, and of the table."""
    for inner, into in (("train.zip", folder / "train"), ("train.csv.zip", folder)):
        archive = folder / inner
        if archive.is_file() and not is_unpacked(archive):
            unpack(archive, into, wanted, keep=False)


def check(folder: Path) -> None:
    """Stops unless what the importer reads is there."""
    for name in ("train.csv", "label_descriptions.json", "train"):
        if not (folder / name).exists():
            stop(
                f"{folder / name} is missing after unpacking: the archive has another layout than "
                "expected; run `kaggle competitions files` to see what it holds"
            )


if __name__ == "__main__":
    main()
