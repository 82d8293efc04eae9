"""Options of a split by hash, and of the search for leaks: for the library and the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geoloc_models.errors import GeolocError


@dataclass(frozen=True)
class SplitOptions:
    """How photos are dealt out to training, validation and test.

    Parameters
    ----------
    by : str
        What stays in one part: each photo (id), all photos of a user (user), of a block on the map
        (place), or with the same value in the column of this name. One with more than half of a
        held-out part's photos goes to training.
    block_km : float
        Side of a block, in kilometres.
    fractions : (float, float, float)
        Probabilities of training, validation and test; positive, sum 1.
    exchangeable : bool
        Keep users or blocks whole between training and the rest, but deal out the rest photo by
        photo: a radius calibrated on validation then holds on test.
    subsets : tuple of int
        Sizes of nested training subsets to report.
    seed : int
        Seed of the split, from 0 to 2**64 - 1.

    Raises
    ------
    GeolocError
        If an option is out of range.
    """

    by: str = "id"
    block_km: float = 1.0
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    exchangeable: bool = False
    subsets: tuple[int, ...] = (1_000, 10_000, 20_000, 100_000)
    seed: int = 0

    def __post_init__(self) -> None:
        check_fractions(self.fractions)
        if any(size < 1 for size in self.subsets):
            raise GeolocError(f"Subsets must have at least 1 photo; got {min(self.subsets)}.")
        if not 0 <= self.seed < 1 << 64:
            raise GeolocError(f"seed must lie between 0 and 2**64 - 1; got {self.seed}.")


@dataclass(frozen=True)
class LeakageOptions:
    """What is compared between the parts of a split.

    Parameters
    ----------
    images : bool
        Also compare the images.
    images_root : Path, optional
        Folder that relative image paths start from. Default: the table's own.
    max_distance : int
        Bits of 64, from 0 to 12, by which the perceptual hashes of near duplicates may differ.
    workers : int, optional
        Threads that read images. Default: one per core.

    Raises
    ------
    GeolocError
        If an option is out of range.
    """

    images: bool = True
    images_root: Path | None = None
    max_distance: int = 6
    workers: int | None = None

    def __post_init__(self) -> None:
        # Beyond 12 bits the search is no faster than comparing all pairs.
        if not 0 <= self.max_distance <= 12:
            raise GeolocError(f"max_distance must lie between 0 and 12; got {self.max_distance}.")


def check_fractions(fractions: tuple[float, ...]) -> None:
    """Refuse what is not three positive numbers with sum 1."""
    is_share = len(fractions) == 3 and all(share > 0 for share in fractions)
    if not is_share or abs(sum(fractions) - 1) > 1e-6:
        raise GeolocError(
            "The fractions of training, validation and test must be three positive numbers with "
            f"sum 1, such as 0.8, 0.1, 0.1; got {tuple(fractions)}."
        )
