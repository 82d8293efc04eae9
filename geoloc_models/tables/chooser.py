"""Which country each row of metadata lies in, and whether it is wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geoloc_models.countries.lookup import CountryIndex
from geoloc_models.countries.names import country_code
from geoloc_models.countries.polygons import load_countries
from geoloc_models.errors import GeolocError

if TYPE_CHECKING:
    import geopandas as gpd

NOWHERE = "a place in no country"
ELSEWHERE = "a place in another country"


class CountryChooser:
    """Finds the country of each row, keeps the rows of wanted ones and counts the others."""

    def __init__(
        self,
        wanted: Sequence[str] | None,
        polygons: gpd.GeoDataFrame | None,
        tolerance_km: float,
    ) -> None:
        areas = load_countries() if polygons is None else polygons
        self._index = CountryIndex(areas)
        self._tolerance_km = tolerance_km
        self.wanted = None if wanted is None else _wanted_codes(wanted, areas)
        self.kept: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def choose(self, rows: pa.Table) -> pa.Table:
        """Rows of the wanted countries, with the column ``country``."""
        if "country" not in rows.column_names:
            points = np.column_stack([rows["latitude"].to_numpy(), rows["longitude"].to_numpy()])
            codes = self._index.find(points, self._tolerance_km)
            rows = rows.append_column("country", pa.array(codes, pa.string()))
        inside = rows.filter(pc.is_valid(rows["country"]))
        kept = inside
        if self.wanted is not None:
            wanted = pa.array(sorted(self.wanted), pa.string())
            kept = inside.filter(pc.is_in(inside["country"], value_set=wanted))
        self.dropped[NOWHERE] += rows.num_rows - inside.num_rows
        self.dropped[ELSEWHERE] += inside.num_rows - kept.num_rows
        for pair in pc.value_counts(kept["country"]).to_pylist():
            self.kept[pair["values"]] += pair["counts"]
        return kept

    def refuse_if_none(self, names: str) -> None:
        """Raise GeolocError where no photo is left."""
        if not self.kept:
            which = "any country" if self.wanted is None else " or ".join(sorted(self.wanted)[:10])
            raise GeolocError(
                f"None of the {sum(self.dropped.values())} photos of {names} lies in {which} "
                f"({self.dropped[NOWHERE]} in no country at all). Check the countries and the "
                "columns of the coordinates."
            )


def _wanted_codes(wanted: Sequence[str], areas: gpd.GeoDataFrame) -> set[str]:
    if not wanted:
        raise GeolocError("Name at least one country, such as SE, or leave the option out.")
    code_of_text = {str(name).casefold(): str(code) for code, name in areas["name"].items()}
    code_of_text.update({str(code).casefold(): str(code) for code in areas.index})
    present = set(code_of_text.values())
    codes = set()
    for text in wanted:
        code = code_of_text.get(str(text).strip().casefold()) or country_code(text)
        if code not in present:
            raise GeolocError(
                f"The country polygons have no {text!r} ({code}). Codes there: "
                f"{', '.join(sorted(present)[:20])}{', ...' if len(present) > 20 else ''}."
            )
        codes.add(code)
    return codes
