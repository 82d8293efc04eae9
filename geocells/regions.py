"""RegionCells: cells from polygons, such as administrative boundaries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
import shapely

from geocells._region_blocks import EVERYWHERE, cut_blocks, merge_regions
from geocells.array_types import ArrayLike, IntArray, ObjectArray
from geocells.cells import LOCATION_CHOICES, OUTSIDE_CHOICES, RegionIndex
from geocells.errors import refuse_rows
from geocells.estimator import CellEstimator
from geocells.fitting import Images, partition_from_labels
from geocells.frames import shapes_of
from geocells.sphere import SphereSums
from geocells.sphere.polygons import cut_at_antimeridian, only_polygons, refuse_polygons_off_globe
from geocells.validation import check_choice, check_count, check_groups, number_groups


class RegionCells(CellEstimator):
    """Cells from regions of the map: neighbours short of images are merged, regions with too many are cut.

    Parameters
    ----------
    regions : GeoDataFrame, GeoSeries or array-like of polygons
        Administrative boundaries, say, in any coordinate reference system (none: longitude and latitude in degrees).
        Broken outlines are mended. Where regions overlap, and on their common borders, the first one has the place.
    min_images : int, default 200
        Images that a cell needs.
    max_images : int, optional
        A cell with more is cut.
    group : str, optional
        Column of ``regions``, such as a country: only regions of one group are merged.
    location : {"mean", "medoid", "mode"}
        The point that a cell answers with, as in `CellBuilder`.
    outside : {"nearest", "noise", "raise"}
        Images outside every region, in `fit` and in `assign`: those of the nearest region, labelled -1, or an error.

    Attributes
    ----------
    labels_ : (n_images,) int64
        Cell of each image. Equal to ``assign(coords, groups)``.
    region_of_image_ : (n_images,) int64
        Row of ``regions`` that each image lies in, or is nearest to; -1 for noise.
    regions_of_cell_ : list of (n,) int64
        Rows of ``regions`` that each cell is made of; cells cut from one block share them.
    centroids_, counts_, n_cells_
        As for `CellBuilder`.
    cells_ : CellPartition
        Cells are numbered by the first of their regions, parts of one block from south-west to north-east. ``levels``
        counts the cuts that made a cell.

    Notes
    -----
    Merging. (1) Regions without images join the touching cell whose images have their mean nearest to the middle of the
    region's border, ring by ring around the regions that have some. (2) While a cell is short, the one with the fewest
    images joins the touching cell whose images' mean is nearest to its own. An island, which none touches, joins the
    cell with the nearest border. All of this within a group; of equal ones the cell with the first region is taken. A
    group with fewer than ``min_images`` in all is one cell; one without any has none, and its places are outside.
    Regions touch where they share at least a point of the map, so not across the antimeridian.

    Cutting. A cell with more than ``max_images`` images inside its regions is cut in two across the longer side of
    their box, at their median or as near to it as ``min_images`` on either side allow, and so on. So it stays above
    ``max_images`` only if it has fewer than ``2 * min_images``, or images repeat one place. (PIGEON cuts by
    clustering.)

    The nearest region is the one with the nearest of points taken every 0.05 degrees along the borders.

    References
    ----------
    .. [1] Theiner, Mueller-Budack, Ewerth (2022), Interpretable semantic photo geolocation.
    .. [2] Haas, Skreta, Alberti, Finn (2024), PIGEON, section 3.1.

    Examples
    --------
    >>> import numpy as np
    >>> import geopandas as gpd, shapely
    >>> from geocells import RegionCells
    >>> squares = shapely.box([0, 1, 2], 0, [1, 2, 3], 1)
    >>> regions = gpd.GeoDataFrame({"name": ["a", "b", "c"]}, geometry=squares, crs=4326)
    >>> coords = np.array([[0.5, 0.5]] * 3 + [[0.5, 1.5]] * 1 + [[0.5, 2.5]] * 2)
    >>> builder = RegionCells(regions, min_images=2).fit(coords)
    >>> builder.labels_.tolist()
    [0, 0, 0, 1, 1, 1]
    >>> builder.cells_.polygons()[1].bounds
    (1.0, 0.0, 3.0, 1.0)
    """

    def __init__(
        self,
        regions: Any,
        min_images: int = 200,
        max_images: int | None = None,
        *,
        group: str | None = None,
        location: str = "mean",
        outside: str = "nearest",
    ) -> None:
        self.regions = regions
        self.min_images = min_images
        self.max_images = max_images
        self.group = group
        self.location = location
        self.outside = outside

    def fit(
        self, coords: ArrayLike, feats: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Merge and cut the regions.

        Parameters
        ----------
        coords : array-like (n, 2), table or points
            Latitude, longitude of each image in degrees; see :meth:`CellPartition.assign`.
        feats
            Checked, not used.
        groups : array-like (n,), optional
            Group of each image, one of those in the ``group`` column; then only regions of that group hold it.

        Returns
        -------
        self : RegionCells

        Raises
        ------
        ValueError, TypeError
            When a parameter, a region or a row is unsound, and where ``outside`` says so.
        """
        min_images = check_count(self.min_images, "min_images")
        max_images = None
        if self.max_images is not None:
            max_images = check_count(self.max_images, "max_images", least=min_images)
        check_choice(self.location, "location", LOCATION_CHOICES)
        outside = check_choice(self.outside, "outside", OUTSIDE_CHOICES)
        outlines = check_regions(self.regions)
        group_of_region, names = self._groups_of_regions(len(outlines))
        images = _with_groups(Images.from_input(coords, feats, groups), names)
        array = images.coords.array
        every_region = np.arange(len(outlines), dtype=np.int64)
        whole = np.tile(EVERYWHERE, (len(outlines), 1))
        plain = RegionIndex(outlines, every_region, whole, every_region, group_of_region)
        first, region_of_image = _held_and_answered(plain, images, outside)
        if outside == "raise":
            refuse_rows(
                first < 0,
                "Every image must lie in a region",
                "do not",
                lambda row: f"latitude {array[row, 0]}, longitude {array[row, 1]}",
                'Use outside="nearest" or outside="noise".',
            )
        sums = SphereSums.from_coords(array, region_of_image, len(outlines))
        if not sums.counts.any():
            raise ValueError(
                "No image lies in a region, so there are no cells. Are latitude and longitude swapped in the regions?"
            )
        block_of_region = merge_regions(outlines, sums, plain.groups, min_images)
        inside = first >= 0
        cuts = cut_blocks(
            array[inside],
            block_of_region[first[inside]],
            int(block_of_region.max()) + 1,
            min_images,
            max_images,
        )
        kept = np.flatnonzero(block_of_region >= 0)
        block_of_kept = block_of_region[kept]
        cell_index = RegionIndex(
            outlines[kept],
            block_of_kept,
            cuts.boxes,
            cuts.block_of_cell,
            None if group_of_region is None else group_of_region[kept],
        )
        _, labels = _held_and_answered(cell_index, images, outside)
        first_of_block = np.unique(block_of_kept, return_index=True)[1]
        cells = partition_from_labels(
            cell_index,
            images,
            labels,
            cuts.levels,
            group_of_cell=cell_index.groups[first_of_block][cuts.block_of_cell],
            outside=outside,
            location=self.location,
            parameters={
                "method": "regions",
                "min_images": min_images,
                "max_images": max_images,
                "group": self.group,
                "location": self.location,
            },
        )
        self.region_of_image_ = region_of_image
        self.regions_of_cell_ = [kept[block_of_kept == block] for block in cuts.block_of_cell]
        return self._store(cells, labels)

    def _groups_of_regions(self, n_regions: int) -> tuple[IntArray | None, ObjectArray | None]:
        if self.group is None:
            return None, None
        columns = list(getattr(self.regions, "columns", []))
        if self.group not in columns:
            raise ValueError(
                f"group must name a column of regions; got {self.group!r}, and regions has {columns}."
            )
        return number_groups(check_groups(self.regions[self.group], n_regions))


def _held_and_answered(
    index: RegionIndex, images: Images, outside: str
) -> tuple[IntArray, IntArray]:
    """Cell that holds each image, -1 where none does; and the one that answers, the nearest for "nearest"."""
    coords, group_of_row = images.coords.array, images.group_of_row
    held = index.cells_that_hold(coords, group_of_row)
    answered, lost = held.copy(), np.flatnonzero(held < 0)
    if outside == "nearest" and len(lost):
        group_of_lost = None if group_of_row is None else group_of_row[lost]
        answered[lost] = index.nearest_cells(coords[lost], group_of_lost)
    return held, answered


def _with_groups(images: Images, names: ObjectArray | None) -> Images:
    """Images with their groups numbered as those of the regions."""
    if names is None:
        if images.group_names is not None:
            raise ValueError("fit was given groups, but group names no column of regions.")
        return images
    if images.group_names is None or images.group_of_row is None:
        return replace(images, group_names=names)
    number_of = {name: number for number, name in enumerate(names)}
    unknown = [name for name in images.group_names if name not in number_of]
    if unknown:
        raise ValueError(f"regions has no region of the group {unknown[0]!r}.")
    numbers = np.array([number_of[name] for name in images.group_names], dtype=np.int64)
    return replace(images, group_of_row=numbers[images.group_of_row], group_names=names)


def check_regions(regions: Any) -> ObjectArray:
    """Outlines of regions as valid polygons in (longitude, latitude) degrees, (n_regions,) of shapely geometries.

    Raises
    ------
    TypeError, ValueError
        When a region is no polygon, empty, or off the globe; the message names the first one.
    """
    shapes = shapes_of(regions)
    outlines = np.array(regions if shapes is None else shapes, dtype=object, ndmin=1)
    if outlines.ndim != 1 or not len(outlines):
        raise ValueError(f"regions must hold at least one polygon; got shape {outlines.shape}.")
    for row, outline in enumerate(outlines):
        if not isinstance(outline, shapely.Polygon | shapely.MultiPolygon):
            raise TypeError(
                "regions must hold polygons, as a GeoDataFrame of boundaries does; row "
                f"{row} is {getattr(outline, 'geom_type', repr(outline))}."
            )
    broken = ~shapely.is_valid(outlines)
    mended = shapely.make_valid(outlines[broken], method="structure", keep_collapsed=False)
    outlines[broken] = [only_polygons(outline) for outline in mended]
    empty = np.flatnonzero(shapely.is_empty(outlines))
    if len(empty):
        raise ValueError(f"regions must have an extent; row {empty[0]} is empty. Drop it.")
    refuse_polygons_off_globe(outlines, "regions")
    return cut_at_antimeridian(outlines)
