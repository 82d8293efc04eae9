"""What to train, and on which photos."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from geoloc_models._errors import GeolocError
from geoloc_models.features.cache import FeatureCache
from geoloc_models.models.tasks import TASKS, Contrast
from geoloc_models.photos.images import ImageSource
from geoloc_models.tables.parts import split_of_table
from geoloc_models.tables.photo_table import PhotoTable
from geoloc_models.tables.split import Split, split_rows

METHODS = ("top_down", "consolidated", "bottom_up")
RANKINGS = ("features", "coordinates", "count")


@dataclass(frozen=True)
class PhotoSource:
    """Photos to learn from.

    Parameters
    ----------
    table : PhotoTable
        Coordinates and countries.
    images : ImageSource
        The image of each row of the table.
    origin : dict
        Plain values that say where both came from, kept in the run folder.
    features : FeatureCache, optional
        Features of a frozen encoder: models then train on these, and bottom-up cells rank by them.
    """

    table: PhotoTable
    images: ImageSource
    origin: dict[str, Any]
    features: FeatureCache | None = None


@dataclass(frozen=True)
class ModelPlan:
    """What to train.

    Parameters
    ----------
    task : str
        ``country``: the baseline. ``offset``: country and place in its box. ``cells``: a classifier
        over cells. ``hierarchy``: cells at several levels. ``retrieval``: contrastive gallery.
        ``nearest``: the nearest training images, nothing trained. ``refined``: cells, then
        prototypes inside the likeliest.
    method : {"top_down", "consolidated", "bottom_up"}
        Cells: how they are made.
    min_images : int
        Cells: training images that one needs.
    min_cell_size : float
        Cells: shortest side, in degrees.
    max_images : int, optional
        Cells, with ``top_down``: split while a cell holds more than this.
    rank_by : {"features", "coordinates", "count"}, optional
        Cells, with ``bottom_up``: hot spots claim by the WCSS of the image features, of the
        coordinates, or by their count alone. Default: features where the source has them.
    overlap : int
        Cells, with ``bottom_up``: heat-map windows a cell side.
    levels : tuple of int
        Hierarchy: multiples of ``min_images`` of its levels, coarse to fine; the last is 1.
    smoothing_km : float, optional
        Cells: spread the truth over neighbouring cells, PIGEON's tau.
    is_balanced : bool
        Country and cells: weigh the classes alike in the loss.
    alpha : float
        Offset: share of the country in the loss.
    is_multi_task : bool
        Offset: False learns the offset in the box of all images, without a country head.
    location_encoder : {"rff", "mlp"}
        Retrieval: random Fourier features or a perceptron.
    location_hidden : int
        Retrieval: width of the location encoder's hidden layers.
    projection : {"equal_earth", "raw"}
        Retrieval: what coordinates become first.
    sigmas : tuple of float
        Retrieval, with ``rff``: deviations of the frequencies.
    n_false : int
        Retrieval: false locations a batch (M); 0 trains without contrast.
    false_from : {"train", "queue"}
        Retrieval: where they come from.
    mask_km : float
        Retrieval: what is nearer is not called false.
    n_neighbours : int
        Nearest: training images that speak.
    bandwidth_km : float
        Nearest: width of the kernel over their coordinates.
    label : str, optional
        Name in results, where it is not to follow from the task.
    """

    task: str
    method: str = "top_down"
    min_images: int = 200
    min_cell_size: float = 0.01
    max_images: int | None = None
    rank_by: str | None = None
    overlap: int = 2
    levels: tuple[int, ...] = (16, 4, 1)
    smoothing_km: float | None = None
    is_balanced: bool = False
    alpha: float = 0.5
    is_multi_task: bool = True
    location_encoder: str = "rff"
    location_hidden: int = 1024
    projection: str = "equal_earth"
    sigmas: tuple[float, ...] = (2.0**0, 2.0**8, 2.0**16)
    n_false: int = 1024
    false_from: str = "train"
    mask_km: float = 0.0
    n_neighbours: int = 10
    bandwidth_km: float = 100.0
    label: str | None = None

    def __post_init__(self) -> None:
        for name in ("levels", "sigmas"):  # JSON knows lists only
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, choices in (("task", tuple(TASKS)), ("method", METHODS)):
            if getattr(self, name) not in choices:
                raise GeolocError(
                    f"Unknown {name} {getattr(self, name)!r}; choose {' or '.join(choices)}."
                )
        if self.rank_by is not None and self.rank_by not in RANKINGS:
            raise GeolocError(f"Unknown rank_by {self.rank_by!r}; choose {' or '.join(RANKINGS)}.")
        # As CellBuilder's own checks, but before an hour of training has gone by.
        for name in ("min_images", "max_images", "n_neighbours", "overlap", "location_hidden"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise GeolocError(f"{name} must be at least 1; got {value}.")
        for name in ("min_cell_size", "bandwidth_km", "smoothing_km"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                unit = "degrees" if name == "min_cell_size" else "kilometres"
                raise GeolocError(f"{name} must be a finite number of {unit} above 0; got {value}.")
        if (
            not self.levels
            or self.levels[-1] != 1
            or list(self.levels) != sorted(set(self.levels), reverse=True)
        ):
            raise GeolocError(
                f"levels must fall from the coarsest to 1, such as 16, 4, 1; got {self.levels}."
            )
        if not 0 <= self.alpha <= 1:
            raise GeolocError(f"alpha must lie in [0, 1]; got {self.alpha}.")
        if self.max_images is not None and self.method != "top_down":
            raise GeolocError("max_images goes with the method top_down.")
        _ = self.contrast  # checks its share

    @property
    def has_cells(self) -> bool:
        """Whether the model has cells of one level."""
        return self.task in ("cells", "refined")

    @property
    def contrast(self) -> Contrast:
        """What retrieval is contrasted with."""
        return Contrast(self.n_false, self.false_from, self.mask_km)

    @property
    def name(self) -> str:
        """The model's name in results."""
        if self.label is not None:
            return self.label
        if self.task == "cells":
            return f"cells_{self.method}"
        if self.task == "retrieval":
            return f"retrieval_{self.location_encoder}"
        return self.task if self.is_multi_task else f"{self.task}_single"

    def to_dict(self) -> dict[str, Any]:
        """All values as JSON knows them."""
        return {**asdict(self), "levels": list(self.levels), "sigmas": list(self.sigmas)}


def split_source(
    source: PhotoSource,
    *,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> Split:
    """Split a source: by its column ``part``, or anew.

    Parameters
    ----------
    source : PhotoSource
        Photos. Without the column ``part`` its groups are trained on whole or not at all, and
        countries keep their proportions. The photos of the other groups are dealt out to
        validation and test one by one, so that a radius calibrated on the one holds on the other
        (``exchangeable`` of :func:`~geoloc_models.tables.split.split_rows`).
    fractions : (float, float, float)
        Shares of training, validation and test; not asked where there are parts.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    Split
        Sorted rows of each part.

    Raises
    ------
    GeolocError
        If a part would be empty or the column holds anything but parts.
    """
    table = source.table
    if "part" in table.frame.columns:
        return split_of_table(table)
    return split_rows(
        table.n_rows,
        groups=table.groups,
        strata=table.countries,
        fractions=fractions,
        exchangeable=True,
        seed=seed,
    )
