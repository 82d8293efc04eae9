"""The partition: one frozen object that answers for its cells."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from geocells import quality
from geocells.array_types import ArrayLike, FloatArray, IntArray, ObjectArray
from geocells.cells import io, maps
from geocells.cells.index import CellIndex, CodeRangeIndex
from geocells.cells.io import OUTSIDE_CHOICES
from geocells.cells.ranges import Ranges
from geocells.cells.representative_points import RepresentativePoints
from geocells.errors import GeocellsWarning
from geocells.frames import labels_like
from geocells.grids import GroupedGrid, S2Grid
from geocells.grids.s2_covering import coarsened, meeting_cells
from geocells.sphere.polygons import areas_km2
from geocells.validation import (
    Coordinates,
    check_choice,
    check_coords,
    check_count,
    check_feats,
    check_groups,
)

if TYPE_CHECKING:
    import geopandas as gpd
    from matplotlib.axes import Axes

    from geocells.web_map import MapPage


@dataclass(frozen=True)
class Cell:
    """A cell of a partition, ``cells[label]``: its location in degrees, and what it holds."""

    label: int
    latitude: float
    longitude: float
    count: int
    level: int
    group: Any = None


@dataclass(frozen=True, eq=False)
class CellPartition:
    """Cells of the earth.

    Made by :class:`geocells.CellBuilder` or :func:`geocells.load_cells`; never changed afterwards.

    Attributes
    ----------
    centroids : (n_cells, 2) float64
        Mean of each cell's images on the sphere; latitude, longitude in degrees.
    locations : (n_cells, 2) float64
        The point that a cell answers with, its mean, medoid or mode; latitude, longitude in degrees.
    counts : (n_cells,) int64
        Images in each cell, those handed over from places without a cell included.
    levels : (n_cells,) int64
        Quadtree level of each cell, 0 for a root.
    cell_index : CellIndex
        The places that the cells hold: ranges of leaf codes on a grid, Voronoi cells, or regions.
    parameters : dict
        How the cells were made.
    representative_points : RepresentativePoints
        Where `medoids` and `modes` come from.

    Examples
    --------
    >>> import numpy as np
    >>> from geocells import CellBuilder
    >>> coords = np.array([[47.4, 8.5]] * 3 + [[59.3, 18.1]] * 3)
    >>> cells = CellBuilder(min_images=3, method="top_down").fit(coords).cells_
    >>> cells.n_cells
    2
    >>> cells.assign([[47.0, 8.0], [60.0, 18.0]]).tolist()
    [0, 1]
    >>> cells[1].count
    3
    """

    cell_index: CellIndex
    centroids: FloatArray
    locations: FloatArray
    counts: IntArray
    levels: IntArray
    group_names: ObjectArray | None = None
    group_of_cell: IntArray | None = None
    outside: str = "nearest"
    parameters: dict[str, Any] = field(default_factory=dict)
    representative_points: RepresentativePoints = field(
        default_factory=RepresentativePoints, repr=False
    )

    def __post_init__(self) -> None:
        """Freeze the arrays too."""
        for array in (
            self.centroids,
            self.locations,
            self.counts,
            self.levels,
            self.group_names,
            self.group_of_cell,
            *self.cell_index.arrays(),
        ):
            if array is not None:
                array.setflags(write=False)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.counts)

    def __len__(self) -> int:
        return self.n_cells

    @property
    def medoids(self) -> FloatArray:
        """Image of each cell with the least sum of great-circle distances to the others, (n_cells, 2) float64.

        Latitude, longitude in degrees; of equal ones that with the lowest latitude, then longitude. Exact. Medoids and
        modes are worked out when first asked for, and saved from then on; until then the partition refers to the
        training coordinates.
        """
        return self.representative_points.medoids_and_modes(self.centroids)[0]

    @property
    def modes(self) -> FloatArray:
        """Training coordinate of each cell with most of its images within 1 km, (n_cells, 2) float64.

        Latitude, longitude in degrees; of equal ones that with the lowest latitude, then longitude. See `medoids`.
        """
        return self.representative_points.medoids_and_modes(self.centroids)[1]

    @property
    def grid(self) -> GroupedGrid:
        """From coordinates to leaf codes; only of cells made on a grid."""
        return self._code_ranges("grid").grid

    @property
    def ranges(self) -> Ranges:
        """Disjoint sorted ranges of leaf codes, a cell each; only of cells made on a grid."""
        return self._code_ranges("ranges").ranges

    def _code_ranges(self, name: str) -> CodeRangeIndex:
        if not isinstance(self.cell_index, CodeRangeIndex):
            raise AttributeError(f"Cells of kind {self.cell_index.kind!r} have no {name}.")
        return self.cell_index

    @property
    def groups(self) -> ObjectArray | None:
        """Group of each cell, (n_cells,) object; None where the images had no groups."""
        if self.group_names is None or self.group_of_cell is None:
            return None
        names: ObjectArray = self.group_names[self.group_of_cell]
        return names

    def __getitem__(self, label: int) -> Cell:
        if not isinstance(label, numbers.Integral):
            raise TypeError(f"A cell is named by its number, as in cells[3]; got {label!r}.")
        if not 0 <= label < self.n_cells:
            raise IndexError(f"There is no cell {label}: cells are 0 to {self.n_cells - 1}.")
        count, level = int(self.counts[label]), int(self.levels[label])
        group = None if self.groups is None else self.groups[label]
        return Cell(int(label), *self.locations[label].tolist(), count, level, group)

    def __eq__(self, other: object) -> bool:
        """Tell whether both have the same cells, numbers and groups, and answer alike."""
        if not isinstance(other, CellPartition):
            return NotImplemented
        return all(map(np.array_equal, self._contents(), other._contents()))

    __hash__ = None  # type: ignore[assignment]

    def _contents(self) -> list[Any]:
        index = self.cell_index
        parts = [index.kind, getattr(index, "grid", None), self.outside, self.groups]
        return [*parts, self.centroids, self.locations, self.counts, self.levels, *index.arrays()]

    def __repr__(self) -> str:
        method = self.parameters.get("method", "cells")
        groups = "" if self.group_names is None else f", {len(self.group_names)} groups"
        if not self.n_cells:
            return f"<CellPartition {method}: no cells{groups}>"
        return (
            f"<CellPartition {method}: {self.n_cells} cells{groups}, {int(self.counts.sum())} images, "
            f"{int(self.counts.min())} to {int(self.counts.max())} a cell>"
        )

    def assign(
        self,
        coords: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        outside: str | None = None,
        unknown_group: str = "warn",
    ) -> Any:
        """Cell of each coordinate.

        Parameters
        ----------
        coords : array-like (n, 2), table or points
            Latitude, longitude in degrees. Tables are those of pandas, Polars (eager and lazy), pyarrow and DuckDB,
            with columns of usual names; points those of shapely and GeoPandas. ``assign(47.4, 8.5)`` asks for one
            place.
        groups : array-like (n,) or str, optional
            Group of each coordinate, or the table's column of them; then only the cells of that group answer (a group
            that has no cells is answered from all of them). Left out of a partition with groups, the cell that holds
            the coordinate answers; where cells of several groups do, the one with the nearest centroid.
        outside : {"nearest", "noise", "raise"}, optional
            Where no cell holds the coordinate: the cell with the nearest centroid, -1, or an error. Default: as the
            partition was built.
        unknown_group : {"warn", "raise"}
            Where a group is none of the cells': answer as if no cell held the coordinate, with a warning; or an error.

        Returns
        -------
        labels : (n,) int64
            Cell numbers; -1 for noise. A column of the same kind where ``coords`` is a table: a Series of pandas, with
            the rows' own index, or of Polars, a ChunkedArray of pyarrow, a relation of DuckDB. An int for one place.

        Raises
        ------
        ValueError
            When a coordinate is not on the globe, none of the cells holds it and ``outside="raise"``, or its group is
            unknown and ``unknown_group="raise"``.

        Notes
        -----
        Encode, one search among the ranges: O(n log n_ranges), near O(n) by a table over leading bits.
        """
        if isinstance(coords, numbers.Real) and isinstance(groups, numbers.Real):
            return int(self.assign([[coords, groups]], outside=outside)[0])
        checked = check_coords(coords, allow_empty=True)
        group_of_row = self.group_numbers(groups, checked, unknown_group)
        return labels_like(self.assign_checked(checked, group_of_row, outside), coords)

    def assign_checked(
        self, coords: Coordinates, group_of_row: IntArray | None, outside: str | None = None
    ) -> IntArray:
        """Do the work of :meth:`assign` on coordinates that were checked before."""
        outside = check_choice(outside or self.outside, "outside", OUTSIDE_CHOICES)
        array = coords.array
        labels = self.cell_index.cells_that_hold(array, group_of_row, self.centroids)
        unassigned = np.flatnonzero(labels < 0)
        if len(unassigned) == 0 or outside == "noise":
            return labels
        if outside == "raise":
            row = int(unassigned[0])
            raise ValueError(
                f"No cell holds {len(unassigned)} of {len(array)} coordinates (first: row {row}, latitude "
                f'{array[row, 0]}, longitude {array[row, 1]}). Use outside="nearest" or outside="noise".'
            )
        if self.n_cells:
            labels[unassigned] = self.cell_index.nearest_cells(
                array[unassigned],
                None if group_of_row is None else group_of_row[unassigned],
                self.centroids,
                self.group_of_cell,
            )
        return labels

    def group_numbers(
        self, groups: ArrayLike | None, coords: Coordinates, unknown_group: str = "warn"
    ) -> IntArray | None:
        """Number of each row's group, checked; -1 for one of no cell."""
        if groups is None:
            return None
        if self.group_names is None:
            raise ValueError("These cells were built without groups: leave groups out of assign.")
        check_choice(unknown_group, "unknown_group", ("warn", "raise"))
        names = check_groups(groups, len(coords), coords.table)
        number_of = {name: number for number, name in enumerate(self.group_names)}
        numbers_ = np.fromiter((number_of.get(name, -1) for name in names), np.int64, len(names))
        unknown = np.flatnonzero(numbers_ < 0)
        if len(unknown):
            message = (
                f"{len(unknown)} of {len(names)} rows are of groups that no cells have (first: row {unknown[0]}, "
                f"{names[unknown[0]]!r})"
            )
            if unknown_group == "raise":
                raise ValueError(f"{message}. Drop those rows, or name a group of the cells.")
            warnings.warn(
                f"{message}; they are treated as outside every cell.",
                GeocellsWarning,
                stacklevel=3,
            )
        return numbers_

    def polygons(self) -> ObjectArray:
        """Polygon of each cell, (n_cells,) of shapely geometries in (longitude, latitude) degrees.

        Cut at the antimeridian, holes included; exterior rings counterclockwise, as RFC 7946 has them.
        """
        polygons: ObjectArray = shapely.orient_polygons(self.cell_index.polygons(self.n_cells))
        return polygons

    @property
    def areas_km2(self) -> FloatArray:
        """Area of each cell on the sphere, as `polygons` draws it, (n_cells,) float64."""
        return areas_km2(self.polygons())

    @property
    def tokens(self) -> ObjectArray:
        """Names of the quadtree cells that each cell is made of, (n_cells,) of tuples of str.

        S2 tokens; paths of digits on latitude-longitude grids, 0 to 3 for south-west, south-east, north-west and
        north-east; order and nested number on HEALPix, ``8/44425``. Only of cells made on a grid.
        """
        codes, levels, owners = self._code_ranges("tokens").quadtree_cells()
        return self._by_cell(self.grid.names_of_cells(codes, levels), owners)

    def s2_covering(self, max_cells: int = 8) -> ObjectArray:
        """Tokens of few S2 cells that together cover each cell, (n_cells,) of tuples of str, for tables indexed by S2.

        Parameters
        ----------
        max_cells : int
            Most S2 cells to a cell, but for one that several faces of the cube meet. The more, the closer they fit.

        Raises
        ------
        TypeError, ValueError
            When ``max_cells`` is not an integer of at least 1.

        Notes
        -----
        Every S2 cell meets the cell that it covers, or comes as near as a ten-thousandth of its own side. For cells on
        an S2 grid, `tokens` are those that fit exactly.

        Examples
        --------
        >>> from geocells import CellBuilder
        >>> coords = [[47.4, 8.5]] * 3 + [[59.3, 18.1]] * 3
        >>> cells = CellBuilder(min_images=3).fit(coords).cells_
        >>> cells.s2_covering(max_cells=1)[0]
        ('47900b',)
        """
        check_count(max_cells, "max_cells")
        index = self.cell_index
        if isinstance(index, CodeRangeIndex) and isinstance(index.grid.grids[0], S2Grid):
            codes, levels, owners = index.quadtree_cells()
            in_group = codes & np.uint64((1 << index.grid.bits) - 1)
            unused = np.uint64(2 * (S2Grid().max_level - index.grid.grids[0].max_level))
            s2_cells = in_group << unused, levels, owners
        else:
            s2_cells = meeting_cells(self.polygons(), max_cells)
        leaves, levels, owners = coarsened(s2_cells, max_cells)
        return self._by_cell(S2Grid().names_of_cells(leaves, levels), owners)

    def _by_cell(self, names: list[str], owners: IntArray) -> ObjectArray:
        """Tuple of the names that each cell owns, (n_cells,)."""
        order = np.argsort(owners, kind="stable")
        in_order = np.array(names, dtype=object)[order]
        parts = np.split(in_order, np.searchsorted(owners[order], np.arange(1, self.n_cells)))
        of_cell = np.empty(self.n_cells, dtype=object)
        of_cell[:] = [tuple(part) for part in parts]
        return of_cell

    def neighbors(self) -> IntArray:
        """Pairs of cells that share a border or a corner on the map, (n_pairs, 2) int64, the lower number first.

        Across the antimeridian too.
        """
        polygons = self.polygons()
        beyond = shapely.transform(polygons, lambda points: np.add(points, (360.0, 0.0)))
        tree = shapely.STRtree(polygons)
        pairs = [tree.query(each, predicate="intersects") for each in (polygons, beyond)]
        both = np.sort(np.concatenate(pairs, axis=1).T, axis=1)
        return np.unique(both[both[:, 0] < both[:, 1]], axis=0)

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        interface: dict[str, Any] = self.to_geodataframe().__geo_interface__
        return interface

    def to_geojson(self) -> str:
        """Return the cells with their columns as the text of a GeoJSON file."""
        text: str = self.to_geodataframe().reset_index().to_json(drop_id=True)
        return text

    def to_geodataframe(self) -> gpd.GeoDataFrame:
        """Table of the cells with their polygons.

        Returns
        -------
        table : geopandas.GeoDataFrame
            Index ``cell``; columns ``count``, ``level``, ``group`` (where there are groups), ``latitude`` and
            ``longitude`` of the location, ``centroid_latitude`` and ``centroid_longitude``, ``geometry`` in
            EPSG:4326, cut at the antimeridian.
        """
        import geopandas as gpd
        import pandas as pd

        columns: dict[str, Any] = {"count": self.counts, "level": self.levels}
        if self.groups is not None:
            columns["group"] = self.groups
        columns["latitude"], columns["longitude"] = self.locations.T
        columns["centroid_latitude"], columns["centroid_longitude"] = self.centroids.T
        index = pd.RangeIndex(self.n_cells, name="cell")
        return gpd.GeoDataFrame(columns, index=index, geometry=self.polygons(), crs=4326)

    def clip(self, polygons: Any) -> gpd.GeoDataFrame:
        """Table of the cells, cut to polygons: to land, say. Cells outside are left out.

        Parameters
        ----------
        polygons : GeoDataFrame, GeoSeries or shapely polygon
            In their coordinate reference system; longitude, latitude in degrees where they have none.

        Returns
        -------
        table : geopandas.GeoDataFrame
            As `to_geodataframe` gives it; ``count`` is that of the whole cell.

        Raises
        ------
        TypeError
            When ``polygons`` are none of these.
        """
        if getattr(polygons, "crs", None) is not None:
            polygons = polygons.to_crs(4326)
        try:
            return self.to_geodataframe().clip(polygons, keep_geom_type=True).sort_index()
        except TypeError:
            raise TypeError(
                f"polygons must be a GeoDataFrame, a GeoSeries or a polygon of shapely; got {polygons!r}."
            ) from None

    def save(self, path: str | Path, *, geometry_encoding: str = "WKB") -> Path:
        """Write the cells: polygons for every map program, code ranges for :func:`load_cells`.

        Parameters
        ----------
        path : path
            GeoParquet (``.parquet``), GeoJSON by RFC 7946 (``.geojson``), GeoPackage (``.gpkg``) or FlatGeobuf
            (``.fgb``); :func:`load_cells` reads equal cells from each. The file is written beside its target and
            renamed, so a broken run leaves nothing half-written. Medoids and modes are in it where they were asked for.
        geometry_encoding : {"WKB", "geoarrow"}
            Of the polygons in GeoParquet.

        Returns
        -------
        path : Path

        Raises
        ------
        ValueError
            When the suffix or the encoding is another one.
        """
        parts = [self._for_file()]
        return io.write(Path(path), parts, several=False, geometry_encoding=geometry_encoding)

    def _for_file(self) -> tuple[gpd.GeoDataFrame, CellIndex, dict[str, Any]]:
        """Table with medoids and modes too where they were asked for, index, and what a file needs besides."""
        table = self.to_geodataframe()
        if self.representative_points.points is not None:
            names = ("medoid", "mode")
            for name, points in zip(names, self.representative_points.points, strict=True):
                table[f"{name}_latitude"], table[f"{name}_longitude"] = points.T
        metadata = {
            "group_names": None if self.group_names is None else list(self.group_names),
            "outside": self.outside,
            "parameters": self.parameters,
        }
        return table, self.cell_index, metadata

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the cells with matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure otherwise.
        **options
            ``color_by`` ("cell", "count" or "level"), ``locations`` (mark the cells' locations, True), ``outlines``
            (drawn on top: "countries", or a GeoDataFrame, or None), ``dots`` (mark cells too small to see, True),
            ``limits`` (least and greatest value of the colour scale, so that maps can be compared); others go to
            `geopandas.GeoDataFrame.plot`.

        Returns
        -------
        ax : matplotlib Axes
        """
        return maps.plot(self.to_geodataframe(), ax, **options)

    def explore(self, **options: Any) -> MapPage:
        """Draw the cells on a map in a browser.

        Parameters
        ----------
        **options
            ``color_by`` ("cell", "count", "level" or "group"), ``locations`` (mark the points that the cells answer
            with, True), ``max_cells`` (of more cells only the fullest are shown, with a warning, 10 000), ``limits``
            (as for `plot`), ``tiles`` (background map, "OpenStreetMap" or a name of the package xyzservices; or None,
            which needs no network). Coasts and borders lie below it.

        Returns
        -------
        map : MapPage
            Shows itself in a notebook; ``map.save("map.html")`` writes it. Pointing at a cell shows its number, images,
            level and group. All but the background is in the page.

        Raises
        ------
        ModuleNotFoundError
            Without jinja2: ``pip install '.[plot]'`` in the source folder.
        """
        return maps.explore(self.to_geodataframe(), **options)

    def report(
        self, coords: ArrayLike, feats: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> quality.Report:
        """Measure the cells, on the images they were built from or on others.

        Parameters
        ----------
        coords : array-like (n, 2), table or points
            Latitude, longitude of each image in degrees; see :meth:`CellPartition.assign`.
        feats : array-like (n, n_features), optional
            Image features, whose within-cell sum of squares (WCSS) an image is reported; left out, that of the
            coordinates in km².
        groups : array-like (n,), optional
            Group of each image, as for :meth:`assign`.

        Returns
        -------
        report : Report
            Images per cell, the share in cells short of ``min_images``, the cells' radius, the WCSS, and the accuracy
            at 1 to 2500 km of an oracle that always knows the right cell. Prints as a table; ``.frame`` is a
            DataFrame of it, ``.plot()`` draws it.

        Examples
        --------
        >>> from geocells import CellBuilder
        >>> coords = [[47.4, 8.5]] * 3 + [[59.3, 18.1]] * 3
        >>> report = CellBuilder(min_images=3).fit(coords).cells_.report(coords)
        >>> report.oracle(1.0)
        1.0
        """
        checked = check_coords(coords)
        labels = self.assign_checked(checked, self.group_numbers(groups, checked))
        return quality.report(
            checked.array,
            labels,
            self.locations,
            check_feats(feats, len(checked)),
            counts=self.counts,
            min_images=self.parameters.get("min_images"),
        )


def load_cells(path: str | Path) -> CellPartition:
    """Read a partition that :meth:`CellPartition.save` wrote.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file holds no cells of this library, or is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from geocells import CellBuilder, load_cells
    >>> coords = [[47.4, 8.5]] * 3 + [[59.3, 18.1]] * 3
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = CellBuilder(min_images=3).fit(coords).cells_.save(f"{folder}/cells.parquet")
    ...     cells = load_cells(path)
    >>> cells.assign([[59.0, 18.0]]).tolist()
    [1]
    """
    return CellPartition(**io.read(Path(path), several=False)[0])


def save_partitions(partitions: Sequence[CellPartition], path: str | Path) -> Path:
    """Write several partitions into one GeoParquet file; see :func:`load_partitions`."""
    return io.write(Path(path), [cells._for_file() for cells in partitions], several=True)


def load_partitions(path: str | Path) -> list[CellPartition]:
    """Read the partitions that :func:`save_partitions` wrote."""
    return [CellPartition(**fields) for fields in io.read(Path(path), several=True)]
