"""Which column of a table holds what: one list of names for each role."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence

from geocells.tables.rows import TableError

ROLE_NAMES: dict[str, tuple[str, ...]] = {
    "id": (
        "id", "photoid", "imgid", "imageid", "photo", "key", "uuid", "flickrid", "pictureid",
        "mediaid", "gbifid", "identifier",
    ),
    "latitude": (
        "latitude", "lat", "gpslatitude", "photolatitude", "decimallatitude",
        "photolocationlatitude", "y",
    ),
    "longitude": (
        "longitude", "lon", "lng", "long", "gpslongitude", "photolongitude", "decimallongitude",
        "photolocationlongitude", "x",
    ),
    "country": ("country", "countrycode", "countryiso", "photolocationcountry"),
    "url": (
        "imageurl", "photoimageurl", "imgurl", "downloadurl", "thumboriginalurl", "urlo", "urll",
        "urlz", "urlm", "url", "photourl", "link",
    ),
    "path": ("path", "file", "filename", "imagepath", "imagefile", "img", "image"),
    "user": (
        "user", "userid", "owner", "ownerid", "author", "usernsid", "nsid", "photographer",
        "creatorusername", "creatorid", "username", "photographerusername",
    ),
    "time": (
        "time", "datetaken", "takendate", "capturedat", "timestamp", "datetime", "taken", "date",
    ),
    "group": ("group", "sequence", "sequenceid"),
    "part": ("part",),
    "subset_rank": ("subsetrank",),
}  # fmt: skip
"""Names that a role's column may have, compared by :func:`plain_name`; the first one there is taken.

The address of the picture goes before that of the page that shows it.
"""

_PROJECTED = ("x", "y")
_BOTH_COORDINATES = (
    "coordinates", "coordinate", "coords", "latlon", "latlng", "latlong", "latitudelongitude",
    "lonlat", "gps", "location", "position", "geo", "point",
)  # fmt: skip
_LISTED = 20
_SHORT = 2  # letters, which many other names start with


def plain_name(name: str) -> str:
    """Name of a column without capitals, punctuation and spaces."""
    return re.sub(r"[\W_]+", "", name).casefold()


def candidates(
    names: Sequence[str], role: str, role_names: Mapping[str, Sequence[str]] = ROLE_NAMES
) -> list[str]:
    """Columns that may hold a role, the likeliest first."""
    plain_names = [plain_name(name) for name in names]
    usual = [plain_name(name) for name in role_names.get(role, ())]
    there = [
        name
        for each in dict.fromkeys(usual)
        for name, plain in zip(names, plain_names, strict=True)
        if plain == each
    ]
    exact = [name for name in there if plain_name(name) not in _PROJECTED]
    return exact or there


def find_columns(
    names: Sequence[str],
    wanted: Mapping[str, str | None],
    *,
    needed: Collection[str] = ("latitude", "longitude"),
    empty: Collection[str] = (),
    role_names: Mapping[str, Sequence[str]] = ROLE_NAMES,
    where: str = "the table",
) -> dict[str, str]:
    """Column of each role: the given one, or the first that has one of the role's usual names.

    Parameters
    ----------
    names : sequence of str
        Columns of the table.
    wanted : dict
        Role to its column, or to None for the usual names.
    needed : collection of str
        Roles that must have a column; those not wanted are ignored.
    empty : collection of str
        Columns without a value, not taken while another has one.
    role_names : dict
        Names that the column of each role may have.
    where : str
        What messages call the table.

    Returns
    -------
    columns : dict
        Role to column; roles without a column are left out.

    Raises
    ------
    TableError
        When a given or a needed column is missing, or two columns may hold a coordinate.

    Examples
    --------
    >>> find_columns(["gbifID", "decimalLatitude", "LON"], dict.fromkeys(["id", "latitude", "longitude"]))
    {'id': 'gbifID', 'latitude': 'decimalLatitude', 'longitude': 'LON'}
    """
    columns: dict[str, str] = {}
    missing: dict[str, str] = {}
    for role, given in wanted.items():
        if given is not None:
            if given in names:
                columns[role] = given
            else:
                missing[role] = given
            continue
        there = candidates(names, role, role_names)
        filled = [name for name in there if name not in empty] or there[:1]
        if role in ("latitude", "longitude") and len(filled) > 1:
            raise TableError(
                f"{where} has {len(filled)} columns that may hold the {role} ({_listed(filled)}). Name the right one "
                f"by --{role}-column."
            )
        if filled:
            columns[role] = filled[0]
        elif role in needed:
            missing[role] = role
    if missing:
        raise _missing(missing, names, where)
    return columns


def columns_note(columns: Mapping[str, str]) -> str:
    """Which column was taken for which role, as a sentence for the command line."""
    taken = [role if role == name else f"{role} from {name!r}" for role, name in columns.items()]
    return f"Columns: {', '.join(taken)}."


def check_names(names: Sequence[str], where: str) -> None:
    """Refuse a table that has two columns of one name."""
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise TableError(f"{where} has the column {repeated!r} twice. Rename one of them.")


def _missing(missing: Mapping[str, str], names: Sequence[str], where: str) -> TableError:
    both = next((name for name in names if plain_name(name) in _BOTH_COORDINATES), None)
    both = both if "latitude" in missing and "longitude" in missing else None
    remedies = []
    for role, name in missing.items():
        there = _like(name, role, names)
        if there is not None:
            remedies.append(f"--{role.replace('_', '-')}-column {there!r}")
    if both is not None:
        remedy = f"If {both!r} holds both coordinates, split it into two columns, latitude and longitude."
    elif remedies:
        remedy = f"Perhaps {' and '.join(remedies)}?"
    else:
        options = ", ".join(f"--{role.replace('_', '-')}-column" for role in missing)
        remedy = f"Name the right columns by {options}, or rename them."
    return TableError(
        f"{where} has no column {' or '.join(map(repr, missing.values()))} "
        f"(columns there: {_listed(names)}). {remedy}"
    )


def _like(name: str, role: str, names: Sequence[str]) -> str | None:
    """Column that may have been meant: spelt nearly so, or one of the role's names with more behind it."""
    of_plain = {plain_name(there): there for there in reversed(names)}
    alike = [plain for plain in of_plain if plain[:1] == plain_name(name)[:1]]  # no altitude
    close = difflib.get_close_matches(plain_name(name), alike, n=1, cutoff=0.75)
    usual = tuple(usual for usual in ROLE_NAMES.get(role, ()) if len(usual) > _SHORT)
    longer = [plain for plain in of_plain if plain.startswith(usual)]
    return of_plain[(close or longer)[0]] if close or longer else None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_LISTED]))
    return shown + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
