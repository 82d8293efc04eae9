"""Run a pass: work on every partition, then merge the partial results in a tree, in the partitions' order."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import dask
from dask.delayed import Delayed, delayed

from geocells.distributed._photos import Part, Photos


class Partial(Protocol):
    """A small result of some images, which merges with those of others."""

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        ...


P = TypeVar("P", bound=Partial)


@dataclass(frozen=True)
class Pass:
    """What one pass over the photos took.

    Attributes
    ----------
    name : str
        "survey", "counts", "moments", "sums" or "first points".
    seconds : float
        Wall time.
    n_partitions : int
        Partitions that were read.
    bytes_merged : int
        Size of all partial results that went into a merge, those of merges included: at most so much moved between
        workers.
    bytes_returned : int
        Size of the result that came back to the client.
    """

    name: str
    seconds: float
    n_partitions: int
    bytes_merged: int
    bytes_returned: int


@dataclass(frozen=True)
class _Merged:
    """A partial result and the bytes that were merged into it."""

    value: Any
    bytes_merged: int = 0


def _work(work: Callable[[Part, Any], Any], number: int, part: Any, context: Any) -> _Merged:
    """Work on one partition; an error names the partition."""
    try:
        return _Merged(work(part(), context))
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Partition {number} (rows are counted within it): {error}") from error


def _merge(merge: Callable[[list[Any]], Any], parts: Sequence[_Merged]) -> _Merged:
    moved = sum(part.bytes_merged + part.value.nbytes for part in parts)
    return _Merged(merge([part.value for part in parts]), moved)


def _finish(finish: Callable[[Any, Any], Any], part: _Merged, context: Any) -> _Merged:
    return _Merged(finish(part.value, context), part.bytes_merged)


@dataclass
class Runner:
    """Runs passes and remembers what each took."""

    photos: Photos
    client: Any = None
    split_every: int = 8
    passes: list[Pass] = field(default_factory=list)

    def run(
        self,
        name: str,
        work: Callable[[Part, Any], P],
        merge: Callable[[list[P]], P],
        context: Any = None,
        *,
        finish: Callable[[P, Any], P] | None = None,
        features: bool = False,
    ) -> P:
        """Result of ``work(part, context)`` of all partitions, merged.

        Parameters
        ----------
        name : str
        work, merge, finish : callable
            ``merge`` takes a list in the partitions' order; ``finish(merged, context)`` is applied last, where the
            merged result is.
        context : object
            Sent once and kept by the scheduler, so that a worker's death cannot lose it.
        features : bool
            Read the features too.
        """
        start = time.perf_counter()
        # A graph may carry ranges of a few ten megabytes; it is sent once a pass.
        shared = delayed(context, traverse=False)
        nodes: list[Delayed] = [
            delayed(_work)(work, number, part, shared)
            for number, part in enumerate(self.photos.parts(features=features))
        ]
        n_partitions = len(nodes)
        while True:
            nodes = [
                delayed(_merge)(merge, nodes[first : first + self.split_every])
                for first in range(0, len(nodes), self.split_every)
            ]
            if len(nodes) == 1:
                break
        root = nodes[0] if finish is None else delayed(_finish)(finish, nodes[0], shared)
        with (
            nullcontext() if self.client is None else self.client.as_current(),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message="Sending large graph")
            (merged,) = dask.compute(root)
        value: P = merged.value
        self.passes.append(
            Pass(
                name,
                time.perf_counter() - start,
                n_partitions,
                merged.bytes_merged,
                value.nbytes,
            )
        )
        return value
