"""What scores depend on: rows that agree in it may stand beside each other."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields

from fftag.photos.listing import SHARD_SETTING
from fftag.tagging.tags_file import RunInfo

REVISIONS = "decoder_revisions"  # their key among the settings of a tags file


@dataclass(frozen=True)
class Agreement:
    """All that the scores of a photo depend on, but for its bytes.

    Attributes:
        model: the id of what computes scores: weights, labels and input.
        precision, backend: how it computes.
        decoder: `scaled` or `full`.
        revisions: format and revision of its decoder, see
            `fftag.photos.image_formats.DECODER_REVISIONS`.
        screen: the id of the apparel screen; None where there is none.
        shard: which share of the source, such as `2/8`; None for all of it.
        format_version: of the tags format.
    """

    model: str
    precision: str | None
    backend: str | None
    decoder: str | None
    revisions: tuple[tuple[str, int], ...]
    screen: str | None
    shard: str | None
    format_version: int

    @classmethod
    def of(cls, run: RunInfo) -> "Agreement":
        """That of the rows of a tags file, or of a run that will write one."""
        said = run.settings
        revisions = said.get(REVISIONS)
        return cls(
            model=run.scores_id,
            precision=said.get("precision"),
            backend=said.get("backend"),
            decoder=said.get("decoder"),
            revisions=tuple(sorted(revisions.items())) if isinstance(revisions, dict) else (),
            screen=(run.screen or {}).get("id"),
            shard=said.get(SHARD_SETTING),
            format_version=run.format_version,
        )

    @property
    def digest(self) -> str:
        """It in 16 hex digits, by which folders of parts are named."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]

    @property
    def share(self) -> str:
        """Of how much of the source it is, in words."""
        return f"shard {self.shard}" if self.shard else "the whole source"

    def differences(self, there: "Agreement") -> list[str]:
        """Why rows that are there cannot stand beside those of this one, in words a user knows.

        Their decoders' revisions tell which rows are read again, and not that all are. Rows with
        another share are refused elsewhere.
        """
        words = {
            "format_version": "format version",
            "model": "model",
            "screen": "apparel screen",
        }
        names = [one.name for one in fields(self) if one.name not in ("revisions", "shard")]
        differing = [name for name in names if getattr(self, name) != getattr(there, name)]
        # A model without a screen takes scores only; what a screen says, a second pass can tell.
        if self.screen is None and "screen" in differing:
            differing.remove("screen")
        return [words.get(name, name) for name in differing]
