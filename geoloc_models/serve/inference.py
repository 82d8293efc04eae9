"""From an upload to what the page shows: the answer and its map."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from geocells import web_map
from geoloc_models.errors import BrokenImageError
from geoloc_models.inference.map import map_content
from geoloc_models.inference.model import Model
from geoloc_models.inference.predictions import PhotoPredictions
from geoloc_models.models.tasks import ClassLocations
from geoloc_models.photos.guarded import GuardedDecoder
from geoloc_models.photos.images import FileImages
from geoloc_models.serve.components import answer_html
from geoloc_models.serve.nearby import TrainingPhotoIndex
from geoloc_models.serve.upload import Limits, read_upload

_SHOWN_PIXELS = 320
_ANSWER_DECIMALS, _PLACE_DECIMALS = 2, 1  # of a degree: 1 and 11 km


class PhotoPlacer:
    """Places one upload at a time.

    Parameters
    ----------
    model : Model
        Loaded.
    limits : Limits
        What is taken.
    tiles : str or None
        Background of the map, as for :func:`~geoloc_models.inference.map.draw_map`; None asks no
        map server.
    decoder : str, optional
        As for :meth:`Model.predict`.
    exact_places : bool, default False
        Show coordinates as the model has them. Else the answer is rounded to 0.01 degrees and the
        places of classes and training photos to 0.1, here, before anything is drawn or written.

    Raises
    ------
    GeolocError
        If the decoder does not suit the model, or the tiles are unknown.
    """

    def __init__(
        self,
        model: Model,
        *,
        limits: Limits | None = None,
        tiles: str | None = None,
        decoder: str | None = None,
        exact_places: bool = False,
    ) -> None:
        self.model = model
        self.limits = Limits() if limits is None else limits
        self.tiles = tiles
        if tiles is not None:
            web_map.tile_source(tiles)
        self.decoder = model.check_decoder(decoder)
        self._exact_places = exact_places
        self._classes = model.classes
        if not exact_places and self._classes is not None:
            self._classes = _rounded(self._classes)
        self._training_photos = TrainingPhotoIndex.from_classes(self._classes)
        self._one_at_a_time = threading.Lock()
        self._decoder = GuardedDecoder()

    def place(self, content: bytes) -> dict[str, Any]:
        """Place the photo in an upload.

        Parameters
        ----------
        content : bytes
            The whole file. Nothing of it is written anywhere.

        Returns
        -------
        dict
            ``answer``, a part of the page as HTML; ``map``, what ``drawMap`` of map.js draws.

        Raises
        ------
        BrokenImageError
            One sentence for the person who uploaded it.
        """
        with self._one_at_a_time:
            least_side = max(self.model.image_size, _SHOWN_PIXELS)
            pixels = read_upload(
                content, self.limits, min_side=least_side, decode=self._decoder.open_photo
            )
            predictions = self._predict(pixels)
            shown = pixels.copy()
            shown.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
            known = self._training_photos
            nearby = [] if known is None else known.nearest(predictions.coords[0])
            return {
                "answer": answer_html(predictions, shown, nearby),
                "map": self._map(predictions),
            }

    def close(self) -> None:
        """End the process that decodes."""
        self._decoder.close()

    def warm_up(self) -> None:
        """Place a grey photo, so that the first visitor does not wait for what loads once."""
        side = self.model.image_size
        self._map(self._predict(Image.new("RGB", (side, side), (128, 128, 128))))

    def _predict(self, pixels: Image.Image) -> PhotoPredictions:
        predictions = self.model.predict(_YourPhoto([pixels]), decoder=self.decoder, batch_size=1)
        if len(predictions) == 0:
            raise BrokenImageError(f"The photo {predictions.broken[0][1]}.")
        if self._exact_places:
            return predictions
        return replace(
            predictions, coords=predictions.coords.round(_ANSWER_DECIMALS), classes=self._classes
        )

    def _map(self, predictions: PhotoPredictions) -> dict[str, Any]:
        return map_content(list(predictions.mapped()), tiles=self.tiles)


def _rounded(classes: ClassLocations) -> ClassLocations:
    """Classes whose places tell nobody's exact spot."""
    images = classes.images
    if images is not None:
        images = np.round(images[0], _PLACE_DECIMALS), images[1]
    return replace(classes, coords=np.round(classes.coords, _PLACE_DECIMALS), images=images)


class _YourPhoto(FileImages):
    def describe(self, row: int) -> str:
        """What the map calls it."""
        return "Your photo"
