"""Addresses of photos by their ids, from a table beside the metadata."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from geoloc_models._errors import GeolocError
from geoloc_models.tables.hashing import hash_texts, stream_start

_START = stream_start("metadata/url", 0)


@dataclass(frozen=True)
class UrlList:
    """Sorted hashes of ids, and the address of each.

    Parameters
    ----------
    hashes : ndarray (n,) uint64
        Sorted, without repetitions.
    addresses : LargeStringArray (n,)
        Of the ids with these hashes; of repeated ids the first one's.
    """

    hashes: np.ndarray
    addresses: pa.Array

    @classmethod
    def of(
        cls, ids: list[pa.ChunkedArray], addresses: list[pa.ChunkedArray], where: str
    ) -> UrlList:
        """List from ids and addresses in pieces, none of them missing."""
        if not sum(len(piece) for piece in ids):
            raise GeolocError(f"{where} has no row with an id and an address.")
        hashes = np.concatenate([hash_texts(piece.combine_chunks(), _START) for piece in ids])
        joined = pa.concat_arrays(
            [piece.cast(pa.large_string()).combine_chunks() for piece in addresses]
        )
        distinct, first = np.unique(hashes, return_index=True)
        return cls(distinct, joined.take(pa.array(first)))

    def join(self, rows: pa.Table) -> pa.Table:
        """Rows with the column ``url``: the address of their id, or what was there before."""
        hashes = hash_texts(rows["id"].combine_chunks(), _START)
        place = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        known = self.hashes[place] == hashes
        urls = self.addresses.take(pa.array(place, mask=~known)).cast(pa.string())
        if "url" in rows.column_names:
            urls = pc.coalesce(urls, rows["url"])
            return rows.set_column(rows.column_names.index("url"), "url", urls)
        return rows.append_column("url", urls)
