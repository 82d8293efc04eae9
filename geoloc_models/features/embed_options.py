"""What can be chosen about computing features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from geoloc_models.errors import GeolocError


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """Choices of :func:`geoloc_models.features.embedding.embed`.

    Parameters
    ----------
    batch_size : int, optional
        Images per step; halved when memory runs out. Default: on a CPU 16 at 224 pixels, on a GPU
        what fits half of its free memory.
    workers : int, optional
        Processes that load images; 0: the main process. Default: 0, with a GPU one per core up to
        16.
    precision : {"auto", "32", "bf16", "16"}
        Precision of the encoder. auto: bf16 or 16 on a GPU, 32 on a CPU, or that of the cache to be
        continued.
    dtype : {"float32", "float16"}
        Type of the stored numbers; float16 takes half the space and rounds by 0.05 %.
    resume : bool
        Continue an unfinished cache instead of replacing it.
    retry_broken : bool
        Try images again that could not be read.
    shard : str, optional
        Compute part i of k, written i/k, such as 2/4, while other processes compute the others. The
        last one to finish merges them.

    Raises
    ------
    GeolocError
        If a value is out of range, or two contradict each other.

    Examples
    --------
    >>> from geoloc_models.features import EmbedOptions
    >>> EmbedOptions(shard="2/4").dtype
    'float32'
    """

    batch_size: int | None = None
    workers: int | None = None
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    dtype: Literal["float32", "float16"] = "float32"
    resume: bool = True
    retry_broken: bool = False
    shard: str | None = None

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise GeolocError(f"The batch size must be at least 1; got {self.batch_size}.")
        if self.workers is not None and self.workers < 0:
            raise GeolocError(f"The number of workers must be at least 0; got {self.workers}.")
        number, n_shards = self.shard_and_count
        if not 1 <= number <= n_shards:
            raise GeolocError(f"A shard is one of 1/k to k/k, such as 2/4; got {self.shard!r}.")
        if self.shard is not None and (self.retry_broken or not self.resume):
            raise GeolocError(
                "--shard continues a cache. To replace it, or to try broken images again, leave "
                "--shard out."
            )

    @property
    def shard_and_count(self) -> tuple[int, int]:
        """Number of the shard, from 1, and how many there are; 1 of 1 without shards."""
        number, _, n_shards = (self.shard or "1/1").partition("/")
        is_written_well = number.isdecimal() and n_shards.isdecimal()
        return (int(number), int(n_shards)) if is_written_well else (0, 0)
