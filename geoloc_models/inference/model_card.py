"""What a model knows: the photos it learned from, and how well it did; beside its answers."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from geoloc_models.countries.names import country_name
from geoloc_models.files import read_record, write_record

if TYPE_CHECKING:
    from geoloc_models.evaluation import Evaluation

MODEL_CARD_FILE = "model_card.json"
FORMAT, VERSION = "geoloc-model-card", 1
_TOLD_KM = (25.0, 200.0)
_MOST_COUNTRIES = 3
_LONGEST_NAME = 60


@dataclass(frozen=True)
class ModelCard:
    """What a model was trained on, and how well it did on test photos.

    Parameters
    ----------
    date : str
        Of the training, as in 2026-11-28.
    n_photos : dict of str to int
        Training photos of each country.
    n_test : int
        Test photos.
    within_km : dict of str to float
        Percent of them that were placed so near, by kilometres.
    """

    date: str
    n_photos: Mapping[str, int]
    n_test: int
    within_km: Mapping[str, float]

    def __post_init__(self) -> None:
        datetime.date.fromisoformat(self.date)
        counts, shares = self.n_photos, self.within_km
        names_are_sound = all(name.isprintable() for name in counts) and all(
            len(name) <= _LONGEST_NAME for name in counts
        )
        if (
            not names_are_sound
            or not all(isinstance(n, int) and n > 0 for n in [*counts.values(), self.n_test])
            or not all(math.isfinite(float(r)) and 0 <= shares[r] <= 100 for r in shares)
        ):
            raise ValueError("counts above 0, and percentages of distances, by names")

    @classmethod
    def of_training(cls, countries: npt.ArrayLike, evaluation: Evaluation) -> Self:
        """Card of today, of the training photos' (n,) countries and an evaluation on others."""
        names, counts = np.unique(np.asarray(countries).astype(str), return_counts=True)
        return cls(
            datetime.datetime.now(datetime.UTC).date().isoformat(),
            dict(zip(names.tolist(), counts.tolist(), strict=True)),
            evaluation.n_test,
            {f"{radius:g}": share.value for radius, share in evaluation.within_km.items()},
        )

    @property
    def text(self) -> str:
        """The card in two sentences.

        Examples
        --------
        >>> print(ModelCard("2026-11-28", {"SE": 801, "CH": 812}, 203, {"25": 45.8}).text)
        The model learned from 1,613 photos of Switzerland and Sweden (2026-11-28), and knows no \
other place. Of 203 test photos it placed 46 % within 25 km.
        """
        codes = sorted(self.n_photos, key=lambda code: -self.n_photos[code])
        names = [country_name(code) for code in codes[:_MOST_COUNTRIES]]
        where = f"{len(codes)} countries, most of {', '.join(names)}"
        if len(codes) <= _MOST_COUNTRIES:
            where = " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
        shares = {f"{km:g}": self.within_km.get(f"{km:g}") for km in _TOLD_KM}
        placed = [
            f"{share:.0f} % within {km} km" for km, share in shares.items() if share is not None
        ]
        text = (
            f"The model learned from {sum(self.n_photos.values()):,} photos of {where} "
            f"({self.date}), and knows no other place."
        )
        if placed:
            text += f" Of {self.n_test:,} test photos it placed {' and '.join(placed)}."
        return text


def save_model_card(card: ModelCard, folder: str | Path) -> None:
    """Write ``model_card.json`` into a bundle."""
    write_record(Path(folder) / MODEL_CARD_FILE, FORMAT, VERSION, asdict(card))


def load_model_card(folder: str | Path) -> ModelCard | None:
    """Read the ``model_card.json`` of a bundle; None where there is none.

    Raises
    ------
    GeolocError
        If it is damaged or of another version.
    """
    path = Path(folder) / MODEL_CARD_FILE
    if not path.is_file():
        return None
    return read_record(path, FORMAT, VERSION, lambda content: ModelCard(**content))
