"""Buckets and other storage behind a URL, by fsspec."""

import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import fsspec
from fsspec import AbstractFileSystem

from fftag.base.errors import FftagError
from fftag.base.progress import say
from fftag.photos.decode import Failure
from fftag.photos.listing import GONE, Listing, ListingMaker, Selection, unescape
from fftag.photos.sources.base import NETWORK, Content, retried


class Service(NamedTuple):
    """A kind of storage.

    Attributes:
        extra: of fftag, that installs its package.
        login: what tells its package who asks.
        address: what tells it where the storage is, if not where it is by itself.
    """

    extra: str
    login: str
    address: str | None = None


S3 = Service(
    "s3",
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE and ~/.aws/credentials, or "
    "FSSPEC_S3_ANON=true for a public bucket",
    "AWS_ENDPOINT_URL",
)
GOOGLE = Service(
    "gs",
    "GOOGLE_APPLICATION_CREDENTIALS (a key file), or log in with `gcloud auth application-default "
    "login`, or FSSPEC_GS_TOKEN=anon for a public bucket",
)
AZURE = Service(
    "az",
    "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with "
    "AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_ACCOUNT_NAME",
)
SERVICES = {
    "s3": S3, "s3a": S3, "gs": GOOGLE, "gcs": GOOGLE, "az": AZURE, "abfs": AZURE, "abfss": AZURE,
}  # fmt: skip
TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")

# What the libraries raise where nobody has logged in, beside PermissionError.
LOGIN_ERRORS = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError",
    "TokenRetrievalError", "ProfileNotFound", "DefaultCredentialsError", "RefreshError",
    "ClientAuthenticationError", "AuthenticationException",
}  # fmt: skip
# What storage says of one file, or of what was asked, and would say again.
REFUSALS = {
    getattr(errno, name)
    for name in ("EINVAL", "EISDIR", "EMSGSIZE", "ENAMETOOLONG", "ENOENT", "ENOSYS", "ENOTDIR",
                 "EACCES", "EPERM")
}  # fmt: skip
MISTAKES = (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, MemoryError)
MAY_PASS_CODES = (408, 425, 429)  # of HTTP, among those that say that the request is at fault

TRIES = 5
# Shares of the seconds that a photo may take altogether: storage that does not answer is given up
# before the photo counts as one that takes too long.
TO_CONNECT = 1 / 12
SILENCE = 1 / 6  # between two pieces of an answer
TO_TRY_AGAIN = 1 / 4  # after so long, no further try begins
ONE_TRY = 3 / 5
SECONDS_BETWEEN_LINES = 15.0


@dataclass(frozen=True)
class Remote:
    """Every file below a URL that fsspec knows, such as `s3://bucket/photos`.

    Where the storage is and how to log in is told as its library is told it: by the environment, by
    its own files, or by fsspec's configuration.

    Attributes:
        url: of a folder, prefix or bucket.
        seconds: that one photo may take, to read and to decode; requests are given up before.
    """

    url: str
    seconds: float = 60.0

    @property
    def name(self) -> str:
        """The URL, without a password that it may hold."""
        return self._hidden(self.url)

    def list(self, selection: Selection = Selection()) -> Listing:
        """See `fftag.photos.sources.base.Source.list`."""
        address = os.environ.get(self._service.address or "") if self._service else None
        say(f"listing {self.name}" + (f" at {address}" if address else ""))
        storage = self._open()
        maker = ListingMaker(selection)
        seen, said_at = 0, time.monotonic()
        try:
            for path, info in storage.pages() if self._service is S3 else storage.walk(maker):
                seen += 1
                if time.monotonic() > said_at + SECONDS_BETWEEN_LINES:
                    said_at = time.monotonic()
                    say(f"listing {self.name}: {seen:,} so far")
                # Some stores mark a folder by an empty file.
                is_mark = (not path or path.endswith("/")) and not info.get("size")
                if not is_mark and maker.wants(path):
                    maker.add(path, info.get("size"), _modified_ns(info))
            if not seen and storage.info()["type"] == "file":
                raise FftagError(f"{self.name} is a file: give the folder that it lies in")
        except FftagError:
            raise
        except Exception as error:
            # The libraries behind fsspec each raise errors of their own.
            raise FftagError(f"cannot list {self.name}: {self.explain(error)}") from error
        return maker.finish()

    def reader(self) -> "RemoteReader":
        """See `fftag.photos.sources.base.Source.reader`."""
        return RemoteReader(self, self._open())

    def said(self, error: Exception) -> str:
        """What an error says, in one line."""
        text = self._hidden(" ".join(str(error).split())[:200])
        return f"{type(error).__name__}: {text}" if text else type(error).__name__

    def explain(self, error: Exception) -> str:
        """What an error says, and what mends it."""
        said, service = self.said(error), self._service
        if isinstance(error, FileNotFoundError):
            return f"{said}: is its name right?"
        if did_not_answer(error):
            where = (
                f", and does {service.address} say where it is"
                if service and service.address
                else ""
            )
            return f"{said}: can it be reached from here{where}?"
        return f"{said}: log in as somebody who may, with {service.login}" if service else said

    @property
    def _protocol(self) -> str:
        return self.url.split("://")[0]

    @property
    def _service(self) -> Service | None:
        return SERVICES.get(self._protocol)

    def _hidden(self, text: str) -> str:
        password = urlsplit(self.url).password
        return text.replace(f":{password}@", ":***@") if password else text

    def _open(self) -> "_Storage":
        """The storage, and the path in it; no request is sent yet.

        Raises:
            FftagError: there is none for the URL, or it needs a package that is not there.
        """
        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if self._service is S3:
            options["max_concurrency"] = 1  # else the size is asked for before each read
            options["config_kwargs"] = {
                "connect_timeout": self.seconds * TO_CONNECT,
                "read_timeout": self.seconds * SILENCE,
                "retries": {"total_max_attempts": 1},
                **fsspec.config.conf.get(self._protocol, {}).get("config_kwargs", {}),
            }
        try:
            files, root = fsspec.core.url_to_fs(self.url, **options)
        except ImportError as error:
            service = self._service
            fix = f"pip install 'fftag[{service.extra}]'" if service else self.said(error)
            raise FftagError(
                f"{self._protocol}:// needs a package that is not installed: {fix}"
            ) from error
        except Exception as error:
            raise FftagError(f"cannot open {self.name}: {self.explain(error)}") from error
        if self._service is S3:
            files.retries = 1
        return _Storage(files, root.rstrip("/"), self.seconds)


@dataclass(frozen=True)
class _Storage:
    """A file system behind a URL, whose every request ends in time and is tried again here alone.

    Attributes:
        files: the file system.
        root: the path of the source in it.
        seconds: see `Remote`.
    """

    files: AbstractFileSystem
    root: str
    seconds: float

    def ask(self, method: str, *args: Any, **options: Any) -> Any:
        """What a method of the file system returns."""
        if self.files.async_impl:
            options["timeout"] = self.seconds * ONE_TRY
        call = partial(getattr(self.files, method), *args, **options)
        return retried(call, did_not_answer, TRIES, self.seconds * TO_TRY_AGAIN)

    def info(self) -> dict[str, Any]:
        """Of the root."""
        return dict(self.ask("info", self.root))

    def pages(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Path and properties of every object of S3, some at a time.

        Folder by folder, s3fs would lose keys with an empty part, such as `spring//1.jpg`.
        """
        bucket, key, _ = self.files.split_path(self.root)
        asked = {"Bucket": bucket, "Prefix": f"{key}/" if key else ""}
        while True:
            page = self.ask("call_s3", "list_objects_v2", **asked)
            for one in page.get("Contents", ()):
                yield one["Key"].removeprefix(asked["Prefix"]), {**one, "size": one["Size"]}
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def walk(self, maker: ListingMaker) -> Iterator[tuple[str, dict[str, Any]]]:
        """Path and properties of every file, folder by folder; folders left out are counted."""
        pending = [self.root]
        while pending:
            folder = pending.pop()
            try:
                found = self.ask("ls", folder, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                if folder == self.root:
                    raise
                maker.leave_out(GONE)
                continue
            except PermissionError as error:
                if folder == self.root:
                    raise
                maker.leave_unread(self._below(folder), str(error) or "no permission")
                continue
            for one in found:
                name, is_folder = one["name"], one["type"] == "directory"
                if name.rstrip("/") == folder:
                    if folder == self.root and not is_folder and one.get("size"):
                        return  # the root is a file
                elif not is_folder:
                    yield self._below(name), one
                elif maker.enters(self._below(name.rstrip("/"))):
                    pending.append(name.rstrip("/"))

    def _below(self, name: str) -> str:
        return name.removeprefix(self.root).removeprefix("/")


@dataclass(frozen=True)
class RemoteReader:
    """Reads files of one storage."""

    source: Remote
    storage: _Storage

    def read(self, entry: dict[str, Any], limit: int) -> Content | Failure:
        """See `fftag.photos.sources.base.Reader.read`."""
        path = f"{self.storage.root}/{unescape(entry['image'])}"
        size = entry["size"]
        too_large = size is not None and size > limit
        try:
            data = self.storage.ask("cat_file", path, end=limit + 1 if too_large else None)
        except MemoryError:
            raise
        except FileNotFoundError:
            return Failure("vanished", "there is no such file, or no longer")
        except Exception as error:
            said = self.source.said(error)
            if did_not_answer(error):
                return Failure("unreadable", NETWORK + said)
            denied = "no permission: " if _is_denied(error) else ""
            return Failure("unreadable", denied + said)
        # What it was when it was listed: an object that changed since is read again next time.
        return Content(data, size if too_large else len(data), entry["modified_ns"])

    def close(self) -> None:
        """See `fftag.photos.sources.base.Reader.close`."""


def did_not_answer(error: Exception) -> bool:
    """Whether storage did not answer, or not in order: what may pass by itself.

    Its text is not looked at. What no library's error is known for is taken for it: the next run
    reads the file again in any case.
    """
    if isinstance(error, MISTAKES) or _is_denied(error):
        return False
    if isinstance(error, OSError):
        return error.errno not in REFUSALS and not isinstance(
            error, FileNotFoundError | NotADirectoryError | IsADirectoryError
        )
    codes = (getattr(error, name, None) for name in ("status", "status_code", "code"))
    code = next((code for code in codes if isinstance(code, int)), None)
    return code is None or not 400 <= code < 500 or code in MAY_PASS_CODES


def _is_denied(error: Exception) -> bool:
    if isinstance(error, PermissionError):
        return True
    return any(kind.__name__ in LOGIN_ERRORS for kind in type(error).__mro__)


def _modified_ns(info: dict[str, Any]) -> int | None:
    """When a file was modified, since the epoch; None where the storage does not say."""
    value = next((info[name] for name in TIMES if info.get(name) is not None), None)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1_000_000) * 1000
    return None if value is None else int(value * 1_000_000) * 1000
