"""From an upload to what the page shows: the answer, its map, and the training photos beside it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from PIL import Image

from geoloc_models._errors import BrokenImageError
from geoloc_models.inference.model import Model
from geoloc_models.serve.nearby import TrainingMemory
from geoloc_models.serve.pieces import answer_piece, likeliest_piece, map_piece, nearby_piece
from geoloc_models.serve.upload import Limits, read_upload

_SHOWN_PIXELS = 320
_N_LIKELIEST = 5


@dataclass(frozen=True)
class Shown:
    """Pieces of HTML for the page, with nothing in them but what they show.

    Parameters
    ----------
    answer : str
        The photo, the place, and how sure that is.
    chart : str
        The map, in a frame that may touch nothing outside of it.
    nearby : str
        The likeliest places, and training photos.
    """

    answer: str
    chart: str
    nearby: str


class PhotoPlacer:
    """Places one upload at a time.

    Parameters
    ----------
    model : Model
        Loaded.
    limits : Limits
        What is taken.
    tiles : str or None
        Background of the map, as folium takes it; None asks no map server.
    decoder : str, optional
        As for :meth:`Model.predict`.

    Raises
    ------
    GeolocError
        If the decoder does not suit the model.
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
        self.decoder = model.check_decoder(decoder)
        self._memory = TrainingMemory(model)
        self._one_at_a_time = threading.Lock()

    def place(self, content: bytes) -> Shown:
        """Place the photo in an upload.

        Parameters
        ----------
        content : bytes
            The whole file. Nothing of it is written anywhere.

        Raises
        ------
        BrokenImageError
            One sentence for the person who uploaded it.
        """
        with self._one_at_a_time:
            pixels = read_upload(content, self.limits, min_side=self._least_side)
            photo = _OnePhoto(pixels)
            placed = self.model.predict(photo, decoder=self.decoder, batch_size=1)
            if len(placed) == 0:
                _, reason = placed.broken[0]
                raise BrokenImageError(f"The photo {reason}.")
            shown = pixels.copy()
            shown.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
            return Shown(
                answer_piece(placed, shown),
                map_piece(placed.explore(tiles=self.tiles).get_root().render()),
                likeliest_piece(placed.likeliest(_N_LIKELIEST))
                + nearby_piece(self._memory.beside(placed), named=placed.places is not None),
            )

    def warm_up(self) -> None:
        """Place a grey photo, so that the first visitor does not wait for what loads once."""
        side = self.model.image_size
        placed = self.model.predict(
            _OnePhoto(Image.new("RGB", (side, side), (128, 128, 128))), decoder=self.decoder
        )
        placed.explore(tiles=self.tiles)

    @property
    def _least_side(self) -> int:
        return max(self.model.image_size, _SHOWN_PIXELS)


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
