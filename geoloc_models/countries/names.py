"""The ISO code of a country given by code or by name."""

from __future__ import annotations

import difflib
import re
import unicodedata
from functools import lru_cache

from geocells.tables import read_parquet
from geocells.web_map import COUNTRIES_FILE
from geoloc_models.errors import GeolocError


def country_code(name_or_code: str) -> str:
    """ISO 3166-1 alpha-2 code of a country given by code or by name.

    Parameters
    ----------
    name_or_code : str
        Two- or three-letter code, or name (English, formal English, German, French, Italian,
        Spanish or Swedish); capitals, accents and punctuation do not matter.

    Raises
    ------
    GeolocError
        If no country has that name; the message names close matches.

    Examples
    --------
    >>> country_code("sweden"), country_code("CHE"), country_code("Côte d'Ivoire")
    ('SE', 'CH', 'CI')
    """
    code_of_name, english_name = _names()
    text = str(name_or_code).strip()
    plain = _plain(text)
    if plain in code_of_name:
        return code_of_name[plain]
    close = difflib.get_close_matches(plain, list(code_of_name), n=8, cutoff=0.7)
    codes = list(dict.fromkeys(code_of_name[match] for match in close))[:3]
    hint = "Use an ISO 3166-1 two-letter code such as SE, or an English name."
    if codes:
        hint = f"Did you mean {' or '.join(f'{english_name[c]} ({c})' for c in codes)}?"
    raise GeolocError(f"Unknown country {text!r}. {hint}")


def alpha_2(code: str) -> str:
    """Alpha-2 code of a two- or three-letter code; any other text as it is."""
    text = code.strip().upper()
    if text in ("XKO", "XKX", "KOS"):  # three letters that sources use for Kosovo
        return "XK"
    known = _names()[0].get(_plain(text))
    return known if known is not None and len(text) in (2, 3) else code.strip()


def country_name(code: str) -> str:
    """English name of a country by its two-letter code; any other text as it is."""
    return _names()[1].get(code, code)


@lru_cache(maxsize=1)
def _names() -> tuple[dict[str, str], dict[str, str]]:
    """Code of every plain name that belongs to one country only; English name of every code."""
    table = read_parquet(COUNTRIES_FILE, ["code", "name", "aliases"]).to_pydict()
    english_name: dict[str, str] = dict(zip(table["code"], table["name"], strict=True))
    owners: dict[str, set[str]] = {}
    for (code, name), aliases in zip(english_name.items(), table["aliases"], strict=True):
        for alias in (name, *aliases.split("|")):
            owners.setdefault(_plain(alias), set()).add(code)
    code_of_name = {name: min(codes) for name, codes in owners.items() if len(codes) == 1}
    # A country's own name, and before it the code, outweigh another's alias.
    code_of_name.update({_plain(name): code for code, name in english_name.items()})
    code_of_name.update({_plain(code): code for code in english_name})
    return code_of_name, english_name


def _plain(name: str) -> str:
    """Name without accents, capitals, punctuation and a leading "the"."""
    letters = unicodedata.normalize("NFKD", name.replace("&", " and ")).casefold()
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", " ", letters).strip().removeprefix("the ")
