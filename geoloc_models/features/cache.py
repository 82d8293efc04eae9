"""Features of all images of a table, computed once and kept on disk."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from geoloc_models.errors import GeolocError
from geoloc_models.files import read_record, reading
from geoloc_models.tables.hashing import hash_texts, stream_start
from geoloc_models.tables.photo_ids import refuse_repeated
from geoloc_models.tables.photo_table import PhotoTable

FORMAT, VERSION = "geoloc-features", 1
DTYPES = ("float32", "float16")

PENDING, DONE, BROKEN = 0, 1, 2  # states of a row

_BLOCK_ROWS = 1 << 14


class FeatureFiles:
    """Where the files of a cache lie.

    Parameters
    ----------
    features : Path
        ``NAME.npy``; the others lie beside it.
    """

    def __init__(self, features: Path) -> None:
        if features.suffix != ".npy":
            raise GeolocError(
                f"A feature cache is a .npy file; got {features.name}. Name it {features.name}.npy."
            )
        self.features = features
        self.card = self._beside(".json")  # what the features are
        self.keys = self._beside(".keys.npy")  # hash of every row's key
        self.state = self._beside(".state.npy")  # of every row
        self.broken = self._beside(".broken.csv")  # rows without an image, with the reasons
        self.lock = features.with_name(f".{features.stem}.lock")  # held by who writes

    def _beside(self, ending: str) -> Path:
        return self.features.with_name(self.features.stem + ending)

    def shard(self, number: int, n_shards: int) -> FeatureFiles:
        """Cache of the rows that one of several processes computes: NAME.shard-2-of-4.npy."""
        return FeatureFiles(self._beside(f".shard-{number}-of-{n_shards}.npy"))

    def remove(self) -> None:
        """Remove all files of the cache, its card first."""
        for path in (self.card, self.features, self.keys, self.state, self.broken, self.lock):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class FeatureCard:
    """What the features of a cache are.

    Parameters
    ----------
    encoder : str
        Name of the encoder.
    fingerprint : str
        Of its name, weights and preprocessing.
    preprocessing : dict
        What the encoder was shown, as plain values.
    dim : int
        Length of a feature.
    dtype : {"float32", "float16"}
        Of the numbers on disk.
    n_rows : int
        Rows, those without an image included.
    keys_digest : str
        Digest of all row keys in their order.
    precision : str
        What the encoder computed in: 32, bf16 or 16.
    weights : str, optional
        Where its weights came from: ``"imagenet"`` or a file. The fingerprint tells whether others
        are the same.
    """

    encoder: str
    fingerprint: str
    preprocessing: dict[str, Any]
    dim: int
    dtype: str
    n_rows: int
    keys_digest: str
    precision: str = "32"
    weights: str | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise GeolocError(
                f"Features are kept as {' or '.join(DTYPES)}; got the dtype {self.dtype!r}."
            )
        if self.n_rows < 1 or self.dim < 1:
            raise GeolocError(
                f"A feature cache needs a row and a column at least; got {self.n_rows} x {self.dim}."
            )

    @property
    def title(self) -> str:
        """Encoder, image size and fingerprint, for messages."""
        size = self.preprocessing.get("image_size")
        return f"{self.encoder} at {size} pixels (fingerprint {self.fingerprint})"

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> FeatureCard:
        """Make a card again from its values."""
        values = {"weights": None, **content}
        card = cls(**{field.name: values[field.name] for field in fields(cls)})
        return replace(card, dim=int(card.dim), n_rows=int(card.n_rows))


class FeatureCache:
    """Features on disk, one row per photo, read through a memory map.

    Made by :func:`geoloc_models.features.embedding.embed`; opened with :meth:`open`.

    Parameters
    ----------
    files : FeatureFiles
        Where it lies.
    card : FeatureCard
        What it holds.
    features : ndarray (n, D) float32 or float16
        Memory map, read-only. Rows that are not done are zeros.
    state : ndarray (n,) uint8
        0 pending, 1 done, 2 broken, as of the opening.
    key_hashes : ndarray (n,) uint64
        Of the rows' keys.

    Notes
    -----
    ``NAME.npy`` is a plain array, so other programs read it too. Beside it lie ``NAME.json`` (the card),
    ``NAME.keys.npy``, ``NAME.state.npy`` and, where images are broken, ``NAME.broken.csv``.

    Examples
    --------
    >>> from geoloc_models.features import FeatureCache, row_keys
    >>> from geoloc_models.tables import read_photo_table
    >>> cache = FeatureCache.open("features.npy")
    >>> rows = cache.rows_of(row_keys(read_photo_table("photos.csv")))
    >>> cache.gather(rows).shape
    (160, 128)
    """

    def __init__(
        self,
        files: FeatureFiles,
        card: FeatureCard,
        features: np.ndarray,
        state: np.ndarray,
        key_hashes: np.ndarray,
    ) -> None:
        self.files, self.card = files, card
        self.features, self.state, self.key_hashes = features, state, key_hashes

    @classmethod
    def open(cls, path: str | Path) -> FeatureCache:
        """Open a cache for reading, finished or not.

        Parameters
        ----------
        path : str or Path
            ``NAME.npy``.

        Raises
        ------
        GeolocError
            If a file is missing, damaged, short, of another version, or does not fit the others.
        """
        files = FeatureFiles(Path(path))
        card = read_card(files)
        n = card.n_rows
        features = open_array(files.features, card.dtype, (n, card.dim), mapped=True)
        state = open_array(files.state, "uint8", (n,), mapped=False)
        key_hashes = open_array(files.keys, "<u8", (n,), mapped=False)
        if digest_of(key_hashes) != card.keys_digest:
            raise GeolocError(
                f"The row keys in {files.keys} are not those that {files.card.name} was written "
                "with; were files of two caches mixed?"
            )
        if state.max() > BROKEN:
            raise GeolocError(f"{files.state} is damaged: it holds unknown states.")
        return cls(files, card, features, state, key_hashes)

    def __len__(self) -> int:
        return self.card.n_rows

    @cached_property
    def _row_of_hash(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes in ascending order, and the first row of each."""
        hashes, rows = np.unique(self.key_hashes, return_index=True)
        return hashes, rows

    @property
    def path(self) -> Path:
        """The .npy file."""
        return self.files.features

    @property
    def dim(self) -> int:
        """Length of a feature."""
        return self.card.dim

    @property
    def n_pending(self) -> int:
        """Rows that are still to be computed."""
        return int(np.count_nonzero(self.state == PENDING))

    @property
    def broken_rows(self) -> np.ndarray:
        """Rows whose image could not be read, ascending: (m,) int64."""
        return np.flatnonzero(self.state == BROKEN)

    @cached_property
    def broken_reasons(self) -> dict[int, str]:
        """Reason of each broken row, ascending; of several in the file the last one counts."""
        reasons = {int(row): "cannot be read" for row in self.broken_rows}
        if not self.files.broken.is_file():
            return reasons
        with self.files.broken.open(newline="", encoding="utf-8", errors="replace") as file:
            for line in csv.reader(file):
                if len(line) == 2 and line[0].isdecimal() and int(line[0]) in reasons:
                    reasons[int(line[0])] = line[1]
        return reasons

    def rows_of(self, keys: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Rows of the cache that belong to the rows of any table.

        Parameters
        ----------
        keys : sequence (m,)
            Of :func:`row_keys`: all photos of the cache or some, in any order.

        Returns
        -------
        ndarray (m,) int64
            Of equal keys, the first one's row.

        Raises
        ------
        GeolocError
            If the cache lacks a photo.
        """
        wanted = hash_keys(keys)
        if np.array_equal(wanted, self.key_hashes):
            return np.arange(len(self))
        hashes, rows = self._row_of_hash
        place = np.searchsorted(hashes, wanted).clip(max=len(hashes) - 1)
        missing = hashes[place] != wanted
        if missing.any():
            first = int(missing.argmax())
            raise GeolocError(
                f"{np.count_nonzero(missing)} of {len(wanted)} photos are not in {self.path} "
                f"(first: {str(keys[first])!r}); run geoloc embed on this table."
            )
        return np.asarray(rows[place])

    def gather(self, rows: ArrayLike) -> np.ndarray:
        """Copy features of these rows of the cache: (m, D) of the cache's dtype.

        The file is read in its own order, whatever the order of the rows.
        """
        wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
        gathered = np.empty((len(wanted), self.dim), dtype=self.features.dtype)
        order = np.argsort(wanted, kind="stable")
        for begin in range(0, len(order), _BLOCK_ROWS):
            block = order[begin : begin + _BLOCK_ROWS]
            gathered[block] = self.features[wanted[block]]
        return gathered

    def require_encoder(self, fingerprint: str, *, title: str = "another encoder") -> None:
        """GeolocError unless the features come from the encoder of this fingerprint.

        Parameters
        ----------
        fingerprint : str
            Of its ``fingerprint()``: name, weights and preprocessing.
        title : str
            What the user calls that encoder.
        """
        if fingerprint != self.card.fingerprint:
            raise GeolocError(
                f"{self.path} holds features of {self.card.title}, not of {title}; features of "
                "two encoders don't mix. Name another file, or embed anew with --no-resume."
            )

    def require_card(
        self, card: FeatureCard, keys: Sequence[Any] | np.ndarray | None = None
    ) -> None:
        """GeolocError unless this cache is the one that is asked for.

        Parameters
        ----------
        card : FeatureCard
            What is asked for.
        keys : sequence (n,), optional
            Of all rows; by default ``card`` tells their digest itself.
        """
        self.require_encoder(card.fingerprint, title=card.title)
        if keys is not None:
            card = replace(card, n_rows=len(keys), keys_digest=digest_of(hash_keys(keys)))
        if self.card.keys_digest != card.keys_digest:
            raise GeolocError(
                f"{self.path} was made of other photos ({self.card.n_rows}, now {card.n_rows}), or of "
                "the same in another order; name another file, or embed anew with --no-resume."
            )
        for name in ("dim", "dtype", "preprocessing", "precision"):
            if getattr(self.card, name) != getattr(card, name):
                raise GeolocError(
                    f"{self.path} was begun with {name} {getattr(self.card, name)}, not "
                    f"{getattr(card, name)}; keep that, name another file, or embed "
                    "anew with --no-resume."
                )

    def require_finished(self, rows: ArrayLike | None = None) -> None:
        """GeolocError if one of these rows (by default any) is still to be computed."""
        state = self.state if rows is None else self.state[np.asarray(rows, dtype=np.int64)]
        n_pending = int(np.count_nonzero(state == PENDING))
        if n_pending:
            raise GeolocError(
                f"{n_pending} of {len(state)} photos in {self.path} have no features yet; run "
                "the same geoloc embed again to continue."
            )


def row_keys(table: PhotoTable) -> np.ndarray:
    """Keys that identify the photos of a table, in any order.

    Parameters
    ----------
    table : PhotoTable
        Photos.

    Returns
    -------
    ndarray (n,) object of str
        The column ``id`` where there is one, else ``path``, else latitude and longitude.

    Raises
    ------
    GeolocError
        If two photos have one id.

    Examples
    --------
    >>> row_keys(PhotoTable.from_arrays([[59.33, 18.07]], ["SE"], paths=["a.jpg"])).tolist()
    ['a.jpg']
    """
    frame = table.frame
    if "id" in frame.columns:
        ids = frame["id"].astype(str)
        refuse_repeated(ids, "the table", len(ids))
        return ids.to_numpy(dtype=object)
    if "path" in frame.columns:
        return frame["path"].astype(str).to_numpy(dtype=object)
    return np.array([f"{lat!r},{lon!r}" for lat, lon in table.coords.tolist()], dtype=object)


def hash_keys(keys: Sequence[Any] | np.ndarray) -> np.ndarray:
    """64-bit hashes of row keys (n,) uint64; a number counts as its decimal digits."""
    as_text = pd.Series(keys, dtype=object)
    if as_text.isna().any():
        row = int(as_text.isna().to_numpy().argmax())
        raise GeolocError(f"Every photo needs a key, an id or a path; row {row} has none.")
    return hash_texts(as_text.astype(str).to_numpy(dtype=object), stream_start("features/key", 0))


def read_card(files: FeatureFiles) -> FeatureCard:
    """Read a cache's card."""
    if not files.card.is_file():
        raise GeolocError(
            f"There is no feature cache {files.features}"
            + (f": {files.card.name} is missing" if files.features.exists() else "")
            + ". Make it with geoloc embed."
        )
    remedy = "Embed the photos again, or use the release that wrote it."
    return read_record(files.card, FORMAT, VERSION, FeatureCard.from_dict, remedy=remedy)


def open_array(path: Path, dtype: str, shape: tuple[int, ...], *, mapped: bool) -> np.ndarray:
    """Open a .npy file that must be whole and of this dtype and shape."""
    if not path.is_file():
        raise GeolocError(f"The feature cache is incomplete: {path} is missing.")
    with reading(path, "embed the photos again"):
        array: np.ndarray = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    if array.dtype != np.dtype(dtype) or array.shape != shape:
        raise GeolocError(
            f"{path} holds {array.dtype} {array.shape}, but its card says {np.dtype(dtype)} "
            f"{shape}; were files of two caches mixed?"
        )
    return array


def digest_of(key_hashes: np.ndarray) -> str:
    """Digest of row keys in their order: 16 hexadecimal digits."""
    content = np.ascontiguousarray(key_hashes, dtype="<u8")
    return hashlib.blake2b(content.tobytes(), digest_size=8).hexdigest()
