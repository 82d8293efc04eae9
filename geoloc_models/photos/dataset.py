"""Images and labels as PyTorch wants them: dataset, batches, loader."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.utils.data import DataLoader, Dataset

from geocells.output import without_formula
from geoloc_models.best_device import auto_workers
from geoloc_models.errors import BrokenImageError, GeolocError
from geoloc_models.files import replacing
from geoloc_models.photos.images import ImageSource

Sample = dict[str, Any]
Batch = dict[str, Any]


class PhotoLabels:
    """Coordinates, country and cell of all rows, and the rows that belong to a dataset.

    Parameters
    ----------
    n : int
        Rows there are.
    coords, country_index, cell_labels, rows
        As in :class:`PhotoDataset`.

    Raises
    ------
    GeolocError
        If lengths differ or a row does not exist.
    """

    def __init__(
        self,
        n: int,
        coords: ArrayLike,
        country_index: ArrayLike,
        *,
        cell_labels: ArrayLike | None = None,
        rows: ArrayLike | None = None,
    ) -> None:
        self.coords = np.asarray(coords, dtype=np.float64).reshape(-1, 2)
        self.country_index = np.asarray(country_index, dtype=np.int64)
        cells = np.full(n, -1) if cell_labels is None else cell_labels
        self.cell_labels = np.asarray(cells, dtype=np.int64)
        for name, values in (
            ("coordinates", self.coords),
            ("country classes", self.country_index),
            ("cell labels", self.cell_labels),
        ):
            if len(values) != n:
                raise GeolocError(
                    f"Every image needs one entry of each kind; got {n} images but {len(values)} "
                    f"{name}. Pass those of all rows, and choose rows with rows=."
                )
        self.rows = np.arange(n) if rows is None else np.asarray(rows).reshape(-1).astype(np.int64)
        bad = (self.rows < 0) | (self.rows >= n)
        if bad.any():
            raise GeolocError(
                f"Rows must lie between 0 and {n - 1}; {bad.sum()} do not "
                f"(first: {self.rows[int(bad.argmax())]})."
            )


class PhotoDataset(Dataset[Sample]):
    """Images with coordinates, country and cell.

    Parameters
    ----------
    images : ImageSource
        The images of all rows.
    coords : array-like (n, 2)
        Latitude, longitude in degrees of all rows.
    country_index : array-like (n,) int
        Class of each row's country.
    transform : callable
        Makes a tensor (3, H, W) of an RGB image: uint8 pixels, or float32 that are normalised.
    cell_labels : array-like (n,) int, optional
        Cell of each row; -1 stands for none.
    rows : array-like (m,) int, optional
        Rows that belong to the dataset, in this order (say, the training rows); by default all.

    Raises
    ------
    GeolocError
        If lengths differ or a row does not exist.

    Notes
    -----
    Item i is a dict: ``image`` (3, H, W); ``coords`` float64 (2,); ``country``, ``cell``
    and ``row`` int64 scalars, ``row`` being the row in ``images``. A broken image gives
    ``{"row": int, "broken": message}`` instead; :func:`collate_photos` knows both.

    Examples
    --------
    >>> from geoloc_models.photos import FileImages, PhotoDataset, make_framing
    >>> images = FileImages(["photos/0.jpg", "photos/1.jpg"])
    >>> dataset = PhotoDataset(images, [[59.3, 18.0], [47.0, 8.0]], [0, 1], make_framing(32))
    >>> tuple(dataset[0]["image"].shape)
    (3, 32, 32)
    """

    def __init__(
        self,
        images: ImageSource,
        coords: ArrayLike,
        country_index: ArrayLike,
        transform: Callable[[Any], torch.Tensor],
        *,
        cell_labels: ArrayLike | None = None,
        rows: ArrayLike | None = None,
    ):
        self.images = images
        self.transform = transform
        self.labels = PhotoLabels(
            len(images), coords, country_index, cell_labels=cell_labels, rows=rows
        )
        self.rows = self.labels.rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Sample:
        row = int(self.rows[i])
        try:
            image = self.images.load(row)
        except BrokenImageError as error:
            return {"row": row, "broken": str(error)}
        return {
            "image": self.transform(image),
            "coords": torch.from_numpy(self.labels.coords[row].copy()),
            "country": torch.tensor(self.labels.country_index[row], dtype=torch.int64),
            "cell": torch.tensor(self.labels.cell_labels[row], dtype=torch.int64),
            "row": torch.tensor(row, dtype=torch.int64),
        }


def collate_photos(samples: Sequence[Sample]) -> Batch:
    """Stack samples into a batch, leaving broken images out and listing them.

    Parameters
    ----------
    samples : sequence of dict
        Items of a PhotoDataset.

    Returns
    -------
    dict
        With B the number of whole images: ``image`` (B, 3, H, W), ``coords`` float64
        (B, 2), ``country``, ``cell`` and ``row`` int64 (B,); ``broken``, a list of (row, message).
        If every image is broken, ``image`` has the shape (0, 3, 0, 0): skip a batch whose
        ``image.shape[0]`` is 0.

    Examples
    --------
    >>> from geoloc_models.photos import FileImages, PhotoDataset, collate_photos, make_framing
    >>> images = FileImages(["photos/0.jpg", "photos/none.jpg"])
    >>> dataset = PhotoDataset(images, [[59.3, 18.0], [47.0, 8.0]], [0, 1], make_framing(32))
    >>> batch = collate_photos([dataset[0], dataset[1]])
    >>> batch["row"].tolist(), [row for row, _ in batch["broken"]]
    ([0], [1])
    """
    whole = [sample for sample in samples if "broken" not in sample]
    broken = [(int(sample["row"]), sample["broken"]) for sample in samples if "broken" in sample]
    if whole:
        batch: Batch = {
            key: torch.stack([sample[key] for sample in whole])
            for key in ("image", "coords", "country", "cell", "row")
        }
    else:
        batch = {
            "image": torch.zeros(0, 3, 0, 0),
            "coords": torch.zeros(0, 2, dtype=torch.float64),
            **{key: torch.zeros(0, dtype=torch.int64) for key in ("country", "cell", "row")},
        }
    batch["broken"] = broken
    return batch


class BrokenImages:
    """List of the broken images met so far, each row once, with its first message.

    Examples
    --------
    >>> broken = BrokenImages()
    >>> broken.extend([(7, "b.jpg: is not an image"), (7, "b.jpg: is not an image")])
    >>> len(broken), broken.rows
    (1, [7])
    """

    def __init__(self) -> None:
        self._message_of_row: dict[int, str] = {}

    def extend(self, broken: Iterable[tuple[int, str]]) -> None:
        """Note all of a batch's ``broken`` list."""
        for row, message in broken:
            self._message_of_row.setdefault(int(row), str(message))

    def __len__(self) -> int:
        return len(self._message_of_row)

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return iter(sorted(self._message_of_row.items()))

    @property
    def rows(self) -> list[int]:
        """Rows of the broken images, ascending."""
        return sorted(self._message_of_row)

    @property
    def messages(self) -> list[str]:
        """Name and reason of each, in the order of ``rows``."""
        return [message for _, message in self]

    def write_csv(self, path: str | Path) -> None:
        """Write ``row`` (counted from 0) and ``reason``, beside the target and then renamed."""
        with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["row", "reason"])
            writer.writerows((row, without_formula(message)) for row, message in self)


def make_loader(
    dataset: Dataset[Sample],
    *,
    batch_size: int = 1,
    batches: Iterable[list[Any]] | None = None,
    workers: int | None = None,
) -> DataLoader[Any]:
    """Loader of batches from :func:`collate_photos`, in the order of the dataset.

    Parameters
    ----------
    dataset : PhotoDataset
        Images and labels.
    batch_size : int
        Images per batch; the last one may be shorter.
    batches : iterable of list, optional
        What to ask the dataset for, batch by batch, instead of batches of ``batch_size``.
    workers : int, optional
        Processes that load images, and live as long as the loader; 0 loads in this one. By default
        as many as a graphics card asks for, and 64 images can be shared out to.
    """
    if batch_size < 1:
        raise GeolocError(f"The batch size must be at least 1; got {batch_size}.")
    if workers is None:
        workers = min(auto_workers(), len(dataset) // 64)  # type: ignore[arg-type]
    if workers < 0:
        raise GeolocError(f"The number of workers must be at least 0; got {workers}.")
    workers = min(workers, len(dataset))  # type: ignore[arg-type]
    return DataLoader(
        dataset,
        batch_size=batch_size,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate_photos,
        generator=torch.Generator(),  # or each epoch would draw a number of torch's own
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )
