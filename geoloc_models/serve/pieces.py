"""Pieces of the page as HTML: text is escaped, pictures are pixels inside the page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from PIL import Image

from geoloc_models.countries import load_countries
from geoloc_models.inference.map import data_url
from geoloc_models.inference.place_names import CREDIT, nearest_places
from geoloc_models.inference.predictions import PhotoPredictions, percent, place_text
from geoloc_models.serve.nearby import SENTENCES, TrainingPhotos

_MAP_HEIGHT = 460
_CLASS = {"cells": "cell", "countries": "country", "gallery": "training photo"}


def answer_piece(placed: PhotoPredictions, shown: Image.Image) -> str:
    """The photo, where it was taken, and how sure that is."""
    latitude, longitude = placed.coords[0].tolist()
    country = str(placed.countries[0])
    title = _country(country)
    if placed.places is not None:
        title = f"{place_text(placed.places[0], country)}, {title}"
    facts = [("Coordinates", f"{latitude:.4f}, {longitude:.4f}"), ("Country", _country(country))]
    within, radius = placed.probability_within_25_km[0], placed.radius_90_km[0]
    sure = placed.confidence[0]
    facts.append(("Within 25 km of it", percent(within) if math.isfinite(within) else "unknown"))
    facts.append(("90 % radius", f"{radius:,.0f} km" if math.isfinite(radius) else "unknown"))
    if math.isfinite(sure) and placed.classes is not None:
        facts.append((f"Likeliest {_CLASS[placed.classes.kind]}", percent(sure)))
    lists = "".join(f"<dt>{_text(name)}</dt><dd>{_text(fact)}</dd>" for name, fact in facts)
    notes = "".join(
        f"<p class='geoloc-note'>{_text(note)}</p>"
        for note in (*_how_sure(float(within), float(radius)), *placed.notes)
    )
    return (
        f"<div class='geoloc-answer'><img alt='The photo' src='{data_url(shown, 'JPEG')}'>"
        f"<div><h2>{_text(title)}</h2><dl>{lists}</dl>{notes}</div></div>"
    )


def _how_sure(within: float, radius: float) -> list[str]:
    """What the two figures mean, in words."""
    told = []
    if within < 0.5:
        told.append(
            "The model is not sure: to it, the photo was more likely taken over 25 km from this point "
            "than closer."
        )
    if math.isfinite(radius):
        told.append(
            "Of photos like those that the model was calibrated on, 90 % lie in the radius."
        )
    return told


def likeliest_piece(likeliest: pd.DataFrame) -> str:
    """The likeliest places, as :meth:`PhotoPredictions.likeliest` lists them; nothing where it is empty."""
    if len(likeliest) == 0:
        return ""
    rows = [
        [
            str(own["place"] or ""),
            str(own["country"]),
            f"{own['latitude']:.3f}, {own['longitude']:.3f}",
            percent(float(own["probability"])),
        ]
        for own in likeliest.to_dict("records")
    ]
    header = ["Near", "Country", "Coordinates", "Probability"]
    return f"<h3>Likeliest places</h3>{_table(header, rows)}"


def map_piece(page: str) -> str:
    """A map's page in a frame of its own: it may run its program, and touch nothing outside."""
    return (
        "<iframe class='geoloc-map' title='Map of the answer' sandbox='allow-scripts' "
        f"referrerpolicy='no-referrer' style='height: {_MAP_HEIGHT}px' "
        f'srcdoc="{html.escape(page)}"></iframe>'
    )


def nearby_piece(photos: TrainingPhotos, *, named: bool) -> str:
    """Training photos, with why these."""
    head = f"<h3>Training photos</h3><p>{_text(SENTENCES[photos.kind])}</p>"
    if len(photos) == 0:
        return head
    names = [""] * len(photos)
    if named:
        names = [own.name for own in nearest_places(photos.coords)]
    header = ["Near", "Country", "Coordinates", "From the answer", "Photos there"]
    shares = (
        [""] * len(photos) if photos.shares is None else [percent(own) for own in photos.shares]
    )
    if photos.shares is not None:
        header.append("Share")
    rows = []
    for number, (latitude, longitude) in enumerate(photos.coords.tolist()):
        row = [
            names[number],
            str(photos.countries[number]),
            f"{latitude:.4f}, {longitude:.4f}",
            f"{photos.distances_km[number]:,.1f} km",
            f"{int(photos.counts[number]):,}",
        ]
        rows.append([*row, shares[number]] if photos.shares is not None else row)
    credit = f"<p class='geoloc-note'>{_text(CREDIT)}</p>" if named else ""
    return head + _table(header, rows) + credit


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _country(code: str) -> str:
    """Name of a country by its code; what is no code stays as it is."""
    name = load_countries()["name"].get(code, code)
    return str(np.asarray(name).reshape(-1)[0])


def _text(text: str) -> str:
    return html.escape(text)
