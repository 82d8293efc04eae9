"""Which country each row of metadata lies in, and whether it is wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geoloc_models._errors import GeolocError
from geoloc_models.countries.lookup import country_code, load_countries
from geoloc_models.countries.polygon_index import CountryIndex
from geoloc_models.tables.metadata_reasons import ELSEWHERE, NOWHERE

_GRID_PAYS_FROM = 1 << 17


class CountryChooser:
    """Says which country each row lies in and keeps those of the wanted ones."""

    def __init__(
        self,
        wanted: Sequence[str] | None,
        polygons: gpd.GeoDataFrame | None,
        tolerance_km: float,
    ) -> None:
        areas = load_countries() if polygons is None else polygons
        self._index = CountryIndex.of(areas)
        self._codes = np.array([*self._index.codes, None], dtype=object)
        self.wanted = None if wanted is None else _wanted_codes(wanted, areas)
        self._tolerance_km = tolerance_km
        self._n_found = 0
        self.kept: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def choose(self, rows: pa.Table) -> pa.Table:
        """Rows of the wanted countries, with the column ``country``."""
        if "country" not in rows.column_names:
            rows = rows.append_column("country", self._countries(rows))
        codes = rows["country"]
        nowhere = pc.is_null(codes)
        kept = pc.invert(nowhere)
        if self.wanted is not None:
            kept = pc.fill_null(pc.is_in(codes, value_set=pa.array(sorted(self.wanted))), False)
            kept = pc.and_not(kept, nowhere)
        n_nowhere, n_kept = (int(pc.sum(mask).as_py() or 0) for mask in (nowhere, kept))
        self.dropped[NOWHERE] += n_nowhere
        self.dropped[ELSEWHERE] += rows.num_rows - n_nowhere - n_kept
        rows = rows.filter(kept)
        for pair in pc.value_counts(rows["country"]).to_pylist():
            self.kept[pair["values"]] += pair["counts"]
        return rows

    def _countries(self, rows: pa.Table) -> pa.Array:
        self._n_found += rows.num_rows
        if self._n_found >= _GRID_PAYS_FROM:
            self._index.prepare_for_many()
        points = np.column_stack([rows["latitude"].to_numpy(), rows["longitude"].to_numpy()])
        found = self._index.find(points, self._tolerance_km)
        return pa.array(self._codes, pa.string()).take(pa.array(found % len(self._codes)))

    def refuse_if_none(self, n_kept: int, names: str) -> None:
        """One sentence where no photo is left."""
        if n_kept == 0:
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
    there = set(code_of_text.values())
    codes = set()
    for text in wanted:
        code = code_of_text.get(str(text).strip().casefold())
        if code is None:
            code = country_code(text)
        if code not in there:
            raise GeolocError(
                f"The country polygons have no {text!r} ({code}). Codes there: "
                f"{', '.join(sorted(there)[:20])}{', ...' if len(there) > 20 else ''}."
            )
        codes.add(code)
    return codes
