from __future__ import annotations

import json
from pathlib import Path

import duckdb
import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from partitions import assert_same_cells, consolidated
from strategies import (
    bottom_up_options,
    coordinates,
    groups_of,
    leftovers,
    methods,
    min_cell_sizes,
)

from geocells import (
    CellBuilder,
    CellHierarchy,
    CellPartition,
    ClusteredCells,
    LatLonGrid,
    RegionCells,
    load_cells,
)
from geocells.cells.io import SUFFIXES

COORDS = np.random.default_rng(0).normal((47.0, 8.0), 0.8, size=(400, 2))
QUARTERS = gpd.GeoDataFrame(
    geometry=[shapely.box(x, y, x + 4, y + 4) for x in (4, 8) for y in (43, 47)], crs=4326
)
GROUPS = np.where(COORDS[:, 1] < 8.0, "west", "east").astype(object)


def some_cells() -> CellPartition:
    return consolidated(20, min_cell_size=0.1).fit(COORDS, groups=GROUPS).cells_


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return some_cells().save(tmp_path / "cells.parquet")


# ---------------------------------------------------------------------------------------- round trip


@given(
    st.data(), coordinates(max_rows=60), methods() | bottom_up_options(), leftovers, min_cell_sizes
)
def test_what_is_loaded_equals_what_was_saved(
    tmp_path_factory, data, coords, options, leftover, min_cell_size
):
    groups = data.draw(st.none() | groups_of(len(coords)))
    outside = data.draw(st.sampled_from(["nearest", "noise"]))
    options = {**options, "leftover": leftover, "min_cell_size": min_cell_size, "outside": outside}
    cells = CellBuilder(**options).fit(coords, groups=groups).cells_
    loaded = load_cells(cells.save(tmp_path_factory.mktemp("cells") / "cells.parquet"))
    assert_same_cells(loaded, cells)
    assert loaded.parameters == cells.parameters
    elsewhere = data.draw(coordinates(max_rows=30))
    assert np.array_equal(loaded.assign(elsewhere), cells.assign(elsewhere))
    if outside == "noise" and groups is None:
        assert np.array_equal(loaded.assign(elsewhere), cells.assign(elsewhere, outside="noise"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("builder", "coords", "groups"),
    [
        (CellBuilder(20, min_cell_size=0.1), COORDS, GROUPS),
        (consolidated(20, grid="s2", location="medoid"), COORDS, None),
        (consolidated(3, grid="s2"), [(90, 0), (-90, 0), (0, 180), (0, -179)] * 3, None),
        (consolidated(1, grid=LatLonGrid(-90, -180, 90, 180, 31)), [(-90, 180), (90, 180)], None),
        (ClusteredCells(min_images=20), COORDS, GROUPS == "west"),
        (RegionCells(QUARTERS.assign(half=[1, 1, 2, 2]), 20, group="half"), COORDS, None),
    ],
)
def test_every_format_loads_the_same(tmp_path, suffix, builder, coords, groups):
    cells = builder.fit(coords, groups=groups).cells_
    path = cells.save(tmp_path / f"cells{suffix}")
    loaded = load_cells(path)
    for name in ("centroids", "locations", "counts", "levels"):
        assert np.array_equal(getattr(loaded, name), getattr(cells, name)), name
    for ours, theirs in zip(loaded.cell_index.arrays(), cells.cell_index.arrays(), strict=True):
        assert np.array_equal(ours, theirs)
    assert loaded.parameters == cells.parameters
    elsewhere = COORDS + 0.5
    assert np.array_equal(loaded.assign(elsewhere), cells.assign(elsewhere))
    drawn = gpd.read_parquet(path) if suffix == ".parquet" else gpd.read_file(path)
    drawn = drawn.reset_index().sort_values("cell")  # FlatGeobuf has an order of its own
    assert drawn.crs.equals(4326, ignore_axis_order=True)
    assert drawn["count"].tolist() == cells.counts.tolist()
    assert drawn.is_valid.all()
    # GeoJSON rounds at the fifteenth decimal, and other formats know MultiPolygons alone.
    differences = shapely.symmetric_difference(drawn.geometry.to_numpy(), cells.polygons())
    assert shapely.area(differences).max() < 1e-10


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("grid", ["latlon", "s2", "healpix"])
def test_the_spatial_extension_of_duckdb_reads_the_polygons(tmp_path, suffix, grid):
    database = duckdb.connect()
    try:
        database.load_extension("spatial")
    except duckdb.Error:
        pytest.skip("DuckDB's extension spatial is not installed, and tests fetch nothing.")
    cells = consolidated(20, grid=grid).fit(COORDS).cells_
    path = cells.save(tmp_path / f"cells{suffix}")
    source, column = ("read_parquet", "geometry") if suffix == ".parquet" else ("st_read", "geom")
    rows = database.sql(
        f"SELECT st_isvalid({column}), st_aswkb({column}) FROM {source}('{path}') ORDER BY cell"
    ).fetchall()
    assert all(is_valid for is_valid, _ in rows)
    drawn = np.array([shapely.from_wkb(bytes(wkb)) for _, wkb in rows])
    assert shapely.area(shapely.symmetric_difference(drawn, cells.polygons())).max() < 1e-10


def test_polygons_are_encoded_as_asked_for(tmp_path):
    cells = some_cells()
    path = cells.save(tmp_path / "cells.parquet", geometry_encoding="geoarrow")
    assert load_cells(path) == cells
    assert b'"encoding": "multipolygon"' in pq.read_schema(path).metadata[b"geo"]
    drawn = gpd.read_parquet(path).geometry.to_numpy()
    assert shapely.equals(drawn, cells.polygons()).all()
    for name, choices in (("cells.parquet", "'WKB', 'geoarrow'"), ("cells.gpkg", "'WKB'")):
        refused = f"geometry_encoding of a .* file must be one of {choices}; got 'arrow'"
        with pytest.raises(ValueError, match=refused):
            cells.save(tmp_path / name, geometry_encoding="arrow")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_holds_hierarchies(tmp_path, suffix):
    hierarchy = CellHierarchy([{"min_images": 40}, {"min_images": 20}]).fit(COORDS)
    loaded = CellHierarchy.load(hierarchy.save(tmp_path / f"cells{suffix}"))
    for ours, theirs in zip(loaded.partitions_, hierarchy.partitions_, strict=True):
        assert_same_cells(ours, theirs)
    with pytest.raises(ValueError, match=r"holds 2 partitions; read it with CellHierarchy.load"):
        load_cells(tmp_path / f"cells{suffix}")


def test_geojson_is_that_of_rfc_7946(tmp_path):
    written = json.loads(some_cells().save(tmp_path / "cells.geojson").read_text())
    assert "crs" not in written
    for feature in written["features"]:
        for part in shapely.get_parts(shapely.geometry.shape(feature["geometry"])):
            assert part.exterior.is_ccw
            assert not any(hole.is_ccw for hole in part.interiors)


@pytest.mark.parametrize("name", ["cells.json", "cells.shp", "cells", "cells.parquet.gz"])
def test_an_unknown_format_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"saved as .parquet, .geojson, .gpkg, .fgb; got 'cells"):
        some_cells().save(tmp_path / name)


@pytest.mark.parametrize("suffix", SUFFIXES[1:])
def test_a_layer_of_others_or_a_damaged_one_is_refused(tmp_path, suffix):
    path = tmp_path / f"cells{suffix}"
    some_cells().to_geodataframe().to_file(path)
    with pytest.raises(ValueError, match="holds no cells of geocells"):
        load_cells(path)
    some_cells().to_geodataframe().assign(geocells="1 [").to_file(path)
    with pytest.raises(ValueError, match="is damaged"):
        load_cells(path)
    path.write_bytes(b"cells")
    with pytest.raises(ValueError, match="not a readable file of polygons"):
        load_cells(path)


@pytest.mark.parametrize("group", ["CH", "Côte d'Ivoire", 7, 2.5, True, np.int64(4)])
def test_groups_of_any_kind_come_back(tmp_path, group):
    cells = consolidated(1).fit([(1, 1)], groups=[group]).cells_
    loaded = load_cells(cells.save(tmp_path / "cells.parquet"))
    assert loaded.groups.tolist() == [group]
    assert loaded.assign([(1, 1)], [group]).tolist() == [0]


def test_numpy_numbers_as_parameters_come_back(tmp_path):
    builder = consolidated(
        np.int64(1), min_cell_size=np.float32(0.5), grid=LatLonGrid(0, 0, 8, 8, np.int64(2))
    )
    loaded = load_cells(builder.fit([(1, 1)]).cells_.save(tmp_path / "cells.parquet"))
    assert loaded.parameters["min_images"] == 1
    assert loaded.grid.grids[0].max_level == 2


def test_a_group_without_cells_is_remembered(tmp_path):
    coords = np.concatenate([COORDS, [(0.0, 0.0)]])
    groups = [*GROUPS, "south"]
    cells = consolidated(20, leftover="noise").fit(coords, groups=groups).cells_
    assert "south" not in cells.groups
    loaded = load_cells(cells.save(tmp_path / "cells.parquet"))
    assert_same_cells(loaded, cells)
    assert loaded.parameters == cells.parameters
    assert loaded.assign([(0.0, 0.0)], ["south"], outside="noise").tolist() == [-1]


def test_saving_the_same_cells_twice_gives_the_same_bytes(tmp_path):
    first, second = tmp_path / "first.parquet", tmp_path / "new" / "second.parquet"
    assert some_cells().save(first) == some_cells().save(str(first)) == first
    assert some_cells().save(second).read_bytes() == first.read_bytes()
    assert load_cells(str(second)) == some_cells()


# --------------------------------------------------------------------------------------- GeoParquet


def test_no_pickle_is_in_the_file(saved):
    metadata = pq.read_schema(saved).metadata
    assert json.loads(metadata[b"geocells"])["format_version"] == 1
    assert not any(b"pickle" in key.lower() for key in metadata)


def test_a_file_has_the_names_that_version_0_1_wrote(tmp_path):
    cells = some_cells()
    assert len(cells.medoids) == cells.n_cells
    saved = cells.save(tmp_path / "cells.parquet")
    schema = pq.read_schema(saved)
    metadata = json.loads(schema.metadata[b"geocells"])
    assert set(metadata) == {
        "format_version", "territory", "grids", "group_names", "outside", "parameters",
    }  # fmt: skip
    assert metadata["territory"] == "code_ranges"
    assert schema.names == [
        "count", "level", "group", "latitude", "longitude", "centroid_latitude", "centroid_longitude", "geometry",
        "medoid_latitude", "medoid_longitude", "mode_latitude", "mode_longitude", "cell", "code_start", "code_stop",
    ]  # fmt: skip


def test_the_old_name_of_rank_by_is_read(saved):
    parameters = {"method": "bottom_up", "score": "wcss"}
    loaded = load_cells(rewritten(saved, {"parameters": parameters}))
    assert loaded.parameters == {"method": "bottom_up", "rank_by": "wcss"}


def test_the_table_of_cells_has_the_documented_columns():
    table = some_cells().to_geodataframe()
    assert list(table.columns) == [
        "count", "level", "group", "latitude", "longitude", "centroid_latitude", "centroid_longitude", "geometry",
    ]  # fmt: skip
    assert table.index.name == "cell"
    assert table.index.tolist() == list(range(len(table)))
    ungrouped = consolidated(20).fit(COORDS).cells_.to_geodataframe()
    assert "group" not in ungrouped.columns


# ------------------------------------------------------------------------------------------- damage


def rewritten(
    path: Path, metadata: dict[str, object] | None = None, **columns: pa.Array | None
) -> Path:
    """The file with some of its metadata or columns changed (None: left out)."""
    table = pq.read_table(path)
    for name, column in columns.items():
        place = table.schema.get_field_index(name)
        table = (
            table.remove_column(place) if column is None else table.set_column(place, name, column)
        )
    stored = dict(table.schema.metadata)
    if metadata is not None:
        values = {**json.loads(stored[b"geocells"]), **metadata}
        kept = {key: value for key, value in values.items() if value != "left out"}
        stored[b"geocells"] = json.dumps(kept).encode()
    pq.write_table(table.replace_schema_metadata(stored), path)
    return path


@pytest.mark.parametrize(
    "damaged",
    [
        b"", b"PAR1", b"not parquet at all", b"\0" * 1000, b"PAR1" * 50,
        # The first so many bytes of a sound file.
        0.1, 0.5, 0.9, 0.99, 0.9999,
    ],
)  # fmt: skip
def test_a_file_that_is_not_parquet_or_is_cut_short_is_refused(saved, damaged):
    content = saved.read_bytes()
    if isinstance(damaged, float):
        damaged = content[: int(len(content) * damaged)]
    saved.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"cells\.parquet cannot be read as Parquet"):
        load_cells(saved)


def test_what_is_no_file_of_cells_is_refused(tmp_path):
    path = tmp_path / "other.parquet"
    with pytest.raises(FileNotFoundError, match=r"no file .*other\.parquet"):
        load_cells(path)
    with pytest.raises(ValueError, match=r"cannot be read as Parquet|holds no cells"):
        load_cells(tmp_path)
    photos = tmp_path / "photos.csv"
    photos.write_text("lat,lon\n47,8\n")
    with pytest.raises(ValueError, match=r"photos\.csv holds no cells, which are read from .parq"):
        load_cells(photos)
    gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(0, 0)], crs=4326).to_parquet(path)
    none = r"other\.parquet holds no cells of geocells.*CellPartition\.save"
    with pytest.raises(ValueError, match=none):
        load_cells(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"format_version": "left out"},
        {"grids": "left out"},
        {"group_names": "left out"},
        {"outside": "left out"},
        {"parameters": "left out"},
        {"format_version": 99},
        {"format_version": None},
        {"grids": []},
        {"grids": None},
        {"grids": ["latlon", "latlon"]},
        {"grids": [{"type": "hexagons"}]},
        {"grids": [{"type": "latlon"}]},
        {"grids": [{"type": "latlon", "bounds": [0, 0, 8], "max_level": 3}]},
        {"grids": [{"type": "latlon", "bounds": [8, 0, 0, 8], "max_level": 3}]},
        {"grids": [{"type": "latlon", "bounds": [0, 0, 8, 8], "max_level": "deep"}]},
        {"grids": [{"type": "latlon", "bounds": [0, 0, 8, 8], "max_level": 0}] * 2},
        {"group_names": ["west"]},
        {"group_names": ["a", "b"]},
        {"group_names": 5},
        {"group_names": ["west", "east", "west"]},
        {"outside": "somewhere"},
        {"parameters": [1, 2]},
        {"parameters": {"method": "<img src=x onerror=alert(1)>"}},
        {"parameters": {"method": "\x1b[2Jcells"}},
        {"parameters": {"method": 5}},
        {"parameters": {"min_images": "many"}},
        {"parameters": {"min_images": True}},
        {"parameters": {"min_images": 0}},
        {"grids": [{"type": "healpix", "max_level": 30}]},
    ],
)
def test_a_file_with_unsound_metadata_is_refused(saved, metadata):
    missing = next((key for key, value in metadata.items() if value == "left out"), "")
    with pytest.raises(ValueError, match=f"damaged or from another version: .*{missing}"):
        load_cells(rewritten(saved, metadata))


def test_metadata_nested_without_end_are_refused(saved):
    table = pq.read_table(saved)
    nested = {**table.schema.metadata, b"geocells": b'{"format_version":' + b"[" * 100_000}
    pq.write_table(table.replace_schema_metadata(nested), saved)
    with pytest.raises(ValueError, match="damaged or from another version"):
        load_cells(saved)


@pytest.mark.parametrize(
    "name",
    ["count", "level", "group", "latitude", "longitude", "centroid_latitude", "centroid_longitude",
     "code_start", "code_stop"],
)  # fmt: skip
def test_a_file_without_one_of_its_columns_is_refused(saved, name):
    with pytest.raises(ValueError, match="damaged or from another version"):
        load_cells(rewritten(saved, **{name: None}))


LISTS = pa.list_(pa.uint64())
DAMAGES = {
    "a count is missing": ("count", lambda values: [None, *values[1:]], pa.int64(), ""),
    "a count is negative": ("count", lambda values: [-5, *values[1:]], pa.int64(), ""),
    "a level is missing": ("level", lambda values: [None, *values[1:]], pa.int64(), ""),
    "a latitude is missing": ("latitude", lambda values: [None, *values[1:]], pa.float64(), ""),
    "a latitude is NaN": ("centroid_latitude", lambda values: [float("nan"), *values[1:]], pa.float64(), ""),
    "a latitude is 95": ("latitude", lambda values: [95.0, *values[1:]], pa.float64(), ""),
    "a longitude is 200": ("centroid_longitude", lambda values: [200.0, *values[1:]], pa.float64(), ""),
    "latitudes are words": ("latitude", lambda values: ["x"] * len(values), pa.string(), ""),
    "a group is unknown": ("group", lambda values: ["north", *values[1:]], pa.string(), ""),
    "ranges have starts without stops": (
        "code_stop", lambda values: [values[0][:-1], *values[1:]], LISTS, "starts without stops",
    ),
    "a range is empty": (
        "code_stop", lambda values: [[0] * len(values[0]), *values[1:]], LISTS, "overlap or are empty",
    ),
    "ranges overlap": (
        "code_start", lambda values: [values[0], values[0][:1], *values[2:]], LISTS, "overlap or are empty",
    ),
    "ranges run off the grid": (
        "code_stop", lambda values: [*values[:-1], [*values[-1][:-1], 2 * values[-1][-1]]], LISTS, "run off its grid",
    ),
    "ranges are missing": ("code_start", lambda values: [None, *values[1:]], LISTS, "has missing codes"),
    "ranges are numbers": ("code_start", lambda values: [1] * len(values), pa.int64(), "not lists of codes"),
    "a cell has no range": ("both", lambda values: [[], *values[1:]], LISTS, "its cell 0 has no code ranges"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_with_unsound_columns_is_refused(saved, damage):
    name, change, kind, reason = DAMAGES[damage]
    names = ("code_start", "code_stop") if name == "both" else (name,)
    table = pq.read_table(saved)
    columns = {each: pa.array(change(table[each].to_pylist()), type=kind) for each in names}
    with pytest.raises(ValueError, match=f"damaged or from another version.*{reason}"):
        load_cells(rewritten(saved, **columns))


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_cells().save(tmp_path_factory.mktemp("whole") / "cells.parquet")


@given(seed=st.integers(0, 2**32 - 1), n_flips=st.integers(1, 5))
def test_a_file_with_flipped_bytes_is_refused_or_whole(saved_once, seed, n_flips):
    path = saved_once
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(content), size=n_flips):
        content[place] ^= int(rng.integers(1, 256))
    broken = path.with_name(f"broken-{seed}.parquet")
    broken.write_bytes(content)
    try:
        cells = load_cells(broken)
    except ValueError as error:
        message = str(error)
        cells = None
    if cells is None:
        assert broken.name in message
        return
    labels = cells.assign(COORDS)
    assert ((labels >= -1) & (labels < cells.n_cells)).all()
