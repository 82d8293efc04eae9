"""Outlines of Voronoi cells of the sphere on a map of longitude and latitude.

A cell is drawn in three steps: its corners on the sphere, great circles between them, and the ring on the map. Points
that neighbours share are computed once and in one order, so that neighbours share their borders point by point.
"""

from __future__ import annotations

import math

import numpy as np
import shapely

from geocells.array_types import FloatArray, ObjectArray
from geocells.sphere import EARTH_RADIUS_KM, from_unit_vectors, to_unit_vectors
from geocells.sphere.polygons import cut_at_antimeridian, repaired

STEP = math.radians(0.25)
"""Most radians between drawn points of a side: it strays 15 m times the tangent of its latitude at most."""

Corners = tuple[FloatArray, list[int]]
"""Corners of a cell (n, 3), counterclockwise, and the site across the side that begins at each."""

TOO_NEAR = 1e-9
"""Radians (6 mm) within which sites are one."""

AT_POLE = 1e-9
"""Radians (6 mm) within which a point is the pole."""

TOO_CLOSE = "The sites' Voronoi cells cannot be told apart: some lie too close together."

TANGENTS = np.tan(np.radians(np.arange(-88.0, 90.0, 2.0)))

FLAT = 1e-9
"""Sites that stray less from one plane than this share of their extent are on one circle."""


def voronoi_polygons(sites: FloatArray) -> ObjectArray:
    """Polygon of the places nearest to each site.

    Parameters
    ----------
    sites : (n, 2) float64
        Latitude, longitude in degrees; distinct.

    Returns
    -------
    polygons : (n,) object
        Shapely Polygon or MultiPolygon in (longitude, latitude) degrees, valid, cut at the antimeridian. Together they
        cover the globe.

    Raises
    ------
    ValueError
        When two sites are the same or too near for double precision to tell their cells apart.

    Notes
    -----
    Corners by the convex hull of the sites in space, O(n log n), as `scipy.spatial.SphericalVoronoi` finds them. Sites
    on one circle (any two or three are) have no such hull: their cells are lunes between the circle's two poles.
    """
    polygons = np.empty(len(sites), dtype=object)
    if len(sites) == 0:
        return polygons
    from scipy.spatial import cKDTree

    if len(sites) == 1:
        polygons[0] = shapely.box(-180.0, -90.0, 180.0, 90.0)
        return polygons
    vectors = to_unit_vectors(sites)
    nearest = cKDTree(vectors).query(vectors, k=2)[0][:, 1].min()
    if nearest <= TOO_NEAR:
        raise ValueError(
            f"Two sites lie {nearest * EARTH_RADIUS_KM * 1e6:.3g} mm apart: their Voronoi cells cannot be told apart."
        )
    axis = _axis_of_circle(vectors)
    corners = _corners(vectors) if axis is None else _lunes(vectors, axis)
    for cell, (points, neighbours) in enumerate(corners):
        polygons[cell] = _on_map(_ring(cell, points, neighbours, vectors))
    polygons = cut_at_antimeridian(polygons)
    return np.array([repaired(polygon) for polygon in polygons], dtype=object)


def _axis_of_circle(vectors: FloatArray) -> FloatArray | None:
    """Axis of the circle that holds all sites, where there is one."""
    axis: FloatArray
    if len(vectors) == 2:
        # Any axis at right angles to the line between the two would do; this one makes their great circle's.
        axis = np.cross(vectors[0], vectors[1])
        if np.linalg.norm(axis) < 1e-9:
            axis = np.cross(vectors[0] - vectors[1], np.eye(3)[np.argmin(np.abs(vectors[0]))])
        return axis / np.linalg.norm(axis)
    _, extents, axes = np.linalg.svd(vectors - vectors.mean(axis=0))
    if len(vectors) == 3 or extents[2] <= FLAT * extents[0]:
        axis = axes[2]
        return axis / np.linalg.norm(axis)
    return None


def _lunes(vectors: FloatArray, axis: FloatArray) -> list[Corners]:
    """Corners of the cells of sites on one circle: the circle's poles, and a point halfway on either side."""
    start = vectors[0] - axis * (vectors[0] @ axis)
    start /= np.linalg.norm(start)
    across = np.cross(axis, start)
    angles = np.arctan2(vectors @ across, vectors @ start)
    order = np.argsort(angles, kind="stable")
    ends = np.append(angles[order][1:], angles[order[0]] + 2.0 * np.pi)
    borders = (angles[order] + ends) / 2
    middles = np.outer(np.cos(borders), start) + np.outer(np.sin(borders), across)
    corners: list[Corners] = [(np.empty((0, 3)), [])] * len(vectors)
    for place, cell in enumerate(order):
        after, before = int(order[(place + 1) % len(order)]), int(order[place - 1])
        corners[cell] = (
            np.stack([-axis, middles[place], axis, middles[place - 1]]),
            [after, after, before, before],
        )
    return corners


def _corners(vectors: FloatArray) -> list[Corners]:
    """Corners of every cell, counterclockwise as seen from outside.

    A facet of the sites' convex hull is a corner: its normal is as far from each of the facet's sites, and nearer to no
    other. The hull is taken after stretching the sites to one extent in all directions, which changes no facet but lets
    sites in one town be told apart as well as those around the globe.
    """
    from scipy.spatial import ConvexHull, QhullError

    middle = vectors.mean(axis=0)
    _, extents, axes = np.linalg.svd(vectors - middle, full_matrices=False)
    try:
        facets = ConvexHull((vectors - middle) @ axes.T / extents).simplices
    except QhullError as error:
        raise ValueError(f"The sites' Voronoi cells cannot be told apart ({error}).") from error
    one, other, third = (vectors[facets[:, k]] for k in range(3))
    normals = np.cross(other - one, third - one)
    outwards = np.einsum("ij,ij->i", normals, one - middle)
    normals *= (np.sign(outwards) / np.linalg.norm(normals, axis=1))[:, None]
    flipped = outwards < 0
    facets[flipped] = facets[flipped][:, [0, 2, 1]]
    # Around a site, counterclockwise: from the facet (site, a, b) to the facet (site, b, c) along the border with b.
    following: list[dict[int, tuple[int, int]]] = [{} for _ in vectors]
    for facet, sites in enumerate(facets.tolist()):
        for k in range(3):
            following[sites[k]][sites[k - 2]] = (facet, sites[k - 1])
    cells = []
    for onwards in following:
        if len(onwards) < 3:
            raise ValueError(TOO_CLOSE)
        neighbour = start = min(onwards)
        corners: list[FloatArray] = []
        neighbours: list[int] = []
        while neighbour != start or not corners:
            if neighbour not in onwards or len(corners) == len(onwards):
                raise ValueError(TOO_CLOSE)
            facet, neighbour = onwards[neighbour]
            corners.append(normals[facet])
            neighbours.append(neighbour)
        cells.append((np.array(corners), neighbours))
    return cells


def _ring(cell: int, corners: FloatArray, neighbours: list[int], vectors: FloatArray) -> FloatArray:
    """Points of a cell's border, (n, 3) unit vectors, counterclockwise, the sides cut into steps."""
    sides = []
    for k, neighbour in enumerate(neighbours):
        start, stop = corners[k], corners[(k + 1) % len(corners)]
        # The side is where both sites are equally far; drawn from the lower one, so that both have the same points.
        if cell < neighbour:
            sides.append(_arc(start, stop, vectors[cell] - vectors[neighbour])[:-1])
        else:
            sides.append(_arc(stop, start, vectors[neighbour] - vectors[cell])[:0:-1])
    return np.concatenate(sides)


def _arc(start: FloatArray, stop: FloatArray, axis: FloatArray) -> FloatArray:
    """Points of the great circle that runs from ``start`` to ``stop`` with ``axis`` on its left."""
    across = np.cross(axis, start)
    across /= np.linalg.norm(across)
    angle = math.atan2(float(stop @ across), float(stop @ start))
    if angle < -3.0:
        angle += 2.0 * math.pi
    if angle <= STEP / 100:
        return np.stack([start, stop])
    places = np.linspace(0.0, angle, max(2, math.ceil(angle / STEP) + 1))
    # Near a pole longitudes run fast: points at every two degrees of them, and the pole itself on a side through it.
    summit = math.atan2(across[2], start[2])
    for top in (summit, summit - math.copysign(math.pi, summit)):
        point = start * math.cos(top) + across * math.sin(top)
        from_pole = math.hypot(point[0], point[1])
        if from_pole < 0.2:
            near = [0.0] if from_pole <= AT_POLE else np.arctan(from_pole * TANGENTS)
            places = np.union1d(places, [top + each for each in near if 0.0 < top + each < angle])
    points: FloatArray = np.outer(np.cos(places), start) + np.outer(np.sin(places), across)
    points[0], points[-1] = start, stop
    return points


def _on_map(ring: FloatArray) -> shapely.Geometry:
    """Polygon of a counterclockwise ring of unit vectors, longitudes running on past the antimeridian."""
    latitudes, longitudes = from_unit_vectors(ring).T
    at_pole = np.hypot(ring[:, 0], ring[:, 1]) <= AT_POLE
    once = ~(at_pole & np.roll(at_pole, 1))
    latitudes, longitudes, at_pole = latitudes[once], longitudes[once], at_pole[once]
    if not at_pole.any():
        unwrapped = _unwrapped(longitudes, latitudes, np.arange(len(longitudes)))
        turned = unwrapped[-1] + _shortest(longitudes[0] - longitudes[-1]) - unwrapped[0]
        points = list(zip(unwrapped, latitudes.tolist(), strict=True))
        if abs(turned) > 180.0:
            return _around_pole(points, math.copysign(360.0, turned))
        return repaired(shapely.Polygon(points))
    # Start at a pole: it is the stretch of the map's edge between the meridians that meet there.
    turn = np.roll(np.arange(len(at_pole)), -int(np.flatnonzero(at_pole)[0]))
    latitudes, longitudes, at_pole = latitudes[turn], longitudes[turn], at_pole[turn]
    plain = np.flatnonzero(~at_pole)
    longitudes[plain] = _unwrapped(longitudes[plain], latitudes, plain)
    points = []
    for k, (longitude, latitude) in enumerate(zip(longitudes, latitudes, strict=True)):
        if at_pole[k]:
            edge = math.copysign(90.0, latitude)
            before, after = longitudes[k - 1], longitudes[(k + 1) % len(longitudes)]
            points += [(before, edge), (after, edge)]
        else:
            points.append((longitude, latitude))
    return repaired(shapely.Polygon(points))


def _around_pole(ring: list[tuple[float, float]], turn: float) -> shapely.Geometry:
    """Polygon of a cell that holds a pole: counterclockwise around the north pole its border runs east."""
    edge = math.copysign(90.0, turn)
    line = [(x + turns * turn, y) for turns in (-2, -1, 0, 1, 2) for x, y in ring]
    whole = shapely.Polygon([*line, (line[-1][0], edge), (line[0][0], edge)])
    return repaired(shapely.intersection(repaired(whole), shapely.box(-180, -90, 180, 90)))


def _shortest(difference: float) -> float:
    return (difference + 180.0) % 360.0 - 180.0


def _unwrapped(longitudes: FloatArray, latitudes: FloatArray, rows: np.ndarray) -> list[float]:
    """Longitudes without jumps; after a pole, onwards in the sense that keeps the inside on the left."""
    unwrapped = [float(longitudes[0])]
    for k in range(1, len(longitudes)):
        step = _shortest(float(longitudes[k] - longitudes[k - 1]))
        if rows[k] != rows[k - 1] + 1:
            # Over the north pole the border turns westwards on the map's upper edge, over the south pole eastwards.
            north = latitudes[rows[k] - 1] > 0
            step = -(-step % 360.0) if north else step % 360.0
        unwrapped.append(unwrapped[-1] + step)
    return unwrapped
