"""Contrastive retrieval: images and places in one space; the answer is the most similar place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from geoloc_models.errors import GeolocError
from geoloc_models.evaluation import Predictions
from geoloc_models.models.encoders import ImageEncoder, LocationEncoder
from geoloc_models.models.float64 import Float64Table
from geoloc_models.models.gallery import Gallery, embed_places
from geoloc_models.models.heads import MLPHead
from geoloc_models.models.losses import LocationQueue, false_weights, nt_xent, vanilla_loss
from geoloc_models.models.tasks.base import Batch, Outputs, PlaceTask, Scored, head_of
from geoloc_models.models.tasks.classes import ClassLocations
from geoloc_models.models.tasks.stored import read_stored, write_stored

_FIRST_TEMPERATURE = 0.07
_SMALLEST_TEMPERATURE = 0.01
_VALIDATION_SEED = 20_240_101  # of the false locations that every validation batch meets


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
    n_false : int
        False locations a batch: the paper's M. 0 trains without contrast ("vanilla"): each image
        is drawn to its own location, and nothing keeps locations apart but that the location
        encoder stays as it started.
    false_from : {"train", "queue"}, default "train"
        Where they come from: drawn anew from the training images for every batch, or those of the
        batches before (the queue starts with training images).
    mask_km : float, default 0.0
        Locations nearer than this to the image's own are not called false.
    **head_shape
        ``hidden`` and ``dropout``, as for :class:`PlaceTask`.

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
    classes: ClassLocations

    def __init__(
        self,
        encoder: ImageEncoder,
        location_encoder: LocationEncoder,
        coords: npt.ArrayLike,
        countries: Sequence[str] | npt.NDArray[np.object_],
        *,
        n_false: int,
        false_from: Literal["train", "queue"] = "train",
        mask_km: float = 0.0,
        **head_shape: Any,
    ) -> None:
        super().__init__(encoder, **head_shape)
        points = np.array(coords, dtype=np.float64).reshape(-1, 2)
        if len(points) == 0 or len(points) != len(countries):
            raise GeolocError(
                "Retrieval needs the coordinates and countries of its training images; got "
                f"{len(points)} and {len(countries)}."
            )
        self.n_false, self.false_from, self.mask_km = n_false, false_from, mask_km
        self.location_encoder = location_encoder
        if n_false == 0:
            location_encoder.requires_grad_(False)
        self.head = MLPHead(encoder.dim, location_encoder.dim, **head_shape)
        self.log_temperature = nn.Parameter(torch.tensor(_FIRST_TEMPERATURE).log())
        self.log_temperature.requires_grad_(n_false > 0)
        # Coordinates stay out of the weights: the bundle keeps them as a table.
        self.classes = ClassLocations("gallery", points, np.asarray(countries, dtype=object))
        self._places = Float64Table(points)  # that false locations are drawn from
        self.queue = (
            LocationQueue(n_false, torch.from_numpy(points))
            if false_from == "queue" and n_false
            else None
        )
        self._gallery: Gallery | None = None

    @property
    def temperature(self) -> Tensor:
        """The learned temperature, never below 0.01."""
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

    def score(self, batch: Batch) -> Scored:
        """Loss, share of images that prefer their own location, and number of rows of a batch."""
        image, coords = self(batch["image"]), batch["coords"]
        if self.n_false == 0:
            location = self.location_encoder(coords)
            loss = vanilla_loss(image, location)
            false = self._false_locations(coords.device, 256)
        else:
            false = self._false_locations(coords.device, self.n_false)
        weights = self.weigh(coords, false)
        both = self.location_encoder(torch.cat([coords, false]))
        location, false_location = both[: len(coords)], both[len(coords) :]
        if self.n_false > 0:
            loss = nt_xent(
                image, location, false_location, temperature=self.temperature, weights=weights
            )
        if self.training and self.queue is not None:
            self.queue.push(coords)
        right = _share_right(image, location, false_location, weights)
        return Scored(loss, right, torch.full((), len(coords), device=coords.device))

    def weigh(self, coords: Tensor, false: Tensor) -> Tensor:
        """Say what each false location counts: (B, 2) and (M, 2) degrees to (B, M) float32."""
        # The very same place is never false, whatever the radius.
        return false_weights(coords, false, mask_km=max(self.mask_km, 1e-6))

    def _false_locations(self, device: torch.device, n_false: int) -> Tensor:
        if self.queue is not None and self.training:
            return self.queue.coords.clone().to(device)
        places, generator = self._places.values, None
        if not self.training:
            generator = torch.Generator(places.device).manual_seed(_VALIDATION_SEED)
        rows = torch.randint(len(places), (n_false,), generator=generator, device=places.device)
        return places[rows].to(device)

    def outputs(self, features: Tensor) -> dict[str, Tensor]:
        """``embedding`` (B, E), of length 1."""
        return {"embedding": functional.normalize(self.head(features).float(), dim=1)}

    def train(self, mode: bool = True) -> Self:
        """Set training mode, in which the gallery of earlier weights is forgotten."""
        if mode:
            self._gallery = None
        return super().train(mode)

    @property
    def gallery(self) -> Gallery:
        """The training images' places in the common space; embedded at first use, until the task is trained on."""
        if self._gallery is None:
            self._gallery = Gallery(embed_places(self.location_encoder, self.classes.coords))
        return self._gallery

    def answer(self, outputs: Outputs, rows: npt.NDArray[np.int64]) -> Predictions:
        """Answer with the most similar place of the gallery, and its country."""
        rows_of_gallery, _ = self.gallery.search(outputs["embedding"], 1)
        best = rows_of_gallery[:, 0]
        return Predictions(self.classes.coords[best], self.classes.countries[best], None, rows)

    def predict_proba(self, outputs: Outputs) -> npt.NDArray[np.float32]:
        """Softmax of the similarities to the gallery, (n, m), at the temperature that was learned."""
        temperature = float(self.temperature.detach())
        return self.gallery.probabilities(outputs["embedding"], temperature=temperature)

    def card(self) -> dict[str, Any]:
        """Shapes, and the contrast it was trained with."""
        return {
            **self.head_shape,
            "contrast": {
                "n_false": self.n_false,
                "source": self.false_from,
                "mask_km": self.mask_km,
            },
            "location_encoder": self.location_encoder.config(),
        }

    def write_files(self, folder: Path) -> None:
        """Write the gallery: embeddings, places and countries."""
        places = self.classes
        write_stored(folder / "gallery", self.gallery.vectors, places.coords, places.countries)

    @classmethod
    def from_card(cls, card: Mapping[str, Any], folder: Path, encoder: ImageEncoder) -> Self:
        """Build the task with its gallery, the weights yet to be loaded."""
        contrast = card["contrast"]
        location_encoder = LocationEncoder(**card["location_encoder"])
        vectors, coords, countries = read_stored(folder / "gallery", location_encoder.dim)
        task = cls(
            encoder,
            location_encoder,
            coords,
            countries,
            n_false=contrast["n_false"],
            false_from=contrast["source"],
            mask_km=contrast["mask_km"],
            **head_of(card),
        )
        task._gallery = Gallery(vectors)
        return task


def _share_right(image: Tensor, location: Tensor, false: Tensor, weights: Tensor) -> Tensor:
    """Share of images whose own location is more similar than every false one."""
    with torch.no_grad():
        first = image[:, 0] if image.ndim == 3 else image
        first = functional.normalize(first.float(), dim=1)
        true = (first * functional.normalize(location.float(), dim=1)).sum(dim=1)
        others = first @ functional.normalize(false.float(), dim=1).T
        return (true > others.masked_fill(weights == 0, -2.0).amax(dim=1)).float().mean()
