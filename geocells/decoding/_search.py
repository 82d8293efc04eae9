"""Two ways to the best candidate: a table of shares, or the images themselves. Both exact, with the same answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geocells._jit import n_threads, run_blocks
from geocells._types import FloatArray, IntArray
from geocells.decoding import _expected_utility_kernels as table_kernels
from geocells.decoding import _image_search_kernels as image_kernels
from geocells.decoding._candidates import GROUP_SIZE, CandidateBlocks, ImageGroups
from geocells.decoding._utility import Utility

MOST_IN_UINT16 = 65_535


@dataclass(frozen=True)
class Answers:
    """The best candidate of each row.

    Attributes
    ----------
    chosen : (n,) int64
        Row of the candidates.
    utilities : (n,) float64
        Its expected utility.
    n_visited : (n,) int64
        Blocks of candidates that had to be looked at one by one.
    """

    chosen: IntArray
    utilities: FloatArray
    n_visited: IntArray

    @classmethod
    def empty(cls, n_rows: int) -> Answers:
        """Room for ``n_rows`` answers."""
        return cls(np.empty(n_rows, np.int64), np.empty(n_rows), np.zeros(n_rows, np.int64))


def in_parts(function: Callable[..., Any], n_items: int, *arguments: Any, parts: int = 1) -> None:
    """Run ``function(start, stop, *arguments)`` over ``range(n_items)``, in ``parts`` pieces a thread."""
    n_parts = max(1, min(n_items, n_threads() * parts))
    edges = [n_items * part // n_parts for part in range(n_parts + 1)]
    run_blocks(
        function,
        [(start, stop, *arguments) for start, stop in zip(edges[:-1], edges[1:], strict=True)],
    )


def bounds_of_rows(masses: FloatArray, bounds: NDArray[np.float32]) -> NDArray[np.float32]:
    """Most utility in each block, (n, n_blocks) float32, from (n, m) masses and (n_blocks, m) bounds.

    A product in float32 whose rounding, ``m 2^-23`` at the very most as no term is negative, is added on top.
    """
    product = masses.astype(np.float32) @ bounds.T
    product *= np.float32(1.0 + (masses.shape[1] + 8) * 2.0**-22)
    product += np.float32(1e-9)
    return product


@dataclass(frozen=True)
class ShareTable:
    """How many images of each class lie within each radius of each candidate, in blocks of 64 candidates.

    Attributes
    ----------
    blocks : CandidateBlocks
    units : (n_classes,) float64
        What the numbers are to be divided by: the images of each class.
    tile_edges, tile_classes, tile_radii, tiles
        Tiles (n_tiles, 64) of block b from ``tile_edges[b]`` on, in the order of class, then radius.
    constant_edges, constant_classes, constant_radii, constants
        Numbers that all candidates of a block share.
    """

    blocks: CandidateBlocks
    units: FloatArray
    tile_edges: IntArray
    tile_classes: NDArray[np.int32]
    tile_radii: NDArray[np.int8]
    tiles: NDArray[Any]
    constant_edges: IntArray
    constant_classes: NDArray[np.int32]
    constant_radii: NDArray[np.int8]
    constants: NDArray[np.uint32]

    @classmethod
    def of(
        cls, blocks: CandidateBlocks, images: ImageGroups, utility: Utility, max_bytes: int
    ) -> ShareTable | None:
        """Fill the table; None where it would take more than ``max_bytes``."""
        n_classes, n_blocks = len(images.counts), len(blocks)
        least_bytes = 4 * n_classes * n_blocks + 16 * (n_blocks + 1)
        if least_bytes > max_bytes or images.class_edges is None:
            return None
        if utility.scale_km:
            if least_bytes + n_blocks * n_classes * (4 * GROUP_SIZE + 5) > max_bytes:
                return None
            return cls._smooth(blocks, images, utility)
        tile_edges = np.zeros(n_blocks + 1, dtype=np.int64)
        constant_edges = np.zeros(n_blocks + 1, dtype=np.int64)
        number = np.uint16 if images.counts.max() <= MOST_IN_UINT16 else np.uint32

        def run(writes: bool, n_tiles: int, n_constants: int) -> tuple[Any, ...]:
            out = (
                tile_edges,
                np.empty(n_tiles, dtype=np.int32),
                np.empty(n_tiles, dtype=np.int8),
                np.empty((n_tiles, GROUP_SIZE), dtype=number),
                constant_edges,
                np.empty(n_constants, dtype=np.int32),
                np.empty(n_constants, dtype=np.int8),
                np.empty(n_constants, dtype=np.uint32),
            )
            groups = np.column_stack([images.balls, images.edges[:-1], images.edges[1:]])
            in_parts(
                table_kernels.table_of_blocks,
                n_blocks,
                writes,
                blocks.vectors,
                blocks.balls,
                utility.radii,
                utility.chord2,
                images.class_balls,
                images.counts,
                images.class_edges,
                groups,
                images.vectors,
                *out,
                parts=16,
            )
            return out

        run(False, 0, 0)
        np.cumsum(tile_edges, out=tile_edges)
        np.cumsum(constant_edges, out=constant_edges)
        n_tiles, n_constants = int(tile_edges[-1]), int(constant_edges[-1])
        tile_bytes = GROUP_SIZE * np.dtype(number).itemsize + 5
        if least_bytes + n_tiles * tile_bytes + n_constants * 9 > max_bytes:
            return None
        return cls(blocks, images.counts.astype(np.float64), *run(True, n_tiles, n_constants))

    @classmethod
    def _smooth(cls, blocks: CandidateBlocks, images: ImageGroups, utility: Utility) -> ShareTable:
        n_classes, n_blocks = len(images.counts), len(blocks)
        tiles = np.empty((n_blocks * n_classes, GROUP_SIZE), dtype=np.float32)
        class_starts = np.append(0, np.cumsum(images.counts))
        in_parts(
            table_kernels.smooth_tiles_of_blocks,
            n_blocks,
            blocks.vectors,
            utility.scale,
            class_starts,
            images.counts,
            images.vectors,
            tiles,
            parts=16,
        )
        return cls(
            blocks,
            np.ones(n_classes),
            np.arange(n_blocks + 1) * n_classes,
            np.tile(np.arange(n_classes, dtype=np.int32), n_blocks),
            np.zeros(n_blocks * n_classes, dtype=np.int8),
            tiles,
            np.zeros(n_blocks + 1, dtype=np.int64),
            np.empty(0, dtype=np.int32),
            np.empty(0, dtype=np.int8),
            np.empty(0, dtype=np.uint32),
        )

    @property
    def _entries(self) -> tuple[Any, ...]:
        return (
            self.tile_edges,
            self.tile_classes,
            self.tile_radii,
            self.tiles,
            self.constant_edges,
            self.constant_classes,
            self.constant_radii,
            self.constants,
        )

    @property
    def nbytes(self) -> int:
        """Memory of the table and of the bounds of one utility."""
        own = sum(int(array.nbytes) for array in self._entries)
        return own + 4 * len(self.units) * len(self.blocks)

    @property
    def row_bytes(self) -> int:
        """Memory that a row takes while it is searched."""
        return 24 * len(self.units) + 8 * len(self.blocks)

    def bounds(self, weights: FloatArray) -> NDArray[np.float32]:
        """Most that each class adds to the utility in each block, (n_blocks, n_classes)."""
        bounds = np.empty((len(self.blocks), len(self.units)), dtype=np.float32)
        in_parts(
            table_kernels.bounds_of_table,
            len(self.blocks),
            weights,
            self.units,
            *self._entries,
            bounds,
            parts=4,
        )
        return bounds

    def search(
        self,
        probabilities: FloatArray,
        weights: FloatArray,
        bounds: NDArray[np.float32],
        tolerance: float,
    ) -> Answers:
        """Best candidate for each row of (n, n_classes) probabilities."""
        answers = Answers.empty(len(probabilities))
        in_parts(
            table_kernels.search_table,
            len(probabilities),
            probabilities / self.units,
            bounds_of_rows(probabilities, bounds),
            tolerance,
            weights,
            self.blocks.places,
            *self._entries,
            answers.chosen,
            answers.utilities,
            answers.n_visited,
            parts=4,
        )
        return answers


@dataclass(frozen=True)
class ImageSearch:
    """The search without a table: distances are worked out when asked for. Slower, and its memory is small.

    Attributes
    ----------
    blocks : CandidateBlocks
    images : ImageGroups
    utility : Utility
    apart : (n_blocks, n_groups) float32
        Angle between the centres of each block and each group of images.
    """

    blocks: CandidateBlocks
    images: ImageGroups
    utility: Utility
    apart: NDArray[np.float32]

    @classmethod
    def of(
        cls, blocks: CandidateBlocks, images: ImageGroups, utility: Utility, max_bytes: int
    ) -> ImageSearch:
        """Measure blocks against groups; refused where that alone takes more than ``max_bytes``."""
        n_blocks, n_groups = len(blocks), len(images.balls)
        if 8 * n_blocks * n_groups > max_bytes:
            raise ValueError(
                f"max_memory_bytes={max_bytes} is too little for {len(blocks.coords)} candidates and "
                f"{images.vectors.shape[1]} images, which take {8 * n_blocks * n_groups} bytes: allow more, or "
                "raise resolution_km."
            )
        apart = np.empty((n_blocks, n_groups), dtype=np.float32)
        in_parts(image_kernels.ball_distances, n_blocks, blocks.balls, images.balls, apart, parts=4)
        return cls(blocks, images, utility, apart)

    @property
    def nbytes(self) -> int:
        """Memory of the distances and of the bounds of one utility."""
        return 2 * int(self.apart.nbytes)

    @property
    def row_bytes(self) -> int:
        """Memory that a row takes while it is searched."""
        n_blocks, n_groups = self.apart.shape
        width = self.images.vectors.shape[1]
        return int(24 * len(self.images.counts) + 8 * (width + n_blocks + n_groups))

    def bounds(self, weights: FloatArray) -> NDArray[np.float32]:
        """Most that each group adds to the utility in each block, (n_blocks, n_groups)."""
        bounds = np.empty(self.apart.shape, dtype=np.float32)
        in_parts(
            image_kernels.bounds_of_balls,
            len(self.blocks),
            self.blocks.balls,
            self.images.balls,
            self.apart,
            self.utility.radii,
            weights,
            self.utility.scale,
            bounds,
            parts=4,
        )
        return bounds

    def search(
        self,
        probabilities: FloatArray,
        weights: FloatArray,
        bounds: NDArray[np.float32],
        tolerance: float,
    ) -> Answers:
        """Best candidate for each row of (n, n_classes) probabilities."""
        answers = Answers.empty(len(probabilities))
        shares = probabilities / self.images.counts
        masses = self.images.masses(shares)
        in_parts(
            image_kernels.search_images,
            len(probabilities),
            shares,
            masses,
            bounds_of_rows(masses, bounds),
            tolerance,
            weights,
            self.utility.radii,
            self.utility.chord2,
            self.utility.scale,
            self.blocks.places,
            self.blocks.vectors,
            self.blocks.balls,
            self.images.class_of_image,
            self.images.edges,
            self.images.balls,
            self.images.vectors,
            self.apart,
            answers.chosen,
            answers.utilities,
            answers.n_visited,
            parts=8,
        )
        return answers
