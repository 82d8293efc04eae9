"""Photos to train and test on: where they come from, their split, their batches."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_models.errors import GeolocError
from geoloc_models.features.batches import FeatureDataset
from geoloc_models.features.cache import FeatureCache, row_keys
from geoloc_models.inference.network import NetworkOutputs, run_network
from geoloc_models.models.encoders import CachedFeatures, ImageEncoder
from geoloc_models.models.options import TrainingOptions
from geoloc_models.models.tasks import PlaceTask
from geoloc_models.photos.dataset import PhotoDataset, make_loader
from geoloc_models.photos.images import ImageSource
from geoloc_models.tables.parts import split_of_table
from geoloc_models.tables.photo_table import PhotoTable
from geoloc_models.tables.split import Split, split_rows
from geoloc_models.training.make_task import Labels


@dataclass(frozen=True)
class PhotoSource:
    """Photos to learn from.

    Parameters
    ----------
    table : PhotoTable
        Coordinates and countries.
    images : ImageSource
        The image of each row of the table.
    origin : dict
        Plain values that say where both came from, kept in the run folder.
    features : FeatureCache, optional
        Features of a frozen encoder: models then train on these, and bottom-up cells rank by them.
    root : str, optional
        Folder of the image files; not part of the digest, so that photos may move.

    Examples
    --------
    >>> from geoloc_models.photos import FileImages
    >>> from geoloc_models.tables import read_photo_table
    >>> from geoloc_models.training import PhotoSource
    >>> table = read_photo_table("photos.csv")
    >>> PhotoSource(table, FileImages(table.frame["path"].to_numpy()), {"kind": "mine"}).table.n_rows
    160
    """

    table: PhotoTable
    images: ImageSource
    origin: dict[str, Any]
    features: FeatureCache | None = None
    root: str | None = None

    def digest(self) -> str:
        """Of coordinates, countries, ids, names of image files, and features: 16 hexadecimal digits.

        What the image files hold is not looked at.
        """
        content = hashlib.blake2b(self.table.coords.tobytes(), digest_size=8)
        for name in ("country", "id", "path"):
            if name in self.table.frame.columns:
                texts = self.table.frame[name].astype(str)
                if name == "path" and self.root is not None:
                    texts = texts.str.removeprefix(self.root)
                content.update(json.dumps([name, *texts]).encode())
        if self.features is not None:
            with self.features.path.open("rb") as file:
                content.update(hashlib.file_digest(file, "blake2b").digest())
        return content.hexdigest()


def split_source(
    source: PhotoSource,
    *,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> Split:
    """Split a source by its column ``part``, or at random.

    Parameters
    ----------
    source : PhotoSource
        Photos. Without the column ``part`` its groups are trained on whole or not at all, and
        countries keep their proportions. The photos of the other groups are dealt out to
        validation and test one by one, so that a radius calibrated on the one holds on the other
        (:func:`~geoloc_models.tables.split.split_rows`).
    fractions : (float, float, float)
        Shares of training, validation and test; not asked where there are parts.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    Split
        Sorted rows of each part.

    Raises
    ------
    GeolocError
        If a part would be empty or the column holds anything but parts.

    Examples
    --------
    >>> from geoloc_models.training import split_source, table_source
    >>> split = split_source(table_source("photos.csv"), fractions=(0.8, 0.1, 0.1))
    >>> len(split.train), len(split.validation), len(split.test)
    (128, 16, 16)
    """
    table = source.table
    if "part" in table.frame.columns:
        return split_of_table(table)
    return split_rows(
        table.n_rows,
        groups=table.groups,
        strata=table.countries,
        fractions=fractions,
        seed=seed,
    )


class ModelPhotos:
    """The photos of a source as a task takes them: pixels, or features of a frozen encoder.

    Parameters
    ----------
    source : PhotoSource
        With a feature cache, its features are taken.
    encoder : ImageEncoder
        The true one.
    options : TrainingOptions
        Sizes and augmentation.
    labels : Labels, optional
        Of every row; only training needs them.

    Raises
    ------
    GeolocError
        If the features are another encoder's, or cannot be augmented as the options ask.
    """

    def __init__(
        self,
        source: PhotoSource,
        encoder: ImageEncoder,
        options: TrainingOptions,
        labels: Labels | None = None,
    ) -> None:
        self.source, self.encoder, self.options = source, encoder, options
        self.labels = labels or Labels(np.full(source.table.n_rows, -1, dtype=np.int64))
        if source.features is None:
            return
        source.features.require_encoder(
            encoder.fingerprint(),
            title=f"{encoder.name} with {encoder.weights or 'random'} weights",
        )
        if options.augment != "none" or options.views > 1:
            raise GeolocError(
                "Cached features cannot be augmented; leave out augment and views, or train without "
                "--features."
            )

    @property
    def task_encoder(self) -> ImageEncoder:
        """The encoder that training sees."""
        cache = self.source.features
        if cache is None:
            return self.encoder
        return CachedFeatures(
            cache.dim, self.encoder.name, preprocessing=self.encoder.preprocessing
        )

    def dataset(
        self, rows: npt.NDArray[np.int64], *, is_training: bool = False
    ) -> PhotoDataset | FeatureDataset:
        """Photos of these rows, varied at random where they are to train on."""
        table, cache = self.source.table, self.source.features
        if cache is not None:
            return FeatureDataset(
                cache,
                row_keys(table),
                table.coords,
                self.labels.country,
                cell_labels=self.labels.cell,
                rows=rows,
            )
        return PhotoDataset(
            self.source.images,
            table.coords,
            self.labels.country,
            self.encoder.preprocessing.transform(
                augment=self.options.augment if is_training else "none",
                views=self.options.views if is_training else 1,
            ),
            cell_labels=self.labels.cell,
            rows=rows,
        )

    def batches(self, rows: npt.NDArray[np.int64]) -> Any:
        """Batches of these rows, in order."""
        dataset = self.dataset(rows)
        if isinstance(dataset, FeatureDataset):
            return dataset.batches(batch_size=self.options.images_a_step)
        return make_loader(
            dataset,
            batch_size=self.options.images_a_step,
            workers=self.options.workers,
        )

    def outputs(
        self, task: PlaceTask, rows: npt.NDArray[np.int64], *, description: str, progress: bool
    ) -> NetworkOutputs:
        """What a task with the true encoder makes of these rows; ``description`` labels the bar."""
        task.encoder = self.task_encoder
        try:
            batches = self.batches(rows)
            return run_network(task, batches, description=description, progress=progress)
        finally:
            task.encoder = self.encoder
