"""Country polygons, and the country of a coordinate."""

from __future__ import annotations

from geoloc_models.countries.lookup import country_of
from geoloc_models.countries.polygons import load_countries, read_countries

__all__ = ["country_of", "load_countries", "read_countries"]
