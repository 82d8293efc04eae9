"""From an upload to what the page shows: the answer, its map, and the training photos beside it."""

from __future__ import annotations

import threading
from typing import Any

from PIL import Image

from geoloc_models._errors import BrokenImageError
from geoloc_models.inference.map import map_content, tile_source
from geoloc_models.inference.model import Model
from geoloc_models.inference.predictions import PhotoPredictions
from geoloc_models.photos.guarded import GuardedDecoder
from geoloc_models.serve.components import answer_html, nearby_html
from geoloc_models.serve.nearby import TrainingPhotoIndex
from geoloc_models.serve.upload import Limits, read_upload

_SHOWN_PIXELS = 320
_N_LIKELIEST = 5


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
    ) -> None:
        self.model = model
        self.limits = Limits() if limits is None else limits
        self.tiles = tiles
        if tiles is not None:
            tile_source(tiles)
        self.decoder = model.check_decoder(decoder)
        self._training_photos = TrainingPhotoIndex(model)
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
            Parts of the page, with nothing in them but what they show: ``answer`` and ``nearby``,
            HTML; ``map``, what ``drawMap`` of map.js draws.

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
            return {
                "answer": answer_html(predictions, shown),
                "map": self._map(predictions),
                "nearby": nearby_html(
                    predictions.likeliest_of(0, _N_LIKELIEST),
                    self._training_photos.beside(predictions),
                    named=predictions.places is not None,
                ),
            }

    def close(self) -> None:
        """End the process that decodes."""
        self._decoder.close()

    def warm_up(self) -> None:
        """Place a grey photo, so that the first visitor does not wait for what loads once."""
        side = self.model.image_size
        self._map(self._predict(Image.new("RGB", (side, side), (128, 128, 128))))

    def _predict(self, pixels: Image.Image) -> PhotoPredictions:
        predictions = self.model.predict(_OnePhoto(pixels), decoder=self.decoder, batch_size=1)
        if len(predictions) == 0:
            raise BrokenImageError(f"The photo {predictions.broken[0][1]}.")
        return predictions

    def _map(self, predictions: PhotoPredictions) -> dict[str, Any]:
        photos = list(predictions.mapped())
        return map_content(photos, tiles=self.tiles, credit=predictions.credit)


class _OnePhoto:
    """A collection of one photo, in memory."""

    def __init__(self, pixels: Image.Image) -> None:
        self._pixels = pixels

    def __len__(self) -> int:
        return 1

    def load(self, row: int) -> Image.Image:
        """The photo; a copy, as the map makes a small one of what it gets."""
        return self._pixels.copy()

    def describe(self, row: int) -> str:
        """What the map calls it."""
        return "Your photo"
