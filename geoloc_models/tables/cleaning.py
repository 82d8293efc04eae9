"""From rows as a file has them to clean rows, with a reason for each one dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geocells.tables import (
    NOT_JSON,
    NOT_TEXT,
    UNBALANCED,
    WRONG_FIELDS,
    Batch,
    TableFile,
    ids,
    numbers,
    texts,
)
from geoloc_models.countries.names import country_code
from geoloc_models.errors import GeolocError
from geoloc_models.tables.hashing import hash_texts, stream_start
from geoloc_models.tables.presets import Preset

NO_ID = "no id"
MISSING = "no coordinate"
NOT_NUMBER = "a coordinate that is not a number"
OUT_OF_RANGE = "a coordinate out of range"
ZERO = "the position 0, 0"
DUPLICATE = "an id that came before"
UNKNOWN_COUNTRY = "an unknown country"

_CHECK_FROM_ROWS = 100_000
_SHARE_OF_SWAPPED = 0.01
_SHARE_NOT_TEXT = 0.01
_SHARE_BROKEN = 0.5
_REMEDIES = {
    WRONG_FIELDS: "Check the delimiter (--delimiter) and the quotes.",
    UNBALANCED: "If quotes are plain characters in it, say --no-quoting.",
    NOT_NUMBER: "Write decimal degrees with a point, or name the right columns.",
    OUT_OF_RANGE: "Give degrees of latitude in [-90, 90] and of longitude in [-180, 180].",
    NOT_JSON: "Write one JSON object a line.",
}


class SeenIds:
    """Which ids came before: 64-bit hashes in sorted runs, 8 bytes an id.

    Notes
    -----
    Runs are merged when they are of like length, so an id is looked up in few of them. Two ids in
    14 million have the same hash with a chance of 5 in a million.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []
        self._start = stream_start("metadata/id", 0)

    def first_time(self, ids: pa.ChunkedArray) -> np.ndarray:
        """Whether each id (n,) comes for the first time; from now on all of them are known."""
        hashes = hash_texts(ids.combine_chunks(), self._start)
        distinct, first = np.unique(hashes, return_index=True)
        new = np.ones(len(distinct), dtype=bool)
        for run in self._runs:
            place = np.searchsorted(run, distinct)
            new &= run[np.minimum(place, len(run) - 1)] != distinct
        self._add(distinct[new])
        is_first = np.zeros(len(hashes), dtype=bool)
        is_first[first[new]] = True
        return is_first

    def _add(self, run: np.ndarray) -> None:
        if not len(run):
            return
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.concatenate([self._runs.pop(), run])
            run.sort(kind="stable")
        self._runs.append(run)


class RowCleaner:
    """Keeps the rows of a file that are whole, and counts the others.

    Parameters
    ----------
    file : TableFile
        The file.
    columns : dict
        Role to its column there.
    preset : Preset
        Layout of the file.
    id_prefix : str
        A row without id is called by this and its number.
    seen : SeenIds
        Ids that came before, in other files too.
    drop_zero : bool
        Drop photos at 0, 0, where software puts those without a position.

    Attributes
    ----------
    dropped : Counter
        Reason to number of rows.
    examples : dict
        Reason to the first value that it was given for.
    n_read : int
        Rows, and lines that are none.
    """

    def __init__(
        self,
        file: TableFile,
        columns: Mapping[str, str],
        preset: Preset,
        *,
        id_prefix: str,
        seen: SeenIds,
        drop_zero: bool,
    ) -> None:
        self.file, self.columns = file, columns
        self.dropped: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.n_read = 0
        self._preset, self._id_prefix = preset, id_prefix
        self._seen, self._drop_zero = seen, drop_zero
        self._n_numbers = self._n_swappable = self._n_wide_longitudes = 0

    def needed_columns(self) -> list[str]:
        """Columns of the file that are read."""
        helpers = [*(self._preset.flickr_url or ()), *(self._preset.unwanted or ())[:1]]
        return [*self.columns.values(), *(name for name in helpers if name in self.file.names)]

    def clean(self, batch: Batch) -> pa.Table:
        """Whole rows, with the columns ``id``, ``latitude``, ``longitude`` and those of the roles.

        Raises
        ------
        GeolocError
            Where so much of the file is wrong that its layout must be another.
        """
        table, columns = batch.table, self.columns
        self.n_read += table.num_rows + len(batch.lost)
        self.dropped.update(lost.reason for lost in batch.lost)
        values = {
            role: texts(table[name], keep_na=role in ("country", "group"))
            for role, name in columns.items()
            if role in ("url", "path", "user", "time", "group", "country")
        }
        if "id" in columns:
            values["id"] = ids(table[columns["id"]], where=self.file.path.name)
        if "url" not in values:
            values.update(self._flickr_urls(table, values.get("id")))
        if "id" not in values:
            values["id"] = self._made_up_ids(values, batch.rows)
        kept = self._without_unwanted(table)
        kept = self._drop(kept, np.asarray(pc.is_null(values["id"])), NO_ID)
        kept, latitude, longitude = self._coordinates(kept, table)
        if "country" in values:
            codes = self._codes(values["country"])
            kept = self._drop(kept, np.asarray(pc.is_null(codes)), UNKNOWN_COUNTRY)
            values["country"] = codes
        if self.n_read >= _CHECK_FROM_ROWS:
            self.check()
        clean = pa.table({"latitude": latitude, "longitude": longitude, **values})
        return self._without_duplicates(clean.filter(pa.array(kept)))

    def check(self) -> None:
        """Refuse a file so much of which is wrong that its layout must be another."""
        name, n_rows = self.file.path.name, max(self.n_read, 1)
        n_swappable, n_numbers = self._n_swappable, self._n_numbers
        if (
            n_swappable > _SHARE_OF_SWAPPED * max(n_numbers, 1)
            and self._n_wide_longitudes == 0
            and (n_swappable > 1 or n_numbers == 1)
        ):
            raise GeolocError(
                f"Latitude must lie in [-90, 90] degrees; {n_swappable} of {n_numbers} rows of "
                f"{name} do not, while no longitude is beyond 90. Are latitude and longitude "
                f"swapped? Then say --latitude-column {self.columns['longitude']} "
                f"--longitude-column {self.columns['latitude']}."
            )
        if self.dropped[NOT_TEXT] > _SHARE_NOT_TEXT * n_rows:
            raise GeolocError(
                f"{self.dropped[NOT_TEXT]} of {n_rows} rows of {name} are not UTF-8 text. "
                "Save it as UTF-8, or name its encoding (--encoding latin-1)."
            )
        for reason, remedy in _REMEDIES.items():
            n_bad = self.dropped[reason]
            if n_bad > max(_SHARE_BROKEN * n_rows, 1):
                verb = "are" if reason == NOT_JSON else "have"
                example = self.examples.get(reason)
                shown = f" (first: {example})" if example else ""
                raise GeolocError(
                    f"{n_bad} of {n_rows} rows of {name} {verb} {reason}{shown}. {remedy}"
                )

    def _drop(
        self, kept: np.ndarray, bad: np.ndarray, reason: str, example: str | None = None
    ) -> np.ndarray:
        n_bad = int((kept & bad).sum())
        if n_bad:
            self.dropped[reason] += n_bad
            if example is not None:
                self.examples.setdefault(reason, example)
            kept = kept & ~bad
        return kept

    def _without_unwanted(self, table: pa.Table) -> np.ndarray:
        kept = np.ones(table.num_rows, dtype=bool)
        if self._preset.unwanted is None or self._preset.unwanted[0] not in table.column_names:
            return kept
        column, value, reason = self._preset.unwanted
        unwanted = pc.fill_null(pc.equal(texts(table[column]), value), False)
        return self._drop(kept, np.asarray(unwanted), reason)

    def _coordinates(
        self, kept: np.ndarray, table: pa.Table
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows that are kept, latitude and longitude, all (n,)."""
        columns = [table[self.columns[role]] for role in ("latitude", "longitude")]
        read = [numbers(column) for column in columns]
        (latitude, no_latitude, odd_latitude), (longitude, no_longitude, odd_longitude) = read
        kept = self._drop(kept, no_latitude | no_longitude, MISSING)
        odd = (odd_latitude | odd_longitude) & kept
        example = None
        if odd.any():
            row = int(odd.argmax())
            value = columns[0 if odd_latitude[row] else 1][row].as_py()
            example = repr(str(value)[:40])
        kept = self._drop(kept, odd, NOT_NUMBER, example)
        too_high, too_wide = np.abs(latitude) > 90, np.abs(longitude) > 180
        self._n_numbers += int(kept.sum())
        self._n_swappable += int(
            (kept & too_high & (np.abs(latitude) <= 180) & (np.abs(longitude) <= 90)).sum()
        )
        self._n_wide_longitudes += int((kept & (np.abs(longitude) > 90)).sum())
        out = kept & (too_high | too_wide)
        row = int(out.argmax()) if out.any() else 0
        example = f"{latitude[row]:g}, {longitude[row]:g}" if out.any() else None
        kept = self._drop(kept, out, OUT_OF_RANGE, example)
        if self._drop_zero:
            kept = self._drop(kept, (latitude == 0) & (longitude == 0), ZERO)
        return kept, latitude, longitude

    def _without_duplicates(self, rows: pa.Table) -> pa.Table:
        first = self._seen.first_time(rows["id"])
        if first.all():
            return rows
        self.dropped[DUPLICATE] += int((~first).sum())
        self.examples.setdefault(DUPLICATE, repr(rows["id"][int((~first).argmax())].as_py()))
        return rows.filter(pa.array(first))

    def _made_up_ids(self, values: dict[str, pa.ChunkedArray], rows: np.ndarray) -> pa.ChunkedArray:
        """The path or the address where there is no id; else the number of the row in its file."""
        for role in ("path", "url"):
            if role in values:
                return values[role]
        written = pa.chunked_array([pa.array(rows).cast(pa.string())])
        return pc.binary_join_element_wise(self._id_prefix, written, "-")

    def _codes(self, names: pa.ChunkedArray) -> pa.ChunkedArray:
        distinct = pc.unique(names.drop_null())
        codes = pa.array(map(_code_or_none, distinct.to_pylist()), pa.string())
        if codes.null_count:
            unknown = distinct[codes.is_null().index(True).as_py()].as_py()
            self.examples.setdefault(UNKNOWN_COUNTRY, repr(unknown[:40]))
        return codes.take(pc.index_in(names, value_set=distinct))

    def _flickr_urls(
        self, table: pa.Table, photo_ids: pa.ChunkedArray | None
    ) -> dict[str, pa.ChunkedArray]:
        """Addresses of Flickr photos, from the columns of their server and secret."""
        names = self._preset.flickr_url
        if names is None or photo_ids is None or not set(names) <= set(table.column_names):
            return {}
        server, secret = (texts(table[name]) for name in names)
        name = pc.binary_join_element_wise(photo_ids, secret, "_")
        address = pc.binary_join_element_wise("https://live.staticflickr.com", server, name, "/")
        return {"url": pc.binary_join_element_wise(address, ".jpg", "")}


def refuse_if_none(cleaners: Sequence[RowCleaner], names: str) -> None:
    """Raise GeolocError where not a single row of the files was whole."""
    n_read = sum(cleaner.n_read for cleaner in cleaners)
    if not n_read:
        raise GeolocError(f"{names} holds no rows. Give at least one photo.")
    dropped = sum((cleaner.dropped for cleaner in cleaners), Counter())
    if dropped.total() == n_read:
        reasons = ", ".join(f"{n} {reason}" for reason, n in dropped.most_common(3))
        raise GeolocError(
            f"No row of {names} is whole ({n_read} read; dropped for {reasons}). Check the "
            "columns and the preset."
        )


@cache
def _code_or_none(name: str) -> str | None:
    try:
        return country_code(name)
    except GeolocError:
        return None
