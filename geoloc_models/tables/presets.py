"""Layouts of photo metadata that people have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from geocells.tables import ROLE_NAMES, TableFile, open_table, plain_name
from geoloc_models.errors import GeolocError

ROLES = ("id", "latitude", "longitude", "url", "path", "user", "time", "group", "country")
"""What a column of metadata can stand for."""

_YFCC_COLUMNS = (
    "photo_id", "user_nsid", "user_nickname", "date_taken", "date_uploaded", "capture_device",
    "title", "description", "user_tags", "machine_tags", "longitude", "latitude", "accuracy",
    "page_url", "download_url", "license_name", "license_url", "server_id", "farm_id", "secret",
    "secret_original", "extension", "marker",
)  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """Layout of a known data set.

    Parameters
    ----------
    title : str
        The data set's name.
    columns : dict
        Role to the names that its column may have; the first one that is there is taken. A role
        that is not named has no column, whatever the names in the file.
    headers : dict
        Number of columns to their names, for files without a header line.
    header : {"yes", "no", "maybe"}
        Whether there is a header line; "maybe": where the first line holds a column's name.
    delimiter : str, optional
        Between the columns; by default what the file's ending says.
    quoting : bool
        Whether double quotes enclose text.
    flickr_url : tuple of str
        Columns of a Flickr photo's server and secret, from which its address is made where there
        is no column of addresses.
    unwanted : tuple of str
        A column, a value and a reason: rows with that value are dropped.
    """

    title: str
    columns: Mapping[str, Sequence[str]]
    headers: Mapping[int, Sequence[str]] = field(default_factory=dict)
    header: str = "yes"
    delimiter: str | None = None
    quoting: bool = True
    flickr_url: tuple[str, str] | None = None
    unwanted: tuple[str, str, str] | None = None

    def open(
        self,
        path: Path,
        *,
        header: bool | None = None,
        delimiter: str | None = None,
        quoting: bool = True,
        encoding: str | None = None,
    ) -> TableFile:
        """Open a file that is laid out like this; what the caller says goes before the preset."""

        def names_of(fields: list[str]) -> Sequence[str] | None:
            known = {plain_name(name) for names in self.columns.values() for name in names}
            if self.header == "maybe" and known & {plain_name(name) for name in fields}:
                return None
            if len(fields) not in self.headers:
                raise GeolocError(
                    f"{path.name} has {len(fields)} columns; {self.title} has "
                    f"{' or '.join(map(str, self.headers))}. Check the preset."
                )
            return self.headers[len(fields)]

        return open_table(
            path,
            header=(True if self.header == "yes" else names_of) if header is None else header,
            delimiter=delimiter or self.delimiter,
            quoting=quoting and self.quoting,
            encoding=encoding,
        )


ANY = Preset("any table", {role: ROLE_NAMES[role] for role in ROLES if role != "country"})
"""A table whose columns have usual names."""

PRESETS: dict[str, Preset] = {
    "wws": Preset(
        "World-Wide Scale Geotagged Image Dataset (MMSys 2014)",
        {role: ROLE_NAMES[role] for role in ("id", "latitude", "longitude", "url", "user", "time")},
        flickr_url=("server", "secret"),
    ),
    "yfcc100m": Preset(
        "YFCC100M",
        {
            "id": ("photo_id",),
            "latitude": ("latitude",),
            "longitude": ("longitude",),
            "url": ("download_url",),
            "user": ("user_nsid",),
            "time": ("date_taken",),
        },
        headers={
            23: _YFCC_COLUMNS,
            25: ("line", "photo_id", "hash", *_YFCC_COLUMNS[1:]),
        },
        header="no",
        delimiter="\t",
        quoting=False,
        unwanted=("marker", "1", "a video, not a photo"),
    ),
    "mp16": Preset(
        "MediaEval Placing 2016 (MP-16)",
        {
            "id": ("IMG_ID", "image_id", "id"),
            "latitude": ("LAT", "latitude"),
            "longitude": ("LON", "longitude"),
            "url": ("url",),
            "path": ("IMG_ID", "image_id", "id"),
            "user": ("AUTHOR", "user", "author"),
        },
    ),
    "im2gps3k": Preset(
        "Im2GPS, Im2GPS3k, YFCC4k and the like",
        {
            "id": ("IMG_ID", "image_id", "id"),
            "latitude": ("LAT", "latitude"),
            "longitude": ("LON", "longitude"),
            "path": ("IMG_ID", "image_id", "id"),
            "user": ("AUTHOR", "author", "OwnerNSID"),
        },
    ),
    "osv5m": Preset(
        "OpenStreetView-5M",
        {
            "id": ("id",),
            "latitude": ("latitude",),
            "longitude": ("longitude",),
            "url": ("thumb_original_url",),
            "user": ("creator_username", "creator_id"),
            "time": ("captured_at",),
            "group": ("sequence",),
        },
    ),
}

URL_LIST = Preset(
    "A list of addresses",
    {"id": ("IMG_ID", "image_id", "photo_id", "id"), "url": ("url", "download_url")},
    headers={2: ("id", "url")},
    header="maybe",
)


def preset_named(name: str | None) -> Preset:
    """The preset of this name, that of any table for None."""
    if name is None:
        return ANY
    named = {plain_name(key): preset for key, preset in PRESETS.items()}.get(plain_name(name))
    if named is None:
        raise GeolocError(f"There is no preset {name!r}. Use one of: {', '.join(PRESETS)}.")
    return named
