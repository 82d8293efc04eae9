"""Where photos to train on come from: a table, or the demo's places; with cached features."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from geoloc_models.errors import GeolocError

if TYPE_CHECKING:
    from PIL import Image

    from geoloc_models.models.options import TrainingOptions
    from geoloc_models.photos.satellite import SatelliteCrops
    from geoloc_models.training.photos import PhotoSource

DEMO_CROP_KM = 150.0
DEMO_CROP_PIXELS = 64


@dataclass(frozen=True)
class TableOptions:
    """Columns, features and subset of a table of photos.

    Parameters
    ----------
    path_column : str, optional
        Column of image files. Default: a usual name, such as path or file.
    latitude_column : str, optional
        Column of latitudes, in degrees. Default: a usual name, such as latitude or lat.
    longitude_column : str, optional
        Column of longitudes, in degrees. Default: a usual name.
    country_column : str, optional
        Column of countries, by name or ISO code. Default: country if there is one, else by the
        coordinates.
    group_column : str, optional
        Column of groups, such as photographers: none is split between training and the rest.
        Default: group, if there is one.
    quoting : bool
        Whether double quotes enclose text. In files such as GBIF's they are plain characters.
    root : Path, optional
        Folder that relative image paths start from. Default: the table's own.
    features : Path, optional
        Cache of `geoloc embed`, in place of the images: a head trains in seconds or minutes.
    subset : int, optional
        Number of training photos, by the column subset_rank. Default: all.

    Examples
    --------
    >>> from pathlib import Path
    >>> from geoloc_models.training import TableOptions, table_source
    >>> options = TableOptions(features=Path("features.npy"), subset=20)
    >>> table_source("split.parquet", options).features.dim
    128
    """

    path_column: str | None = None
    latitude_column: str | None = None
    longitude_column: str | None = None
    country_column: str | None = None
    group_column: str | None = None
    quoting: bool = True
    root: Path | None = None
    features: Path | None = None
    subset: int | None = None


def table_source(
    path: str | Path,
    options: TableOptions | None = None,
    *,
    image_size: int | None = None,
    run_dir: str | Path | None = None,
) -> PhotoSource:
    """Photos of a table.

    Parameters
    ----------
    path : path
        CSV, TSV, JSON lines or Parquet.
    options : TableOptions, optional
        Its columns, cached features and training subset.
    image_size : int, optional
        Side that the images are needed at, in pixels: JPEG files are decoded no larger than that.
    run_dir : path, optional
        Run folder that the source is for: its origin names files relative to it.

    Raises
    ------
    GeolocError
        If the table or the features cannot be read, or the subset is larger than the table's.

    Examples
    --------
    >>> from geoloc_models.training import table_source
    >>> table_source("photos.csv").images.load(0).size
    (24, 24)
    """
    import numpy as np

    from geoloc_models.features.cache import FeatureCache
    from geoloc_models.photos.images import FileImages
    from geoloc_models.tables.parts import split_of_table, subset_rows
    from geoloc_models.tables.photo_table import read_photo_table
    from geoloc_models.training.photos import PhotoSource

    options = options or TableOptions()
    path = Path(path).resolve()  # so that photos have the same keys as in geoloc embed
    columns = asdict(options)
    if options.root is not None:
        columns["root"] = options.root.resolve()
    features, subset = columns.pop("features"), columns.pop("subset")
    photos = read_photo_table(path, **columns)
    if subset is not None:
        split = split_of_table(photos)
        rows = [subset_rows(photos, subset), split.validation, split.test]
        photos = photos.take(np.sort(np.concatenate(rows)))
    origin = {"kind": "table", "path": path, **asdict(options)}
    for name in ("path", "root", "features"):
        if origin[name] is not None:
            origin[name] = _relative(origin[name], run_dir)
    images = FileImages(photos.frame["path"].to_numpy(), min_side=image_size)
    cache = None if features is None else FeatureCache.open(features)
    return PhotoSource(photos, images, origin, cache, str(columns["root"] or path.parent))


def demo_source(
    region: Literal["sweden-switzerland", "world"] = "sweden-switzerland", *, seed: int = 0
) -> PhotoSource:
    """The demo's places, with satellite crops 150 km wide that stand in for photos.

    Examples
    --------
    >>> from geoloc_models.training import demo_source
    >>> demo_source().table.n_rows
    2018
    """
    from geoloc_models.photos.satellite import SatelliteCrops
    from geoloc_models.tables import demo
    from geoloc_models.training.photos import PhotoSource

    table = demo.demo_places(region, seed=seed)
    crops = SatelliteCrops(table.coords, width_km=DEMO_CROP_KM, size=DEMO_CROP_PIXELS)
    return PhotoSource(table, _StoredCrops(crops), {"kind": "demo", "region": region, "seed": seed})


def with_features(
    source: PhotoSource, options: TrainingOptions, path: str | Path, *, progress: bool = True
) -> PhotoSource:
    """Add the features of a frozen encoder to a source, computed once.

    Parameters
    ----------
    source : PhotoSource
        Photos without features.
    options : TrainingOptions
        Of the encoder.
    path : path
        The feature cache; what is there already is kept.
    progress : bool, default True
        Show a progress bar.

    Examples
    --------
    >>> from geoloc_models.models import TrainingOptions
    >>> from geoloc_models.training import table_source, with_features
    >>> options = TrainingOptions(encoder="tiny", weights="tiny.safetensors", image_size=32)
    >>> with_features(table_source("photos.csv"), options, "own.npy", progress=False).features.dim
    128
    """
    from geoloc_models.features.cache import row_keys
    from geoloc_models.features.embed_options import EmbedOptions
    from geoloc_models.features.embedding import embed

    record = embed(
        source.images,
        row_keys(source.table),
        options.build_encoder(),
        path,
        EmbedOptions(workers=options.workers),
        progress=progress,
    )
    return replace(source, features=record.cache)


def source_of_run(run_dir: str | Path) -> PhotoSource:
    """Photos of a run, from what its options.json says about them.

    Raises
    ------
    GeolocError
        If that is garbled, or the table or the features are gone.
    """
    from geoloc_models.training.run_folder import run_options

    origin = dict(run_options(run_dir)["source"])
    kind = origin.pop("kind", None)
    try:
        if kind == "demo":
            return demo_source(origin["region"], seed=origin["seed"])
        if kind == "table":
            for name in ("path", "root", "features"):
                if origin[name] is not None:
                    origin[name] = Path(run_dir) / origin[name]
            known = {field.name for field in fields(TableOptions)}
            options = {name: value for name, value in origin.items() if name in known}
            return table_source(origin["path"], TableOptions(**options), run_dir=run_dir)
    except (KeyError, TypeError) as error:
        raise GeolocError(f"The run's options.json has a damaged source: {error}.") from error
    raise GeolocError(
        f"The run's photos are of the unknown kind {kind!r}; name a table of test photos by "
        "--table."
    )


def _relative(path: str | Path, run_dir: str | Path | None) -> str:
    if run_dir is None:
        return str(Path(path).resolve())
    return Path(os.path.relpath(Path(path).resolve(), Path(run_dir).resolve())).as_posix()


class _StoredCrops:
    """Crops kept in memory once they have been cut; 64 x 64 pixels are 12 kB each."""

    def __init__(self, crops: SatelliteCrops) -> None:
        self._crops = crops
        self._stored: dict[int, Image.Image] = {}

    def __len__(self) -> int:
        return len(self._crops)

    def load(self, row: int) -> Image.Image:
        """Image of a row."""
        if row not in self._stored:
            self._stored[row] = self._crops.load(row)
        return self._stored[row]

    def describe(self, row: int) -> str:
        """Name of a row's image."""
        return self._crops.describe(row)
