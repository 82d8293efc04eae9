"""Small tables as they come from other programs, for every test that opens one.

Run as a script, it records what the commands make of them in ``awkward_tables.json``::

    PYTHONPATH=. python tests/awkward_tables.py
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

GOLDEN = Path(__file__).with_suffix(".json")

PLAIN = """id,latitude,longitude,url,user
007,59.3293,18.0686,http://e.org/1.jpg,ann
8,47.3769,8.5417,http://e.org/2.jpg,bob
9,48.8566,2.3522,http://e.org/3.jpg,ann
"""


def _frame() -> pd.DataFrame:
    frame = pd.read_csv(io.StringIO(PLAIN), dtype={"id": str})
    return frame.assign(country=["SE", "CH", "NA"])


def _parquet(table: pd.DataFrame | pa.Table) -> bytes:
    stream = io.BytesIO()
    if isinstance(table, pa.Table):
        pq.write_table(table, stream)
    else:
        table.to_parquet(stream)
    return stream.getvalue()


def _geo(crs: int, *, columns: bool) -> bytes:
    import geopandas as gpd

    frame = _frame()
    points = gpd.points_from_xy(frame["longitude"], frame["latitude"], crs=4326).to_crs(crs)
    kept = frame if columns else frame.drop(columns=["latitude", "longitude"])
    stream = io.BytesIO()
    gpd.GeoDataFrame(kept, geometry=points).to_parquet(stream)
    return stream.getvalue()


def _geojson() -> bytes:
    frame = _frame()
    features = [
        {
            "type": "Feature",
            "properties": {"id": row.id, "user": row.user},
            "geometry": {"type": "Point", "coordinates": [row.longitude, row.latitude]},
        }
        for row in frame.itertuples()
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("inner.csv", PLAIN)
    return stream.getvalue()


def _zst() -> bytes:
    stream = pa.BufferOutputStream()
    with pa.CompressedOutputStream(stream, "zstd") as packed:
        packed.write(PLAIN.encode())
    return stream.getvalue().to_pybytes()


def _invalid_text() -> bytes:
    offsets = pa.py_buffer(np.array([0, 1], dtype=np.int32))
    ids = pa.StringArray.from_buffers(1, offsets, pa.py_buffer(b"\xff"))
    return _parquet(pa.table({"id": ids, "latitude": [59.33], "longitude": [18.07]}))


def awkward_tables() -> dict[str, bytes]:
    """Content of each file, by its name."""
    frame = _frame()
    lines = PLAIN.splitlines(keepends=True)
    texts = {
        "plain.csv": PLAIN,
        "tabs.tsv": PLAIN.replace(",", "\t"),
        "tabs.txt": PLAIN.replace(",", "\t"),
        "byte_order_mark.csv": "\ufeff" + PLAIN.replace("id,latitude,", '"ID","Latitude ",'),
        "windows_ends.csv": PLAIN.replace("\n", "\r\n"),
        "blank_lines.csv": "\n".join([lines[0], lines[1], "", *lines[2:]]),
        "decimal_comma.csv": "latitude,longitude\n47,2666,8,7739\n46,6309,7,2768\n",
        "extra_value.csv": "id,latitude,longitude\np0,47.2666,8.7739,32\np1,46.6309,7.2768,20\n",
        "one_long_row.csv": PLAIN + "10,47.1,8.1,http://e.org/4.jpg,bob,more\n",
        "one_short_row.csv": PLAIN + "10,47.1,8.1\n",
        "title_with_comma.csv": "title,latitude,longitude\nBern, old,47.2666,8.7739\nX, y,46.6,7.2\n",
        "trailing_comma.csv": PLAIN.replace("ann\n", "ann,\n").replace("bob\n", "bob,\n"),
        "semicolons.csv": PLAIN.replace(",", ";"),
        "blank_id.csv": PLAIN.replace("\n8,", "\n,"),
        "repeated_id.csv": PLAIN.replace("\n8,", "\n007,"),
        "rounded_ids.csv": PLAIN.replace("\n8,", "\n5.37E+10,").replace("\n9,", "\n5.38E+10,"),
        "float_ids.csv": PLAIN.replace("\n007,", "\n12345678901.0,"),
        "mysql.tsv": "id\tlatitude\tlongitude\turl\tuser\n1\t47.1\t8.1\t\\N\t\\N\n"
        "2\t47.2\t8.2\thttp://e.org/2.jpg\tNULL\n\\N\t47.3\t8.3\tnan\tnan\n",
        "missing_latitude.csv": PLAIN + "10,,8.1,http://e.org/4.jpg,bob\n",
        "word_for_latitude.csv": PLAIN + "10,north,8.1,http://e.org/4.jpg,bob\n",
        "off_the_globe.csv": PLAIN + "10,95,8.1,http://e.org/4.jpg,bob\n",
        "swapped.csv": "id,latitude,longitude\n1,120.98,14.6\n2,151.2,-33.9\n3,139.7,35.7\n",
        "one_column.csv": 'id,coordinates\n1,"47.37, 8.54"\n2,"47.38, 8.55"\n',
        "repeated_names.csv": "id,lat,lon,lat,lon\n1,47.37,8.54,1,2\n",
        "two_pairs.csv": "id,lat,latitude,lon,longitude,x,y\n1,1,47.37,2,8.54,5,6\n",
        "two_spellings.csv": "id,lat,LAT,lon\n1,47.37,5,8.54\n",
        "projected_beside.csv": "id,latitude,longitude,x,y\n1,47.37,8.54,683000,247000\n",
        "spellings.csv": "gbifID,decimalLatitude,decimalLongitude\n1,47.37,8.54\n",
        "capitals.csv": "IMG_ID,LAT,LON\n1,47.37,8.54\n",
        "flickr.jsonl": '{"id": "53", "latitude": "47.3769", "longitude": "8.5417"}\n'
        '{"id": 54, "latitude": 47.37, "longitude": 8.54, "url_o": "http://e.org/54.jpg"}\n'
        '{"id": "55", "latitude": 47.2, "longitude": 8, "url_o": null, "owner": "ann"}\n',
        "array.json": '[{"id": 1, "latitude": 47.1, "longitude": 8.1}]',
        "half.jsonl": '{"id":1,"lat":59.3,"lon":18.1}\n{"id":2,"lat":59.3,"lo',
        "inat.csv": "id,url,image_url,latitude,longitude\n"
        "100,https://i.org/o/100,https://s.org/100.jpg,47.30,8.50\n",
        "unsplash.tsv": "photo_id\tphoto_url\tphoto_image_url\tlatitude\tlongitude\n"
        "g\thttps://u.com/p/g\thttps://images.u.com/g\t47.3\t8.5\n",
        "quotes_in_text.tsv": "gbifID\tlocality\tdecimalLatitude\tdecimalLongitude\n"
        '1\tplain\t50.88\t12.89\n2\t"BIG FLOCK\t50.88\t12.89\n3\t"a" b "c"\t50.88\t12.89\n',
        "empty_identifier.txt": "identifier\tgbifID\tdecimalLatitude\tdecimalLongitude\n"
        "\t5000\t47.1\t8.2\n\t5001\t47.1\t8.2\n",
        "line_break.csv": 'id,latitude,longitude,title\n1,47.1,8.1,"two\nlines, ""so"""\n'
        "2,47.2,8.2,one\n3,47.3,8.3,one\n",
        "open_quote.csv": PLAIN + '10,47.1,8.1,"http://e.org/4.jpg,bob\n11,47.2,8.2,u,bob\n',
        "no_header.csv": PLAIN.removeprefix(lines[0]),
        "header_alone.csv": lines[0],
        "empty.csv": "",
        "cut_off.csv": "id,latitude,longitude\n1,59.3293,18.0686\n2,59.3",
    }
    contents = {name: text.encode() for name, text in texts.items()}
    contents |= {
        "utf16.csv": PLAIN.encode("utf-16"),
        "latin1.csv": PLAIN.replace("ann", "Åsa").encode("latin-1"),
        "packed.csv.gz": gzip.compress(PLAIN.encode()),
        "packed.csv.zst": _zst(),
        "packed.csv.zip": _zip(),
        "damaged.csv.gz": gzip.compress(PLAIN.encode() * 50)[:-20],
        "plain.parquet": _parquet(frame),
        "indexed.parquet": _parquet(frame.set_index("id")),
        "latitude_in_index.parquet": _parquet(frame.set_index(["latitude", "country"])),
        "nullable.parquet": _parquet(
            frame.assign(id=[1, 2, 3]).astype({"id": "Int64", "latitude": "Float64"})
        ),
        "float_ids.parquet": _parquet(frame.assign(id=[12345678901.0, 2.0, 3.0])),
        "categories.parquet": _parquet(frame.astype({"country": "category", "user": "category"})),
        "repeated_names.parquet": _parquet(
            pa.Table.from_arrays([pa.array([8.0])] * 3, ["latitude", "longitude", "longitude"])
        ),
        "invalid_text.parquet": _invalid_text(),
        "damaged.parquet": _parquet(frame)[:-30],
        "columns_and_points.parquet": _geo(4326, columns=True),
        "points.parquet": _geo(3857, columns=False),
        "points.geojson": _geojson(),
    }
    return contents


def write_tables(folder: Path) -> list[Path]:
    """Write every table to a folder."""
    paths = []
    for name, content in awkward_tables().items():
        (folder / name).write_bytes(content)
        paths.append(folder / name)
    return paths


def report_of(path: Path, folder: Path) -> dict[str, Any]:
    """What ``select_photos``, ``read_photo_table`` and ``geocells build`` make of a table."""
    from geoloc_models.tables.photo_table import read_photo_table
    from geoloc_models.tables.select import select_photos

    report: dict[str, Any] = {}
    try:
        chosen = select_photos(path, folder / "out.parquet")
        report["select"] = {
            "read": chosen.n_read,
            "kept": chosen.n_kept,
            "dropped": chosen.dropped,
            "columns": list(chosen.columns),
        }
    except ValueError as error:
        report["select"] = str(error).replace(str(folder), "")
    try:
        frame = read_photo_table(path, images=False).frame
        report["read_photo_table"] = {"rows": len(frame), "columns": sorted(frame.columns)}
    except ValueError as error:
        report["read_photo_table"] = str(error).replace(str(folder), "")
    from command_line import run

    from geocells.cli import main

    options = ["--method", "top_down", "--min-images", "1", "-o", str(folder / "cells.parquet")]
    result = run(main, "build", str(path), *options)
    report["build"] = " ".join((result.stdout or result.stderr).split()).replace(f"{folder}/", "")
    return report


def _record() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "out").mkdir()
        golden = {path.name: report_of(path, folder) for path in write_tables(folder)}
    tables = [
        f"{json.dumps(name)}: {{\n "
        + ",\n ".join(
            f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in made.items()
        )
        + "\n}"
        for name, made in golden.items()
    ]
    GOLDEN.write_text("{\n" + ",\n".join(tables) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    _record()
