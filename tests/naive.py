"""Slow, obvious twins of the library, written from the definitions rather than from the fast code.

Plain Python numbers, lists of row indices, scans from end to end. Nothing here imports geocells.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

EARTH_RADIUS_KM = 6371.0088

Point = tuple[float, float]
CodeRange = tuple[int, int, int]
"""First code, code after the last, cell."""

# ---------------------------------------------------------------------------------------------- sphere


def unit_vector(point: Point) -> tuple[float, float, float]:
    phi, lam = math.radians(point[0]), math.radians(point[1])
    return math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)


def direction(x: float, y: float, z: float) -> Point:
    """Latitude and longitude in degrees that a vector points to."""
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


def distance_km(a: Point, b: Point) -> float:
    """Great-circle distance by Kahan's angle between vectors, sure to a micrometre even near the antipode."""
    u, v = unit_vector(a), unit_vector(b)
    apart = math.hypot(*(p - q for p, q in zip(u, v, strict=True)))
    together = math.hypot(*(p + q for p, q in zip(u, v, strict=True)))
    return 2 * EARTH_RADIUS_KM * math.atan2(apart, together)


def mean_vector(points: Sequence[Point]) -> tuple[float, float, float]:
    x, y, z = zip(*map(unit_vector, points), strict=True)
    n = len(points)
    return math.fsum(x) / n, math.fsum(y) / n, math.fsum(z) / n


def resultant(points: Sequence[Point]) -> float:
    """Length of the mean unit vector: 0 when the points cancel out, 1 when all are one."""
    return math.hypot(*mean_vector(points))


def spherical_mean(points: Sequence[Point]) -> Point:
    """Direction of the mean unit vector; the first point by latitude, longitude where it vanishes."""
    if resultant(points) <= 1e-9:
        return min(points)
    return direction(*mean_vector(points))


def nearest(point: Point, candidates: Sequence[Point]) -> tuple[int, bool]:
    """Index of the nearest candidate, and whether the runner-up is as near to within a millimetre."""
    distances = [distance_km(point, candidate) for candidate in candidates]
    best = distances.index(min(distances))
    others = [d for k, d in enumerate(distances) if k != best]
    return best, bool(others) and min(others) - distances[best] < 1e-6


def sum_of_distances(point: Point, images: Sequence[Point]) -> float:
    return math.fsum(distance_km(point, other) for other in images)


def medoid(images: Sequence[Point], slack_km: float = 1e-6) -> Point:
    """Image with the least sum of distances; of those equal to a millimetre the lowest latitude, then longitude."""
    sums = {point: sum_of_distances(point, images) for point in set(images)}
    least = min(sums.values())
    return min(point for point, own in sums.items() if own <= least + slack_km)


def mode(images: Sequence[Point], radius_km: float = 1.0) -> Point:
    """Coordinate with most images within the radius; of equal ones the lowest latitude, then longitude."""

    def n_within(point: Point) -> int:
        return sum(distance_km(point, other) <= radius_km for other in images)

    return min(set(images), key=lambda point: (-n_within(point), point))


# ------------------------------------------------------------------------------------------------ grid


def morton(row: int, column: int) -> int:
    """Binary digits of row and column in turn, row above column."""
    digits = zip(f"{row:032b}", f"{column:032b}", strict=True)
    return int("".join(a + b for a, b in digits), 2)


@dataclass(frozen=True)
class Grid:
    """A box of latitudes and longitudes, quartered ``max_level`` times."""

    south: float
    west: float
    north: float
    east: float
    max_level: int

    @property
    def unwrapped_east(self) -> float:
        return self.east if self.east > self.west else self.east + 360.0

    def latitude_edge(self, level: int, row: int) -> float:
        return self.south + (self.north - self.south) * (row / 2**level)

    def longitude_edge(self, level: int, column: int) -> float:
        return self.west + (self.unwrapped_east - self.west) * (column / 2**level)

    def unwrapped(self, longitude: float) -> float:
        """The name of a meridian (x - 360, x or x + 360) that comes first eastwards from the box's west edge."""
        names = (longitude - 360.0, longitude, longitude + 360.0)
        return min(name for name in names if name >= self.west)

    def holds(self, point: Point) -> bool:
        return (
            self.south <= point[0] <= self.north and self.unwrapped(point[1]) <= self.unwrapped_east
        )

    def cell_holds(self, level: int, row: int, column: int, point: Point) -> bool:
        """Half-open, closed at the north and east edge of the root."""
        latitude, longitude, last = point[0], self.unwrapped(point[1]), 2**level - 1
        in_row = self.latitude_edge(level, row) <= latitude and (
            row == last or latitude < self.latitude_edge(level, row + 1)
        )
        in_column = self.longitude_edge(level, column) <= longitude and (
            column == last or longitude < self.longitude_edge(level, column + 1)
        )
        return self.holds(point) and in_row and in_column

    def leaf(self, point: Point) -> tuple[int, int] | None:
        """Row and column of the leaf: at each halving, which half holds the point."""
        if not self.holds(point):
            return None
        row = column = 0
        for level in range(1, self.max_level + 1):
            row = 2 * row + (point[0] >= self.latitude_edge(level, 2 * row + 1))
            column = 2 * column + (
                self.unwrapped(point[1]) >= self.longitude_edge(level, 2 * column + 1)
            )
        return row, column

    def code(self, level: int, row: int, column: int) -> int:
        """First leaf code of a cell."""
        return morton(row, column) * 4 ** (self.max_level - level)

    def encode(self, point: Point) -> int | None:
        leaf = self.leaf(point)
        return None if leaf is None else self.code(self.max_level, *leaf)


def deepest_level(height: float, width: float, min_cell_size: float, limit: int = 31) -> int:
    """Last level whose both sides are at least ``min_cell_size``."""
    levels = [
        level
        for level in range(limit + 1)
        if height / 2**level >= min_cell_size and width / 2**level >= min_cell_size
    ]
    return max(levels, default=0)


def box_of_points(points: Sequence[Point]) -> tuple[float, float, float, float]:
    """South, west, north, east; the circle without its widest gap."""
    latitudes = [latitude for latitude, _ in points]
    eastwards = sorted({longitude for _, longitude in points})
    gaps = [(eastwards[0] + 360.0 - eastwards[-1], eastwards[0], eastwards[-1])]
    for low, high in zip(eastwards[:-1], eastwards[1:], strict=True):
        gaps.append((high - low, high, low))
    _, west, east = max(gaps)
    return min(latitudes), west, max(latitudes), east


# ---------------------------------------------------------------------------------- bins, ranges of codes


def bins(codes: Sequence[int], weights: Sequence[int] | None = None) -> list[tuple[int, int]]:
    """Each occupied code and its number of images, by code."""
    counter: Counter[int] = Counter()
    for code, weight in zip(codes, weights or [1] * len(codes), strict=True):
        counter[code] += weight
    return sorted((code, count) for code, count in counter.items() if count > 0)


def owner(ranges: Sequence[CodeRange], code: int) -> int:
    """Cell of the first range that holds a code, -1 where none does."""
    for start, stop, cell in ranges:
        if start <= code < stop:
            return cell
    return -1


def flatten(ranges: Sequence[CodeRange], n_codes: int) -> list[int]:
    """Owner of every code, asked one by one."""
    return [owner(ranges, code) for code in range(n_codes)]


def lowest_code(ranges: Sequence[CodeRange], cell: int) -> int:
    """Lowest code that a cell wins."""
    won = []
    for order, (start, stop, other) in enumerate(ranges):
        if other != cell:
            continue
        code = start
        while owner(ranges[:order], code) >= 0:
            code = max(end for begin, end, _ in ranges[:order] if begin <= code < end)
        if code < stop:
            won.append(code)
    return min(won)


# ------------------------------------------------------------------------------------------ constructions


@dataclass
class Cell:
    """A quadtree cell and the rows that it holds."""

    level: int
    row: int
    column: int
    members: list[int]

    def code_range(self, grid: Grid, number: int) -> CodeRange:
        start = grid.code(self.level, self.row, self.column)
        return start, start + 4 ** (grid.max_level - self.level), number


def children(grid: Grid, cell: Cell, points: Sequence[Point]) -> list[Cell]:
    quarters = []
    for row in (2 * cell.row, 2 * cell.row + 1):
        for column in (2 * cell.column, 2 * cell.column + 1):
            members = [
                k for k in cell.members if grid.cell_holds(cell.level + 1, row, column, points[k])
            ]
            quarters.append(Cell(cell.level + 1, row, column, members))
    return quarters


def is_split(
    grid: Grid, cell: Cell, points: Sequence[Point], min_images: int, max_images: int | None
) -> bool:
    if cell.level == grid.max_level:
        return False
    if max_images is not None:
        return len(cell.members) > max_images
    return any(len(child.members) >= min_images for child in children(grid, cell, points))


def top_down(
    grid: Grid, cell: Cell, points: Sequence[Point], min_images: int, max_images: int | None = None
) -> list[Cell]:
    """Non-empty leaves."""
    if not is_split(grid, cell, points, min_images, max_images):
        return [cell] if cell.members else []
    return [
        leaf
        for child in children(grid, cell, points)
        for leaf in top_down(grid, child, points, min_images, max_images)
    ]


def consolidate(
    grid: Grid, cell: Cell, points: Sequence[Point], min_images: int
) -> tuple[list[Cell], list[int]]:
    """Cells, children before parents, and the rows handed on to the parent."""
    cells: list[Cell] = []
    handed = cell.members
    if is_split(grid, cell, points, min_images, None):
        handed = []
        for child in children(grid, cell, points):
            below, short = consolidate(grid, child, points, min_images)
            cells += below
            handed = handed + short
    if len(handed) >= min_images:
        return [*cells, Cell(cell.level, cell.row, cell.column, handed)], []
    return cells, handed


# ------------------------------------------------------------------------------------------------ builder


@dataclass
class Partition:
    """What `fit` says about the images and the cells.

    ``tied`` tells that some leftover image had two nearest cells, so that the labels could be others too.
    """

    labels: list[int] = field(default_factory=list)
    centroids: list[Point] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    ranges: list[list[CodeRange]] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    tied: bool = False

    def assign(self, point: Point, group: int = 0) -> int:
        """Scan a group's ranges; the cell number, -1 where no cell holds the point."""
        code = self.grids[group].encode(point)
        return -1 if code is None else owner(self.ranges[group], code)


def fit(
    points: Sequence[Point],
    grids: Sequence[Grid],
    group_of_row: Sequence[int] | None = None,
    *,
    method: str,
    min_images: int,
    max_images: int | None = None,
    leftover: str = "nearest",
) -> Partition:
    """Build a partition, group by group, from the words of the design."""
    group_of_row = [0] * len(points) if group_of_row is None else group_of_row
    cells_of_group: list[list[Cell]] = []
    for group, grid in enumerate(grids):
        root = Cell(0, 0, 0, [k for k, own in enumerate(group_of_row) if own == group])
        if method == "consolidated":
            cells_of_group.append(consolidate(grid, root, points, min_images)[0])
        else:
            leaves = top_down(grid, root, points, min_images, max_images)
            if max_images is not None:
                leaves = [leaf for leaf in leaves if len(leaf.members) >= min_images]
            cells_of_group.append(leaves)

    result = Partition(labels=[-1] * len(points), grids=list(grids))
    no_cells = not any(cells_of_group)
    for group, (grid, cells) in enumerate(zip(grids, cells_of_group, strict=True)):
        assigned = {k for cell in cells for k in cell.members}
        unassigned = [k for k, own in enumerate(group_of_row) if own == group and k not in assigned]
        ranges = [cell.code_range(grid, number) for number, cell in enumerate(cells)]
        members = [list(cell.members) for cell in cells]
        levels = [cell.level for cell in cells]
        whole = (0, 4**grid.max_level, len(cells))
        if unassigned and (leftover == "cell" or no_cells or (leftover == "nearest" and not cells)):
            ranges.append(whole)
            members.append(unassigned)
            levels.append(0)
        elif unassigned and leftover == "nearest":
            centroids = [spherical_mean([points[k] for k in own]) for own in members]
            by_bin: dict[int, list[int]] = {}
            for k in unassigned:
                by_bin.setdefault(grid.encode(points[k]), []).append(k)  # type: ignore[arg-type]
            bin_ranges = []
            for code, rows in by_bin.items():
                cell, tied = nearest(spherical_mean([points[k] for k in rows]), centroids)
                result.tied |= tied
                bin_ranges.append((code, code + 1, cell))
                members[cell] += rows
            ranges = bin_ranges + ranges
        # Number by lowest code, after the cells of the groups before.
        order = sorted(range(len(members)), key=lambda cell: lowest_code(ranges, cell))
        first = len(result.counts)
        number = {cell: first + rank for rank, cell in enumerate(order)}
        result.ranges.append([(start, stop, number[cell]) for start, stop, cell in ranges])
        for cell in order:
            for k in members[cell]:
                result.labels[k] = number[cell]
            result.counts.append(len(members[cell]))
            result.centroids.append(spherical_mean([points[k] for k in members[cell]]))
            result.levels.append(levels[cell])
    return result
