"""Buckets and other storage behind a URL, by fsspec."""

import posixpath
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import fsspec
from fsspec import AbstractFileSystem

from fftag.decode import Failure
from fftag.errors import FftagError
from fftag.listing import Listing, ListingMaker, unescape
from fftag.sources.base import NETWORK, NOT_INCLUDED, Content, Selection, retried

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
TRIES = 2  # the libraries behind fsspec try again themselves, several times


@dataclass(frozen=True)
class Remote:
    """Every file below a URL that fsspec knows, such as `s3://bucket/photos`.

    Where the storage is and how to log in is told as its library is told it: by the environment, by
    its own files, or by fsspec's configuration.

    Attributes:
        url: of a folder, prefix or bucket.
    """

    url: str

    @property
    def name(self) -> str:
        """The URL, without a password that it may hold."""
        password = urlsplit(self.url).password
        return self.url.replace(f":{password}@", ":***@") if password else self.url

    def list(self, selection: Selection = Selection()) -> Listing:
        """See `fftag.sources.base.Source.list`."""
        files, root = _storage(self.url)
        maker = ListingMaker()
        pending = [root]
        while pending:
            folder = pending.pop()
            try:
                found = retried(partial(files.ls, folder, detail=True), _may_pass, TRIES)
            except Exception as error:
                # The libraries behind fsspec each raise errors of their own.
                raise FftagError(f"cannot list {self.name}: {_said(error)}") from error
            for one in found:
                is_itself = one["name"].rstrip("/") == folder
                if is_itself and one.get("size"):
                    raise FftagError(f"{self.name} is a file: give the folder that it lies in")
                if one["type"] == "directory" and not is_itself:
                    pending.append(one["name"].rstrip("/"))
                elif one.get("size") or not (is_itself or one["name"].endswith("/")):
                    # Not one of the empty files by which some stores mark a folder.
                    path = one["name"].removeprefix(root).removeprefix("/")
                    _take(path, one, selection, maker)
        return maker.finish()

    def reader(self) -> "RemoteReader":
        """See `fftag.sources.base.Source.reader`."""
        return RemoteReader(*_storage(self.url))


def _take(path: str, info: dict[str, Any], selection: Selection, maker: ListingMaker) -> None:
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        maker.leave_out("keys with an empty part, . or .. in their path")
    elif not selection.includes(posixpath.basename(path)):
        maker.leave_out(NOT_INCLUDED)
    else:
        maker.add(path, info.get("size"), _modified_ns(info))


@dataclass
class RemoteReader:
    """Reads files of one storage."""

    files: AbstractFileSystem
    root: str

    def read(self, entry: dict[str, Any], limit: int) -> Content | Failure:
        """See `fftag.sources.base.Reader.read`."""
        path = f"{self.root}/{unescape(entry['image'])}"
        size = entry["size"]
        too_large = size is not None and size > limit
        stop = limit + 1 if too_large else None
        try:
            data = retried(partial(self.files.cat_file, path, end=stop), _may_pass, TRIES)
        except FileNotFoundError:
            return Failure("vanished", "there is no such file, or no longer")
        except PermissionError as error:
            return Failure("unreadable", f"no permission: {_said(error)}")
        except Exception as error:
            return Failure("unreadable", NETWORK + _said(error))
        # What it was when it was listed: an object that changed since is read again next time.
        return Content(data, size if too_large else len(data), entry["modified_ns"])

    def close(self) -> None:
        """See `fftag.sources.base.Reader.close`."""


def _storage(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL, and the path in it.

    Raises:
        FftagError: there is none for it, or it needs a package that is not there.
    """
    protocol = url.split("://")[0]
    try:
        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        fix = f"pip install 'fftag[{extra}]'" if extra else _said(error)
        raise FftagError(f"{protocol}:// needs a package that is not installed: {fix}") from error
    except Exception as error:
        raise FftagError(f"cannot open {Remote(url).name}: {_said(error)}") from error
    return files, root.rstrip("/")


def _modified_ns(info: dict[str, Any]) -> int | None:
    """When a file was modified, since the epoch; None where the storage does not say."""
    value = next((info[name] for name in TIMES if info.get(name) is not None), None)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1_000_000) * 1000
    return None if value is None else int(value * 1_000_000) * 1000


def _may_pass(error: Exception) -> bool:
    return not isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError)


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
