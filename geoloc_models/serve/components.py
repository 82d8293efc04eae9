"""Parts of the page as HTML, from templates that escape every text."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from PIL import Image

from geoloc_models.inference.map import data_url
from geoloc_models.inference.place_names import CREDIT, nearest_places
from geoloc_models.inference.predictions import PhotoPredictions, percent
from geoloc_models.serve.nearby import TrainingPhotos
from geoloc_models.serve.upload import Limits, too_large

TITLE = "Where was this photo taken?"
_CLASS = {"cells": "cell", "countries": "country", "gallery": "training photo"}


@cache
def _environment() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("geoloc_models.serve", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _render(name: str, **values: Any) -> str:
    text: str = _environment().get_template(name).render(**values)
    return text


def page_html(limits: Limits, about: str) -> str:
    """The page itself: what the model knows, where a photo is dropped, where its answer goes."""
    return _render(
        "page.html", title=TITLE, about=about, limits=limits, too_large=too_large(limits)
    )


def answer_html(predictions: PhotoPredictions, shown: Image.Image) -> str:
    """The photo, where it was taken, and how sure that is."""
    latitude, longitude = predictions.coords[0].tolist()
    code = str(predictions.countries[0])
    country = title = _country(code)
    place = predictions.place_text(0)
    if place is not None:
        title = f"{place}, {country}"
    within = float(predictions.probability_within_25_km[0])
    radius = float(predictions.radius_90_km[0])
    facts = [
        ("Coordinates", f"{latitude:.4f}, {longitude:.4f}"),
        ("Country", country),
        ("Within 25 km of it", percent(within) if math.isfinite(within) else "unknown"),
        ("90 % radius", f"{radius:,.0f} km" if math.isfinite(radius) else "unknown"),
    ]
    share = float(predictions.class_probability[0])
    if math.isfinite(share) and predictions.classes is not None:
        facts.append((f"Likeliest {_CLASS[predictions.classes.kind]}", percent(share)))
    return _render(
        "answer.html",
        picture=data_url(shown, "JPEG"),
        title=title,
        facts=facts,
        notes=[*certainty_notes(within, radius), *predictions.notes],
    )


def certainty_notes(within: float, radius: float) -> list[str]:
    """What the probability within 25 km and the radius mean, in words."""
    notes = []
    if within < 0.5:
        notes.append(
            "The model is not sure: to it, the photo was more likely taken over 25 km from this "
            "point than closer."
        )
    if math.isfinite(radius):
        notes.append(
            "Of photos like those that the model was calibrated on, 90 % lie in the radius."
        )
    return notes


def nearby_html(likeliest: list[dict[str, Any]], photos: TrainingPhotos, *, named: bool) -> str:
    """The likeliest places, and training photos with why these."""
    places = [
        (
            place["place"] or "",
            place["country"],
            f"{place['latitude']:.3f}, {place['longitude']:.3f}",
            percent(place["probability"]),
        )
        for place in likeliest
    ]
    names = [place.name for place in nearest_places(photos.coords)] if named else [""] * len(photos)
    header = ["Near", "Country", "Coordinates", "From the answer", "Photos there"]
    columns = [
        names,
        photos.countries.tolist(),
        [f"{latitude:.4f}, {longitude:.4f}" for latitude, longitude in photos.coords.tolist()],
        [f"{distance:,.1f} km" for distance in photos.distances_km],
        [f"{count:,}" for count in photos.counts],
    ]
    if photos.shares is not None:
        header.append("Share")
        columns.append([percent(share) for share in photos.shares])
    return _render(
        "nearby.html",
        places=places,
        explanation=photos.explanation,
        header=header,
        rows=list(zip(*columns, strict=True)),
        credit=CREDIT if named and len(photos) else "",
    )


def _country(code: str) -> str:
    """Name of a country by its code; what is no code stays as it is."""
    from geoloc_models.countries.polygons import load_countries

    return str(load_countries()["name"].get(code, code))
