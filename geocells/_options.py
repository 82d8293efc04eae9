"""The parameters of a builder, checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from geocells.cells import LOCATION_CHOICES, OUTSIDE_CHOICES
from geocells.constructions import COMPETITIONS, RANKINGS
from geocells.grids import Grid
from geocells.validation import check_choice, check_count, check_positive

METHODS = ("top_down", "consolidated", "bottom_up")
LEFTOVER_CHOICES = ("nearest", "cell", "noise")
GRIDS = ("latlon", "s2")
OVERLAPS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Options:
    """The parameters of a builder, checked."""

    min_images: int
    method: str
    max_images: int | None
    min_cell_size: float
    grid: str | Grid
    bounds: Any
    overlap: int
    competition: str
    rank_by: str
    location: str
    leftover: str
    outside: str

    @property
    def extra_levels(self) -> int:
        """Levels of leaves below the deepest cells: windows stand at fractions of a cell's side."""
        return self.overlap.bit_length() - 1 if self.method == "bottom_up" else 0

    @classmethod
    def of(cls, builder: Any) -> Options:
        """Check the parameters of a `CellBuilder`.

        Raises
        ------
        TypeError, ValueError
            Naming the parameter, what it must be and what it is.
        """
        method = check_choice(builder.method, "method", METHODS)
        min_images = check_count(builder.min_images, "min_images")
        max_images = None
        if builder.max_images is not None:
            max_images = check_count(builder.max_images, "max_images")
            if method != "top_down":
                raise ValueError(
                    f'max_images belongs to method="top_down"; method is {method!r}. Leave max_images out.'
                )
            if max_images < min_images:
                raise ValueError(
                    f"max_images must be at least min_images; got {max_images} < {min_images}."
                )
        if isinstance(builder.grid, str):
            check_choice(builder.grid, "grid", GRIDS)
            if builder.grid == "s2" and builder.bounds is not None:
                raise ValueError('grid="s2" covers the globe: leave bounds out.')
        elif not hasattr(builder.grid, "encode"):
            raise TypeError(f'grid must be "latlon", "s2" or a Grid; got {builder.grid!r}.')
        elif builder.bounds is not None:
            raise ValueError("A grid of one's own has its bounds: leave bounds out.")
        overlap = check_count(builder.overlap, "overlap")
        if overlap not in OVERLAPS:
            raise ValueError(f"overlap must be one of {OVERLAPS}, a power of two; got {overlap}.")
        return cls(
            min_images,
            method,
            max_images,
            check_positive(builder.min_cell_size, "min_cell_size", "degrees"),
            builder.grid,
            builder.bounds,
            overlap,
            check_choice(builder.competition, "competition", COMPETITIONS),
            check_choice(builder.rank_by, "rank_by", tuple(RANKINGS)),
            check_choice(builder.location, "location", LOCATION_CHOICES),
            check_choice(builder.leftover, "leftover", LEFTOVER_CHOICES),
            check_choice(builder.outside, "outside", OUTSIDE_CHOICES),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a file's metadata; the grids themselves are stored beside them."""
        return {
            "method": self.method,
            "min_images": self.min_images,
            "max_images": self.max_images,
            "min_cell_size": self.min_cell_size,
            "location": self.location,
            "leftover": self.leftover,
        } | (
            {"overlap": self.overlap, "competition": self.competition, "rank_by": self.rank_by}
            if self.method == "bottom_up"
            else {}
        )
