"""Contrastive retrieval: images and places in one space; the answer is the most similar place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from geoloc_models._errors import GeolocError
from geoloc_models.evaluation import Predictions
from geoloc_models.models.encoders import ImageEncoder, LocationEncoder
from geoloc_models.models.gallery import Gallery, embed_places
from geoloc_models.models.heads import MLPHead
from geoloc_models.models.losses import LocationQueue, false_negatives, nt_xent, vanilla_loss
from geoloc_models.models.tasks._kept import read_kept, write_kept
from geoloc_models.models.tasks.base import Batch, Optimisation, Outputs, PlaceTask, Scored

FALSE_LOCATIONS = ("train", "queue")
_SMALLEST_TEMPERATURE = 0.01
_VALIDATION_SEED = 20_240_101  # of the false locations that every validation batch meets


@dataclass(frozen=True)
class Contrast:
    """What each image is contrasted with.

    Parameters
    ----------
    n_false : int, default 1024
        False locations a batch: the paper's M. 0 trains without contrast ("vanilla"): each image
        is drawn to its own location, and nothing keeps locations apart but that the location
        encoder stays as it started.
    source : {"train", "queue"}, default "train"
        Where they come from: drawn anew from the training images for every batch, or those of the
        batches before (the queue starts with training images).
    mask_km : float, default 0.0
        Locations nearer than this to the image's own are not called false.
    temperature : float, default 0.07
        Where the learned temperature starts.
    """

    n_false: int = 1024
    source: str = "train"
    mask_km: float = 0.0
    temperature: float = 0.07

    def __post_init__(self) -> None:
        if self.n_false < 0:
            raise GeolocError(f"n_false must be at least 0; got {self.n_false}.")
        if self.source not in FALSE_LOCATIONS:
            raise GeolocError(
                f"False locations come from {' or '.join(FALSE_LOCATIONS)}, not {self.source!r}."
            )
        if not 0 <= self.mask_km <= 20_000:
            raise GeolocError(f"mask_km must lie between 0 and 20000; got {self.mask_km}.")
        if not _SMALLEST_TEMPERATURE <= self.temperature <= 10:
            raise GeolocError(
                f"The temperature must lie between {_SMALLEST_TEMPERATURE} and 10; got "
                f"{self.temperature}."
            )


class RetrievalTask(PlaceTask):
    """Image encoder and location encoder, trained to agree on an image's own location.

    Parameters
    ----------
    encoder : ImageEncoder
        Gives (B, D) embeddings.
    location_encoder : LocationEncoder
        Gives (B, E) embeddings of coordinates.
    coords : array-like
        (n, 2) latitude and longitude of the training images: the source of false locations, and
        the gallery that answers come from.
    countries : sequence of str
        (n,) their countries.
    optimisation : Optimisation, optional
        How to train.
    contrast : Contrast, optional
        What each image is contrasted with.
    hidden : int, default 512
        Width of the hidden layers between the image's embedding and the common space.
    dropout : float, default 0.0
        Share of hidden numbers set to zero in training.

    Notes
    -----
    Loss: NT-Xent, :func:`geoloc_models.models.losses.nt_xent`. Several augmented views of an image, where
    a batch has them, are positives of the same location. Draws follow torch's generator, which a
    run seeds anew for every epoch.

    References
    ----------
    .. [1] Vivanco Cepeda, Nayak, Shah (2023), GeoCLIP.
    .. [2] Sweden or Switzerland: GeoLocation on Noisy Datasets, section on retrieval.
    """

    name = "retrieval"
    coords: Tensor

    def __init__(
        self,
        encoder: ImageEncoder,
        location_encoder: LocationEncoder,
        coords: npt.ArrayLike,
        countries: Sequence[str] | npt.NDArray[np.object_],
        optimisation: Optimisation | None = None,
        *,
        contrast: Contrast | None = None,
        hidden: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(encoder, optimisation)
        points = np.array(coords, dtype=np.float64).reshape(-1, 2)
        if len(points) == 0 or len(points) != len(countries):
            raise GeolocError(
                "Retrieval needs the coordinates and countries of its training images; got "
                f"{len(points)} and {len(countries)}."
            )
        self.contrast = contrast or Contrast()
        self.hidden, self.dropout = hidden, dropout
        self.location_encoder = location_encoder
        if self.contrast.n_false == 0:
            location_encoder.requires_grad_(False)
        self.head = MLPHead(encoder.dim, location_encoder.dim, hidden=hidden, dropout=dropout)
        self.log_temperature = nn.Parameter(torch.tensor(self.contrast.temperature).log())
        self.log_temperature.requires_grad_(self.contrast.n_false > 0)
        # Coordinates stay out of the weights: the bundle keeps them as a table.
        self._points = points
        self._countries = np.asarray(countries, dtype=object)
        self.queue = (
            LocationQueue(self.contrast.n_false, torch.from_numpy(points))
            if self.contrast.source == "queue" and self.contrast.n_false
            else None
        )
        self._gallery: Gallery | None = None

    @property
    def temperature(self) -> Tensor:
        """The learned temperature, kept from falling to nothing."""
        return self.log_temperature.exp().clamp(min=_SMALLEST_TEMPERATURE)

    def forward(self, image: Tensor) -> Tensor:
        """Embed images in the common space.

        Parameters
        ----------
        image : Tensor
            (B, 3, H, W) float, normalised, or (B, D) cached features; or (B, V, 3, H, W), V
            augmented views of each image.

        Returns
        -------
        Tensor
            (B, E), or (B, V, E).
        """
        if image.ndim == 5:
            n_images, n_views = image.shape[:2]
            views: Tensor = self.head(self.encoder(image.flatten(0, 1)))
            return views.reshape(n_images, n_views, -1)
        embedding: Tensor = self.head(self.encoder(image))
        return embedding

    def score(self, batch: Batch) -> Scored | None:
        """Loss, share of images that prefer their own location, and number of rows of a batch."""
        image, coords = self(batch["image"]), batch["coords"]
        if self.contrast.n_false == 0:
            location = self.location_encoder(coords)
            loss = vanilla_loss(image, location)
            false, mask = self._false_locations(coords, 256)
        else:
            false, mask = self._false_locations(coords, self.contrast.n_false)
        both = self.location_encoder(torch.cat([coords, false]))
        location, false_location = both[: len(coords)], both[len(coords) :]
        if self.contrast.n_false > 0:
            loss = nt_xent(image, location, false_location, temperature=self.temperature, mask=mask)
        if self.training and self.queue is not None:
            self.queue.push(coords)
        return Scored(loss, _share_right(image, location, false_location, mask), len(coords))

    def _false_locations(self, coords: Tensor, n_false: int) -> tuple[Tensor, Tensor]:
        if self.queue is not None and self.training:
            false = self.queue.coords.clone()
        else:
            generator = None if self.training else torch.Generator().manual_seed(_VALIDATION_SEED)
            rows = torch.randint(len(self._points), (n_false,), generator=generator)
            false = torch.from_numpy(self._points)[rows]
        false = false.to(coords.device)
        # The very same place is never false, whatever the radius.
        radius_km = max(self.contrast.mask_km, 1e-6)
        return false, false_negatives(coords, false, radius_km=radius_km)

    def outputs(self, image: Tensor) -> dict[str, Tensor]:
        """``embedding`` (B, E), of length 1."""
        return {"embedding": functional.normalize(self(image).float(), dim=1)}

    def on_fit_start(self) -> None:
        """Forget the gallery of earlier weights."""
        self._gallery = None

    @property
    def gallery(self) -> Gallery:
        """The training images' places in the common space; embedded at first use, then kept."""
        if self._gallery is None:
            self._gallery = Gallery.of(embed_places(self.location_encoder, self._points))
        return self._gallery

    @property
    def gallery_coords(self) -> npt.NDArray[np.float64]:
        """(n, 2) latitude and longitude in degrees of the gallery's places."""
        return self._points

    @property
    def gallery_countries(self) -> npt.NDArray[np.object_]:
        """(n,) countries of the gallery's places."""
        return self._countries

    def with_gallery(
        self, coords: npt.ArrayLike, countries: Sequence[str] | npt.NDArray[np.object_]
    ) -> Self:
        """Answer from another table of places from now on: (n, 2) degrees and (n,) countries."""
        points = np.array(coords, dtype=np.float64).reshape(-1, 2)
        if len(points) == 0 or len(points) != len(countries):
            raise GeolocError(
                f"A gallery needs a country for each place; got {len(points)} places and "
                f"{len(countries)} countries."
            )
        self._points, self._countries = points, np.asarray(countries, dtype=object)
        self._gallery = None
        return self

    def answer(self, outputs: Outputs, rows: npt.NDArray[np.int64]) -> Predictions:
        """Answer with the most similar place of the gallery, and its country."""
        found, _ = self.gallery.search(outputs["embedding"], 1)
        best = np.asarray(found)[:, 0]
        return Predictions(self._points[best], self._countries[best], None, rows)

    def card(self) -> dict[str, Any]:
        """Shapes, and the contrast it was trained with."""
        return {
            "hidden": self.hidden,
            "dropout": self.dropout,
            "contrast": asdict(self.contrast),
            "location_encoder": self.location_encoder.config(),
        }

    def write_files(self, folder: Path) -> None:
        """Write the gallery: embeddings, places and countries."""
        write_kept(folder / "gallery", self.gallery.vectors, self._points, self._countries)

    @classmethod
    def from_card(cls, card: Mapping[str, Any], folder: Path, encoder: ImageEncoder) -> Self:
        """Build the task with its gallery, the weights yet to be loaded."""
        vectors, coords, countries = read_kept(folder / "gallery")
        config = dict(card["location_encoder"])
        task = cls(
            encoder,
            LocationEncoder(config.pop("kind"), **config),
            coords,
            countries,
            contrast=Contrast(**card["contrast"]),
            hidden=card["hidden"],
            dropout=card["dropout"],
        )
        if vectors.shape[1] != task.location_encoder.dim:
            raise GeolocError(
                f"The gallery in {folder} has vectors of {vectors.shape[1]} numbers, the model of "
                f"{task.location_encoder.dim}; were files of two bundles mixed?"
            )
        task._gallery = Gallery.of(vectors)
        return task


def _share_right(image: Tensor, location: Tensor, false: Tensor, mask: Tensor) -> Tensor:
    """Share of images whose own location is more similar than every false one."""
    with torch.no_grad():
        first = image[:, 0] if image.ndim == 3 else image
        first = functional.normalize(first.float(), dim=1)
        own = (first * functional.normalize(location.float(), dim=1)).sum(dim=1)
        others = first @ functional.normalize(false.float(), dim=1).T
        return (own > others.masked_fill(mask, -2.0).amax(dim=1)).float().mean()
