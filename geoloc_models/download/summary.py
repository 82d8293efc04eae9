"""What a download came to, as figures and as text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geoloc_models.download.record import State

_WORDS = {
    State.OK: "ok",
    State.GONE: "gone",
    State.NOT_AN_IMAGE: "not an image",
    State.TOO_LARGE: "too large",
    State.FAILED: "failed",
    State.REFUSED: "refused address",
}


@dataclass(frozen=True)
class DownloadSummary:
    """Outcome of a download.

    Parameters
    ----------
    n_photos : int
        Photos of the table.
    counts : dict
        Photos in each state, earlier runs included.
    n_now, n_fetched_now : int
        Photos that this run was through with, and those of them whose image is there.
    n_recovered : int
        Images of a killed run that the ledger had not known.
    n_lost : int
        Images that the ledger knew but nobody finds.
    bytes_on_disk : int
        Size of all images in the folder.
    seconds : float
        How long this run took.
    table : path, optional
        The table of fetched photos, if it was written.
    is_interrupted : bool
        Whether the run was ended before it was through.
    """

    n_photos: int
    counts: dict[State, int]
    n_now: int
    n_fetched_now: int
    n_recovered: int
    n_lost: int
    bytes_on_disk: int
    seconds: float
    table: Path | None = None
    is_interrupted: bool = False

    @property
    def n_done(self) -> int:
        """Photos that have a state."""
        return sum(self.counts.values())

    @property
    def dead_share(self) -> float:
        """Share of gone photos among those that have a state, 0 to 1; 0 where none has."""
        return self.counts[State.GONE] / self.n_done if self.n_done else 0.0

    def text(self) -> str:
        """Lines for a reader."""
        width = len(f"{self.n_photos:,}")
        lines = [f"{'photos':<16} {self.n_photos:>{width},}"]
        for state, words in _WORDS.items():
            share = 100 * self.counts[state] / self.n_photos if self.n_photos else 0.0
            lines.append(f"{words:<16} {self.counts[state]:>{width},}  {share:5.1f} %")
        n_left = self.n_photos - self.n_done
        if n_left:
            lines.append(f"{'not tried yet':<16} {n_left:>{width},}")
        lines.append("")
        lines.append(f"Dead share: {100 * self.dead_share:.1f} % of {_photos(self.n_done)} tried.")
        lines.append(f"On disk: {_size(self.bytes_on_disk)} of images.")
        if self.n_recovered:
            lines.append(
                f"{_photos(self.n_recovered)} fetched by a run that was cut off, and kept."
            )
        if self.n_lost:
            lines.append(f"{_photos(self.n_lost)} in the ledger but not on disk: asked for again.")
        rate = self.n_now / self.seconds if self.seconds else 0.0
        lines.append(
            f"This run: {_photos(self.n_now)}, {self.n_fetched_now:,} of them fetched, in "
            f"{self.seconds:.1f} s ({rate:.1f} a second)."
        )
        return "\n".join(lines)


def _photos(n: int) -> str:
    return "1 photo" if n == 1 else f"{n:,} photos"


def _size(n_bytes: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} bytes"
