"""Layouts of photo metadata that people have, and the columns of any other one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from geoloc_models._errors import GeolocError

ROLES = ("id", "latitude", "longitude", "url", "path", "user", "time", "group", "country")
"""What a column can stand for."""

# Compared without capitals, punctuation and spaces.
_USUAL_NAMES = {
    "id": (
        "id", "photoid", "imgid", "imageid", "photo", "key", "uuid", "flickrid", "identifier",
        "pictureid", "mediaid",
    ),
    "latitude": ("latitude", "lat", "gpslatitude", "photolatitude", "decimallatitude", "y"),
    "longitude": (
        "longitude", "lon", "lng", "long", "gpslongitude", "photolongitude", "decimallongitude",
        "x",
    ),
    "url": (
        "url", "downloadurl", "photourl", "imageurl", "imgurl", "thumboriginalurl", "urlo", "urll",
        "urlz", "urlm", "link",
    ),
    "path": ("path", "file", "filename", "imagepath", "imagefile", "img"),
    "user": (
        "user", "userid", "owner", "ownerid", "author", "usernsid", "nsid", "photographer",
        "creatorusername", "creatorid", "username",
    ),
    "time": (
        "time", "datetaken", "takendate", "capturedat", "timestamp", "datetime", "taken", "date",
    ),
    "group": ("group", "sequence", "sequenceid"),
}  # fmt: skip

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
    quotes : bool
        Whether double quotes enclose text.
    flickr_url : tuple of str
        Columns of a Flickr photo's server and secret, from which its address is made where there
        is no column of addresses.
    unwanted : tuple of str
        A column, a value and a reason: rows with that value are dropped.
    """

    title: str
    columns: Mapping[str, tuple[str, ...]]
    headers: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    header: str = "yes"
    delimiter: str | None = None
    quotes: bool = True
    flickr_url: tuple[str, str] | None = None
    unwanted: tuple[str, str, str] | None = None


PRESETS: dict[str, Preset] = {
    "wws": Preset(
        "World-Wide Scale Geotagged Image Dataset (MMSys 2014)",
        {
            role: _USUAL_NAMES[role]
            for role in ("id", "latitude", "longitude", "url", "user", "time")
        },
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
        quotes=False,
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
    "list of addresses",
    {"id": ("IMG_ID", "image_id", "photo_id", "id"), "url": ("url", "download_url")},
    headers={2: ("id", "url")},
    header="maybe",
)


def preset_named(name: str | None) -> Preset | None:
    """The preset of this name, None for None."""
    if name is None:
        return None
    plain = plain_name(name)
    found = {plain_name(key): preset for key, preset in PRESETS.items()}.get(plain)
    if found is None:
        raise GeolocError(f"There is no preset {name!r}. Use one of: {', '.join(PRESETS)}.")
    return found


@dataclass(frozen=True)
class Columns:
    """Columns of a file that are read: a name for each role that has one, and helpers.

    Parameters
    ----------
    of_role : dict
        Role to column.
    helpers : tuple of str
        Columns that are needed besides: those of a Flickr address and of unwanted rows.
    """

    of_role: Mapping[str, str]
    helpers: tuple[str, ...]

    @property
    def all(self) -> list[str]:
        """Every column that is read, once."""
        return list(dict.fromkeys([*self.of_role.values(), *self.helpers]))


def find_columns(
    names: list[str],
    chosen: Mapping[str, str],
    preset: Preset | None,
    where: str,
    needed: tuple[str, ...] = ("latitude", "longitude"),
) -> Columns:
    """Column of each role: the chosen one, else the preset's, else one with a usual name.

    Raises
    ------
    GeolocError
        If a chosen or a needed column is not there.
    """
    by_plain_name = {plain_name(name): name for name in reversed(names)}
    of_role: dict[str, str] = {}
    for role in ROLES:
        if role in chosen:
            if chosen[role] not in names:
                raise _missing({role: chosen[role]}, names, where)
            of_role[role] = chosen[role]
            continue
        usual = (preset.columns if preset is not None else _USUAL_NAMES).get(role, ())
        plain = next((plain_name(u) for u in usual if plain_name(u) in by_plain_name), None)
        if plain is not None:
            of_role[role] = by_plain_name[plain]
    missing = {role: role for role in needed if role not in of_role}
    if missing:
        raise _missing(missing, names, where)
    helpers: list[str] = []
    if preset is not None and preset.unwanted is not None and preset.unwanted[0] in names:
        helpers.append(preset.unwanted[0])
    if preset is not None and preset.flickr_url is not None and "url" not in of_role:
        there = [by_plain_name.get(plain_name(name)) for name in preset.flickr_url]
        helpers += [name for name in there if name is not None] if all(there) else []
    return Columns(of_role, tuple(helpers))


def plain_name(name: str) -> str:
    """Name without capitals, punctuation and spaces."""
    return re.sub(r"[\W_]+", "", name).casefold()


def _missing(wanted: Mapping[str, str], names: list[str], where: str) -> GeolocError:
    hints = []
    for role, name in wanted.items():
        close = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.6)
        if close:
            there = next(n for n in names if n.lower() == close[0])
            hints.append(f"--{role}-column {there}")
    listed = ", ".join(repr(name) for name in names[:20]) + (", ..." if len(names) > 20 else "")
    remedy = (
        f"Perhaps {' and '.join(hints)}?"
        if hints
        else "Say which columns to use ("
        + ", ".join(f"--{role}-column" for role in wanted)
        + "), or name a preset."
    )
    return GeolocError(
        f"{where} has no column {' or '.join(repr(name) for name in wanted.values())} "
        f"(columns there: {listed}). {remedy}"
    )
