"""The files of a feature cache: their names, their card, and whether they are whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_models._errors import GeolocError
from geoloc_models._files import read_json

FORMAT = "geoloc-features"
VERSION = 1
DTYPES = ("float32", "float16")

PENDING, DONE, BROKEN = 0, 1, 2


@dataclass(frozen=True)
class FeatureFiles:
    """Where the files of a cache lie.

    Parameters
    ----------
    features : Path
        ``NAME.npy``; the others lie beside it.
    """

    features: Path

    def __post_init__(self) -> None:
        if self.features.suffix != ".npy":
            raise GeolocError(
                f"A feature cache is a .npy file; {self.features.name} ends otherwise. Name it "
                f"{self.features.name}.npy, say."
            )

    def _beside(self, ending: str) -> Path:
        return self.features.with_name(self.features.stem + ending)

    @property
    def card(self) -> Path:
        """What the features are: NAME.json."""
        return self._beside(".json")

    @property
    def keys(self) -> Path:
        """Hash of every row's key: NAME.keys.npy."""
        return self._beside(".keys.npy")

    @property
    def state(self) -> Path:
        """State of every row: NAME.state.npy."""
        return self._beside(".state.npy")

    @property
    def broken(self) -> Path:
        """Rows without an image, with the reasons: NAME.broken.csv."""
        return self._beside(".broken.csv")

    @property
    def lock(self) -> Path:
        """Held by the process that writes."""
        return self.features.with_name(f".{self.features.stem}.lock")

    @property
    def shared_work(self) -> Path:
        """Folder of the workers that compute the cache together; gone once it is finished."""
        return self.features.with_name(f".{self.features.stem}.shared")


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

    def to_dict(self) -> dict[str, Any]:
        """All values, with the format and its version."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], source: Path) -> FeatureCard:
        """Make a card again from :meth:`to_dict`; ``source`` is its file, for messages."""
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise GeolocError(f"{source} does not describe a feature cache of geoloc embed.")
        if content.get("version") != VERSION:
            raise GeolocError(
                f"{source} describes a feature cache of version {content.get('version')}; this "
                f"release reads version {VERSION}. Embed the photos again, or use the release that "
                "wrote it."
            )
        try:
            return cls(
                encoder=str(content["encoder"]),
                fingerprint=str(content["fingerprint"]),
                preprocessing=dict(content["preprocessing"]),
                dim=int(content["dim"]),
                dtype=str(content["dtype"]),
                n_rows=int(content["n_rows"]),
                keys_digest=str(content["keys_digest"]),
                precision=str(content["precision"]),
                weights=None if content.get("weights") is None else str(content["weights"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise GeolocError(f"{source} lacks or garbles {error}.") from error


def read_card(files: FeatureFiles) -> FeatureCard:
    """Read a cache's card."""
    if not files.card.is_file():
        raise GeolocError(
            f"There is no feature cache {files.features}"
            + (f": {files.card.name} is missing" if files.features.exists() else "")
            + ". Make it with geoloc embed."
        )
    return FeatureCard.from_dict(read_json(files.card), files.card)


def open_array(path: Path, dtype: str, shape: tuple[int, ...], *, mapped: bool) -> np.ndarray:
    """Open a .npy file that must be whole and of this dtype and shape."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except FileNotFoundError:
        raise GeolocError(f"The feature cache is not whole: {path} is missing.") from None
    except (OSError, ValueError, EOFError) as error:
        raise GeolocError(
            f"{path} is damaged or cut short ({' '.join(str(error).split())}); bring back a whole "
            "copy, or embed the photos again."
        ) from error
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
