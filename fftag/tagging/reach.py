"""Whether the source can still be reached, by the files that were read last."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fftag.base.errors import TOO_MANY_FAILED, FftagError
from fftag.photos.record import PhotoRecord
from fftag.photos.sources.base import NETWORK

# A store that restarts is waited for; one that is gone would be asked for each file of it.
SECONDS_WITHOUT_A_FILE = 60.0
FILES_IN_A_ROW = 32


class Done(NamedTuple):
    """What became of some files.

    Attributes:
        photos: how many they are.
        recognised: of them, by their content, and not decoded.
        unreached: of them, as their source does not answer.
        error: of one of these.
    """

    photos: int
    recognised: int
    unreached: int
    error: str

    @classmethod
    def of(cls, records: Sequence[PhotoRecord]) -> "Done":
        """Of the records of files that were read."""
        errors = [one.error for one in records if one.error and one.error.startswith(NETWORK)]
        recognised = sum(one.known for one in records)
        return cls(len(records), recognised, len(errors), errors[-1] if errors else "")


@dataclass
class Reach:
    """Whether the source can still be reached, by the batches read last.

    Attributes:
        failed: files in a row, batch by batch, that could not be reached.
        unreached: all files that could not be reached.
        since: when a file was read last.
        error: of one of those that failed.
    """

    failed: int = 0
    unreached: int = 0
    since: float = field(default_factory=time.monotonic)
    error: str = ""

    def note(self, done: Done) -> None:
        """Takes files that were read."""
        self.unreached += done.unreached
        if done.unreached < done.photos:
            self.failed, self.since = 0, time.monotonic()
        elif done.photos:
            self.failed, self.error = self.failed + done.unreached, done.error

    @property
    def lost(self) -> bool:
        """Whether so many files in a row failed, for so long, that the others will too."""
        waited = time.monotonic() - self.since
        return self.failed >= FILES_IN_A_ROW and waited >= SECONDS_WITHOUT_A_FILE

    def refusal(self, source: str, done: int, total: int) -> FftagError:
        """What ends the run.

        Args:
            source: its name.
            done: how many files have been taken, with those that could not be reached.
            total: how many there are.
        """
        return FftagError(
            f"{source} cannot be reached: the last {self.failed:,} files failed, for "
            f"{time.monotonic() - self.since:,.0f} s ({self.error.removeprefix(NETWORK)}); "
            f"{done - self.unreached:,} of {total:,} files are done and kept, and the same command "
            "goes on once it is there again",
            TOO_MANY_FAILED,
        )
