"""Two exact ways to the best candidate, each where it wins: a table of shares for classes, distances for points.

Probabilities over 2 000 cells of 100 000 images take the table 0.02 ms a row, and a search by distances 23 ms; a
gallery in which every point is a class of its own would take a table of several gigabytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from geocells.array_types import FloatArray
from geocells.decoding import _kernels
from geocells.decoding._candidates import GROUP_SIZE, CandidateBlocks, ImageGroups
from geocells.jit import n_threads, run_blocks
from geocells.sphere import EARTH_RADIUS_KM

MOST_IN_UINT16 = 65_535


def in_parts(function: Callable[..., Any], n_items: int, *arguments: Any, parts: int = 4) -> None:
    """Run ``function(start, stop, *arguments)`` over ``range(n_items)``, in ``parts`` pieces a thread."""
    n_parts = max(1, min(n_items, n_threads() * parts))
    edges = [n_items * part // n_parts for part in range(n_parts + 1)]
    run_blocks(
        function,
        [(start, stop, *arguments) for start, stop in zip(edges[:-1], edges[1:], strict=True)],
    )


def angles_and_chords(radii_km: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Radii as angles in radians, and as squared chords rounded up by a micrometre, by 4 m at the antipode."""
    angles = radii_km / EARTH_RADIUS_KM
    chords = 2.0 * np.sin(0.5 * np.minimum(angles, np.pi)) + 1e-13
    return angles, np.where(angles >= np.pi, 5.0, chords**2)


def bounds_of_rows(masses: FloatArray, bounds: NDArray[np.float32]) -> NDArray[np.float32]:
    """Most utility in each block, (n, n_blocks) float32, from (n, m) masses and (n_blocks, m) bounds.

    A product in float32 whose rounding, ``m 2^-23`` at the very most as no term is negative, is added on top.
    """
    product = masses.astype(np.float32) @ bounds.T
    product *= np.float32(1.0 + (masses.shape[1] + 8) * 2.0**-22)
    product += np.float32(1e-9)
    return product


def refuse_memory(n_bytes: int, max_bytes: int, n_candidates: int) -> None:
    """Refuse what takes more memory than is allowed."""
    if n_bytes > max_bytes:
        raise ValueError(
            f"max_memory_bytes={max_bytes} is too little for {n_candidates} candidates, which take {n_bytes} bytes or "
            "more: allow more, or raise resolution_km."
        )


@dataclass(frozen=True)
class ShareTable:
    """How many images of each class lie within each radius of each candidate, in blocks of 64 candidates.

    Attributes
    ----------
    blocks : CandidateBlocks
    counts : (n_classes,) float64
        Images of each class, by which the numbers are divided.
    family_of_class : (n_classes,) uint32
    entries : tuple of ndarray
        All are unsigned: numba looks for negative indices otherwise, which takes as long as the sums.
        Tiles, (n_tiles, 64) numbers of block b from ``tile_edges[b]`` on, ordered by class, then radius: ``tile_edges,
        tile_classes, tile_radii, tiles``; and numbers that all candidates of a block share: ``constant_edges,
        constant_classes, constant_radii, constants``.
    """

    blocks: CandidateBlocks
    counts: FloatArray
    family_of_class: NDArray[np.uint32]
    entries: tuple[Any, ...]

    @classmethod
    def fill(
        cls, blocks: CandidateBlocks, images: ImageGroups, radii_km: FloatArray, max_bytes: int
    ) -> ShareTable:
        """Count images around candidates, in two passes: how many entries there are, then the entries."""
        n_blocks, n_candidates = len(blocks), len(blocks.coords)
        least_bytes = 4 * len(images.counts) * n_blocks + 16 * (n_blocks + 1)
        refuse_memory(least_bytes, max_bytes, n_candidates)
        tile_edges = np.zeros(n_blocks + 1, dtype=np.uint32)
        constant_edges = np.zeros(n_blocks + 1, dtype=np.uint32)
        number = np.uint16 if images.counts.max() <= MOST_IN_UINT16 else np.uint32
        groups = np.column_stack([images.balls, images.edges[:-1], images.edges[1:]])
        by_class = (
            images.class_balls, images.counts, images.class_edges, groups, images.vectors
        )  # fmt: skip

        def count(writes: bool) -> tuple[Any, ...]:
            n_tiles, n_constants = (
                (int(tile_edges[-1]), int(constant_edges[-1])) if writes else (0, 0)
            )
            entries = (
                tile_edges,
                np.empty(n_tiles, dtype=np.uint32),
                np.empty(n_tiles, dtype=np.uint8),
                np.empty((n_tiles, GROUP_SIZE), dtype=number),
                constant_edges,
                np.empty(n_constants, dtype=np.uint32),
                np.empty(n_constants, dtype=np.uint8),
                np.empty(n_constants, dtype=np.uint32),
            )
            in_parts(
                _kernels.table_of_blocks,
                n_blocks,
                writes,
                blocks.arrays,
                *angles_and_chords(radii_km),
                by_class,
                entries,
                parts=16,
            )
            return entries

        count(writes=False)
        np.cumsum(tile_edges, out=tile_edges)
        np.cumsum(constant_edges, out=constant_edges)
        tile_bytes = GROUP_SIZE * np.dtype(number).itemsize + 5
        table_bytes = int(tile_edges[-1]) * tile_bytes + int(constant_edges[-1]) * 9
        refuse_memory(least_bytes + table_bytes, max_bytes, n_candidates)
        counts = images.counts.astype(np.float64)
        return cls(blocks, counts, images.family_of_class, count(writes=True))

    @property
    def nbytes(self) -> int:
        """Memory of the table and of the bounds of one set of weights."""
        n_entries = len(self.entries[3]) + len(self.entries[7])
        return sum(int(array.nbytes) for array in self.entries) + 16 * n_entries

    @property
    def row_bytes(self) -> int:
        """Memory that a row takes while it is searched."""
        return 16 * len(self.counts)

    def bounds(self, weights: FloatArray) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Most that each class, and each family of classes, of probability 1 adds to the utility in each block.

        Classes by block, as `_kernels.bounds_of_table` writes them; families: those of family f are the entries from
        ``edges[f]`` on of ``edges, blocks, most``.
        """
        n_entries = len(self.entries[3]) + len(self.entries[7])
        bounds = (
            np.empty(len(self.blocks), dtype=np.uint32),
            np.empty(n_entries, dtype=np.uint32),
            np.empty(n_entries, dtype=np.float32),
        )
        n_families = int(self.family_of_class.max()) + 1
        families = np.zeros((n_families, len(self.blocks)), dtype=np.float32)
        in_parts(
            _kernels.bounds_of_table,
            len(self.blocks),
            weights,
            self.counts,
            self.family_of_class,
            self.entries,
            bounds,
            families,
        )
        rows = sparse.csr_array(families)
        return bounds, (rows.indptr.astype(np.uint32), rows.indices.astype(np.uint32), rows.data)

    def search(
        self, probabilities: FloatArray, weights: FloatArray, bounds: tuple[Any, ...], answers: Any
    ) -> None:
        """Write the best candidate and its utility for each row of (n, n_classes) probabilities into ``answers``."""
        in_parts(
            _kernels.search_table,
            len(probabilities),
            probabilities,
            (self.counts, self.family_of_class),
            bounds,
            weights,
            self.blocks.places,
            self.entries,
            answers,
        )


@dataclass(frozen=True)
class PointSearch:
    """The search where every point is a class of its own: distances are worked out when they are needed.

    Attributes
    ----------
    blocks : CandidateBlocks
    points : ImageGroups
    radii_km : (n_radii,) float64
    apart : (n_blocks, n_groups) float32
        Angle between the centres of each block and each group of points.
    """

    blocks: CandidateBlocks
    points: ImageGroups
    radii_km: FloatArray
    apart: NDArray[np.float32]

    @classmethod
    def fill(
        cls, blocks: CandidateBlocks, points: ImageGroups, radii_km: FloatArray, max_bytes: int
    ) -> PointSearch:
        """Measure blocks against groups."""
        n_blocks, n_groups = len(blocks), len(points.balls)
        refuse_memory(8 * n_blocks * n_groups, max_bytes, len(blocks.coords))
        apart = np.empty((n_blocks, n_groups), dtype=np.float32)
        in_parts(_kernels.ball_distances, n_blocks, blocks.balls, points.balls, apart)
        return cls(blocks, points, radii_km, apart)

    @property
    def nbytes(self) -> int:
        """Memory of the distances and of the bounds of one set of weights."""
        return 2 * int(self.apart.nbytes)

    @property
    def row_bytes(self) -> int:
        """Memory that a row takes while it is searched."""
        n_blocks, n_groups = self.apart.shape
        return int(32 * len(self.points.counts) + 8 * (n_blocks + n_groups))

    def bounds(self, weights: FloatArray) -> NDArray[np.float32]:
        """Most that each group adds to the utility in each block, (n_blocks, n_groups)."""
        bounds = np.empty(self.apart.shape, dtype=np.float32)
        in_parts(
            _kernels.bounds_of_balls,
            len(self.blocks),
            self.blocks.balls,
            self.points.balls,
            self.apart,
            angles_and_chords(self.radii_km)[0],
            weights,
            bounds,
        )
        return bounds

    def search(
        self, probabilities: FloatArray, weights: FloatArray, bounds: Any, answers: Any
    ) -> None:
        """Write the best candidate and its utility for each row of (n, n_points) probabilities into ``answers``."""
        points = self.points
        masses = points.masses(probabilities)
        in_parts(
            _kernels.search_points,
            len(probabilities),
            probabilities[:, points.class_of_image],
            masses,
            bounds_of_rows(masses, bounds),
            (weights, *angles_and_chords(self.radii_km)),
            self.blocks.arrays,
            (points.edges, points.balls, points.vectors),
            self.apart,
            answers,
            parts=8,
        )
