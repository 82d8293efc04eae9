"""From rows as a file has them to clean rows, with a reason for each one dropped."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geoloc_models._errors import GeolocError
from geoloc_models.countries import country_code
from geoloc_models.tables.hashing import hash_texts, stream_start
from geoloc_models.tables.metadata_readers import Batch, MetadataFile, as_text
from geoloc_models.tables.metadata_reasons import (
    DUPLICATE,
    MISSING,
    NO_ID,
    NOT_JSON,
    NOT_NUMBER,
    NOT_TEXT,
    OUT_OF_RANGE,
    UNBALANCED,
    UNKNOWN_COUNTRY,
    WRONG_FIELDS,
    ZERO,
)

_NO_VALUE = ("na", "n/a", "nan", "none", "null", "nil", "-", "\\n")
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_CHECK_FROM_ROWS = 100_000
_SHARE_OF_SWAPPED = 0.01
_SHARE_NOT_TEXT = 0.01
_SHARE_BROKEN = 0.5


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


@dataclass
class Tally:
    """Rows of one file so far."""

    n_rows: int = 0
    n_numbers: int = 0
    n_swappable: int = 0
    n_wide_longitudes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


class RowCleaner:
    """Keeps the rows that are whole, and counts the others.

    Parameters
    ----------
    drop_zero : bool
        Drop photos at 0, 0, where software puts those without a position.
    examples : dict
        Reason to the first value that it was given for.
    """

    def __init__(self, *, drop_zero: bool = True) -> None:
        self.drop_zero = drop_zero
        self.dropped: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.n_read = 0
        self._n_parsed = 0
        self._seen = SeenIds()
        self._code_of_name: dict[str, str | None] = {}
        self._tally = Tally()

    def start(self) -> None:
        """The next rows are of another file."""
        self._tally = Tally()

    def clean(self, batch: Batch, file: MetadataFile) -> pa.Table:
        """Whole rows, with the columns ``id``, ``latitude``, ``longitude`` and those of the roles.

        Raises
        ------
        GeolocError
            Where so much of the file is wrong that its layout must be another.
        """
        rows, column_of = batch.rows, file.columns.of_role
        n_rows, n_lost = rows.num_rows, sum(batch.lost.values())
        first_row = self._n_parsed
        self.n_read += n_rows + n_lost
        self._n_parsed += n_rows
        self._tally.n_rows += n_rows + n_lost
        for reason, n_lines in batch.lost.items():
            if n_lines:
                self._count(reason, n_lines)
        texts = {
            role: as_text(rows[name])
            for role, name in column_of.items()
            if role not in ("latitude", "longitude")
        }
        if "url" not in texts:
            texts.update(_flickr_urls(rows, file, texts.get("id")))
        if "id" not in texts:
            texts["id"] = self._made_up_ids(texts, n_rows, first_row)
        kept = self._without_unwanted(rows, file)
        kept = self._drop(kept, np.asarray(pc.is_null(texts["id"])), NO_ID)
        kept, latitude, longitude = self._coordinates(kept, rows, file)
        if "country" in texts:
            codes = self._codes(texts["country"])
            kept = self._drop(kept, np.asarray(pc.is_null(codes)), UNKNOWN_COUNTRY)
            texts["country"] = codes
        if self._tally.n_rows >= _CHECK_FROM_ROWS:
            self.check(file)
        return self._without_duplicates(texts, latitude, longitude, kept)

    def check(self, file: MetadataFile) -> None:
        """Refuse a file so much of which is wrong that its layout must be another."""
        tally, name = self._tally, file.path.name
        if (
            tally.n_swappable > _SHARE_OF_SWAPPED * max(tally.n_numbers, 1)
            and tally.n_wide_longitudes == 0
            and (tally.n_swappable > 1 or tally.n_numbers == 1)
        ):
            columns = file.columns.of_role
            raise GeolocError(
                f"Latitude must lie in [-90, 90] degrees; {tally.n_swappable} of "
                f"{tally.n_numbers} rows of {name} do not, while no longitude is beyond 90. Are "
                f"latitude and longitude swapped? Then say --latitude-column "
                f"{columns['longitude']} --longitude-column {columns['latitude']}."
            )
        n_rows = max(tally.n_rows, 1)
        if tally.dropped[NOT_TEXT] > _SHARE_NOT_TEXT * n_rows:
            raise GeolocError(
                f"{tally.dropped[NOT_TEXT]} of {tally.n_rows} rows of {name} are not UTF-8 text. "
                "Save it as UTF-8, or name its encoding (--encoding latin-1)."
            )
        remedies = {
            WRONG_FIELDS: "Check the delimiter (--delimiter) and the quotes; texts with line "
            "breaks in them need --multiline.",
            UNBALANCED: "If texts in it have line breaks, say --multiline.",
            NOT_NUMBER: "Write decimal degrees with a point, or name the right columns.",
            OUT_OF_RANGE: "Give degrees of latitude in [-90, 90] and of longitude in [-180, 180].",
            NOT_JSON: "Write one JSON object a line.",
        }
        for reason, remedy in remedies.items():
            n_bad = tally.dropped[reason]
            if n_bad > max(_SHARE_BROKEN * n_rows, 1):
                example = self.examples.get(reason)
                shown = f" (first: {example})" if example else ""
                raise GeolocError(
                    f"{n_bad} of {tally.n_rows} rows of {name} have {reason}{shown}. {remedy}"
                    if reason != NOT_JSON
                    else f"{n_bad} of {tally.n_rows} rows of {name} are {reason}. {remedy}"
                )

    def refuse_if_none(self, n_whole: int, names: str) -> None:
        """One sentence where not a single row was whole."""
        if n_whole:
            return
        if not self.n_read:
            raise GeolocError(f"{names} has no rows. Give at least one photo.")
        reasons = ", ".join(f"{n} {reason}" for reason, n in self.dropped.most_common(3))
        raise GeolocError(
            f"No row of {names} is whole ({self.n_read} read; dropped for {reasons}). Check the "
            "columns and the preset."
        )

    def _count(self, reason: str, n_rows: int) -> None:
        self.dropped[reason] += n_rows
        self._tally.dropped[reason] += n_rows

    def _drop(self, kept: np.ndarray, bad: np.ndarray, reason: str) -> np.ndarray:
        n_bad = int((kept & bad).sum())
        if n_bad:
            self._count(reason, n_bad)
            kept = kept & ~bad
        return kept

    def _without_unwanted(self, rows: pa.Table, file: MetadataFile) -> np.ndarray:
        kept = np.ones(rows.num_rows, dtype=bool)
        preset = file.options.preset
        if preset is None or preset.unwanted is None or preset.unwanted[0] not in file.names:
            return kept
        column, value, reason = preset.unwanted
        unwanted = pc.fill_null(pc.equal(as_text(rows[column]), value), False)
        return self._drop(kept, np.asarray(unwanted), reason)

    def _coordinates(
        self, kept: np.ndarray, rows: pa.Table, file: MetadataFile
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows that are kept, latitude and longitude, all (n,)."""
        read = [_numbers(rows[file.columns.of_role[role]]) for role in ("latitude", "longitude")]
        (latitude, no_latitude, odd_latitude), (longitude, no_longitude, odd_longitude) = read
        kept = self._drop(kept, no_latitude | no_longitude, MISSING)
        odd = (odd_latitude | odd_longitude) & kept
        if odd.any() and NOT_NUMBER not in self.examples:
            row = int(odd.argmax())
            role = "latitude" if odd_latitude[row] else "longitude"
            value = rows[file.columns.of_role[role]][row].as_py()
            self.examples[NOT_NUMBER] = repr(str(value)[:40])
        kept = self._drop(kept, odd, NOT_NUMBER)
        too_high, too_wide = np.abs(latitude) > 90, np.abs(longitude) > 180
        tally = self._tally
        tally.n_numbers += int(kept.sum())
        tally.n_swappable += int(
            (kept & too_high & (np.abs(latitude) <= 180) & (np.abs(longitude) <= 90)).sum()
        )
        tally.n_wide_longitudes += int((kept & (np.abs(longitude) > 90)).sum())
        out = kept & (too_high | too_wide)
        if out.any() and OUT_OF_RANGE not in self.examples:
            row = int(out.argmax())
            self.examples[OUT_OF_RANGE] = f"{latitude[row]:g}, {longitude[row]:g}"
        kept = self._drop(kept, out, OUT_OF_RANGE)
        if self.drop_zero:
            kept = self._drop(kept, (latitude == 0) & (longitude == 0), ZERO)
        return kept, latitude, longitude

    def _without_duplicates(
        self,
        texts: dict[str, pa.ChunkedArray],
        latitude: np.ndarray,
        longitude: np.ndarray,
        kept: np.ndarray,
    ) -> pa.Table:
        columns = {"id": texts["id"], "latitude": latitude, "longitude": longitude, **texts}
        table = pa.table(columns).filter(pa.array(kept))
        first = self._seen.first_time(table["id"])
        n_again = int((~first).sum())
        if n_again:
            self._count(DUPLICATE, n_again)
            if DUPLICATE not in self.examples:
                self.examples[DUPLICATE] = repr(table["id"][int((~first).argmax())].as_py())
            table = table.filter(pa.array(first))
        return table

    def _made_up_ids(
        self, texts: dict[str, pa.ChunkedArray], n_rows: int, first_row: int
    ) -> pa.ChunkedArray:
        """The path or the address where there is no id; else the number of the row."""
        for role in ("path", "url"):
            if role in texts:
                return texts[role]
        numbers = pa.array(np.arange(first_row, first_row + n_rows)).cast(pa.string())
        return pa.chunked_array([pc.binary_join_element_wise("row", numbers, "-")])

    def _codes(self, names: pa.ChunkedArray) -> pa.ChunkedArray:
        for name in pc.unique(names).to_pylist():
            if name is not None and name not in self._code_of_name:
                try:
                    self._code_of_name[name] = country_code(name)
                except GeolocError:
                    self._code_of_name[name] = None
                    self.examples.setdefault(UNKNOWN_COUNTRY, repr(name[:40]))
        known = list(self._code_of_name)
        codes = pa.array([self._code_of_name[name] for name in known], pa.string())
        return codes.take(pc.index_in(names, value_set=pa.array(known, pa.string())))


def _numbers(values: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers (n,), NaN where there are none; where the value is missing; where it is no number."""
    kind = values.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        # Unsafe: whole numbers above 2**53 are rounded rather than refused.
        rounded = values.cast(pa.float64(), safe=False).fill_null(np.nan)
        numbers = np.asarray(rounded, dtype=np.float64)
        return numbers, np.isnan(numbers), np.isinf(numbers)
    texts = as_text(values)
    missing = pc.is_null(texts)
    try:
        parsed = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        gap = pc.is_in(pc.utf8_lower(texts), value_set=pa.array(_NO_VALUE))
        missing = pc.or_(missing, gap)
        parsed = pc.if_else(pc.match_substring_regex(texts, _NUMBER), texts, None)
        parsed = parsed.cast(pa.float64())
    numbers = np.asarray(parsed.fill_null(np.nan), dtype=np.float64)
    is_missing = np.asarray(missing) | _is_nan_word(texts, numbers)
    return numbers, is_missing, ~np.isfinite(numbers) & ~is_missing


def _is_nan_word(texts: pa.ChunkedArray, numbers: np.ndarray) -> np.ndarray:
    """Where "NaN" was read as one: a missing value like "NA"."""
    nan: np.ndarray = np.isnan(numbers)
    if nan.any():
        nan &= np.asarray(pc.fill_null(pc.equal(pc.utf8_lower(texts), "nan"), False))
    return nan


def _flickr_urls(
    rows: pa.Table, file: MetadataFile, ids: pa.ChunkedArray | None
) -> dict[str, pa.ChunkedArray]:
    """Addresses of Flickr photos, from the columns of their server and secret."""
    preset = file.options.preset
    if preset is None or preset.flickr_url is None or ids is None or len(file.columns.helpers) < 2:
        return {}
    server, secret = (as_text(rows[name]) for name in file.columns.helpers[-2:])
    name = pc.binary_join_element_wise(ids, secret, "_")
    address = pc.binary_join_element_wise("https://live.staticflickr.com", server, name, "/")
    return {"url": pc.binary_join_element_wise(address, ".jpg", "")}
