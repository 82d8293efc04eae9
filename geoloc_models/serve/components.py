"""Parts of the page as HTML, from templates that escape every text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from PIL import Image

from geoloc_models.countries.names import country_name
from geoloc_models.inference.map import data_url
from geoloc_models.inference.model_card import ModelCard
from geoloc_models.inference.place_names import CREDIT, nearest_places
from geoloc_models.inference.predictions import PhotoPredictions, percent
from geoloc_models.serve.nearby import NearbyPlace
from geoloc_models.serve.upload import Limits, too_large

TITLE = "Where was this photo taken?"
_N_LIKELIEST = 5
_MOST_COUNTRIES = 20


@cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("geoloc_models.serve", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["country"] = country_name
    return environment


def _render(name: str, **values: Any) -> str:
    text: str = _environment().get_template(name).render(**values)
    return text


def page_html(
    limits: Limits, card: ModelCard | None, *, n_examples: int = 0, has_addresses: bool = False
) -> str:
    """The page itself: what the model knows, how it gets a photo, where the answer goes."""
    counts = sorted(({} if card is None else card.n_photos).items(), key=lambda own: -own[1])
    return _render(
        "page.html",
        title=TITLE,
        card=card,
        countries=counts[:_MOST_COUNTRIES],
        n_more=len(counts[_MOST_COUNTRIES:]),
        limits=limits,
        too_large=too_large(limits),
        n_examples=n_examples,
        has_addresses=has_addresses,
    )


def answer_html(
    predictions: PhotoPredictions, shown: Image.Image, nearby: Sequence[NearbyPlace] = ()
) -> str:
    """The photo, where it was taken and how sure that is in one line, and all else folded away.

    Parameters
    ----------
    predictions : PhotoPredictions
        Of one photo.
    shown : PIL.Image.Image
        The photo, small.
    nearby : sequence of NearbyPlace
        Where training photos were taken nearest to the answer.
    """
    country = country_name(str(predictions.countries[0]))
    place = predictions.place_text(0)
    within = float(predictions.probability_within_25_km[0])
    radius = float(predictions.radius_90_km[0])
    facts = [("Coordinates", _point(*predictions.coords[0])), ("Country", country)]
    if math.isfinite(radius):
        facts.append(("90 % radius", f"{radius:,.0f} km"))
    return _render(
        "answer.html",
        picture=data_url(shown, "JPEG"),
        area=_area(place, country),
        is_unlike=predictions.is_unlike(0),
        within=percent(within) if math.isfinite(within) else None,
        is_unsure=within < 0.5,
        has_radius=math.isfinite(radius),
        facts=facts,
        notes=predictions.notes,
        places=_places(predictions),
        nearby=_rows(nearby, named=predictions.places is not None),
        credit="" if predictions.places is None else CREDIT,
    )


def _area(place: str | None, country: str) -> str:
    """Where the answer lies, in words.

    Examples
    --------
    >>> _area("Zürich", "Switzerland"), _area("31 km from Kiruna", "Sweden"), _area(None, "Fiji")
    ('Zürich area, Switzerland', '31 km from Kiruna, Sweden', 'Fiji')
    """
    if place is None:
        return country
    return f"{place}, {country}" if " km from " in place else f"{place} area, {country}"


def _places(predictions: PhotoPredictions) -> list[Sequence[str]]:
    return [
        (
            _named(place["place"], str(place["country"])),
            _point(place["latitude"], place["longitude"]),
            percent(place["probability"]),
        )
        for place in predictions.likeliest_of(0, _N_LIKELIEST)
    ]


def _rows(nearby: Sequence[NearbyPlace], *, named: bool) -> list[Sequence[str]]:
    names: list[str | None] = [None] * len(nearby)
    if named and nearby:
        names = [place.name for place in nearest_places([place[:2] for place in nearby])]
    return [
        (
            _named(name, place.country),
            _point(place.latitude, place.longitude),
            f"{place.distance_km:,.0f} km",
            f"{place.n_photos:,}",
        )
        for name, place in zip(names, nearby, strict=True)
    ]


def _point(latitude: float, longitude: float) -> str:
    """Four decimals at the most: 11 m."""
    return f"{round(latitude, 4):.9g}, {round(longitude, 4):.9g}"


def _named(place: str | None, code: str) -> str:
    return ", ".join(filter(None, [place, country_name(code)]))
