"""The ``geocells`` command: build, assign, report, map."""

from __future__ import annotations

import functools
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from geocells._errors import GeocellsWarning

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from geocells import CellPartition

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

BAD_INPUT = 2
INTERRUPTED = 130
ROWS_AT_A_TIME = 1_000_000
TABLES = (".parquet", ".csv", ".csv.gz", ".geojson")
MISSING = ("", "NaN", "nan", "NULL", "null", "N/A", "n/a")
"""What a CSV file writes where it has no value; not NA, the country code of Namibia."""
MAPS = (".png", ".pdf", ".svg", ".html")

app = typer.Typer(
    name="geocells",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Partition the earth into cells that hold enough photos for a classifier to learn.",
)


def _one_sentence_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Bad input ends with one sentence and exit code 2, an interruption with 130."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", GeocellsWarning)
                warnings.showwarning = _say_warning
                return command(*args, **kwargs)
        except KeyboardInterrupt:
            typer.echo("\nInterrupted; nothing is half-written.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
            logger.debug("bad input", exc_info=True)
            reason = " ".join(str(error).split()) or type(error).__name__
            typer.echo(f"Error: {reason}", err=True)
            raise typer.Exit(BAD_INPUT) from None

    return wrapped


def _say_warning(message: Any, *_: Any, **__: Any) -> None:
    typer.echo(f"Note: {message}", err=True)


@app.callback()
def _settings(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log what happens, tracebacks of errors included.")
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(levelname)s: %(message)s"
    )
    for name in ("matplotlib", "PIL", "numba", "fsspec", "pyogrio"):
        logging.getLogger(name).setLevel(logging.WARNING)


_TABLE = "The table of photos"
_CELLS = "How cells are made"

Photos = Annotated[
    Path,
    typer.Argument(
        help="CSV (.csv, .csv.gz) or Parquet: a row per photo, with its latitude and longitude."
    ),
]
PhotosOrDataset = Annotated[
    str,
    typer.Argument(
        help="CSV (.csv, .csv.gz) or Parquet: a row per photo, with its latitude and longitude. "
        "With --dask: a Parquet dataset, by its folder, glob or URL (s3://bucket/photos/*.parquet)."
    ),
]
_CLUSTER = "More photos than one machine holds"
DaskScheduler = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="[SCHEDULER_ADDRESS|local]",
        help="Work on a Dask cluster (tcp://host:8786), or with worker processes of this machine.",
        rich_help_panel=_CLUSTER,
        show_default="in this process",
    ),
]
CellFile = Annotated[Path, typer.Argument(help="Cells (.parquet) that `geocells build` wrote.")]
LatitudeColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of latitudes, in degrees.",
        rich_help_panel=_TABLE,
        show_default="latitude, lat or y",
    ),
]
LongitudeColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of longitudes, in degrees.",
        rich_help_panel=_TABLE,
        show_default="longitude, lon, lng, long or x",
    ),
]
GroupColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of groups, such as countries.", rich_help_panel=_TABLE, show_default="none"
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(
        help="Image features, one row per photo (.npy; read once, never held as a whole).",
        rich_help_panel=_TABLE,
        show_default="the coordinates",
    ),
]


@app.command()
@_one_sentence_errors
def build(
    photos: PhotosOrDataset,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Where the cells go: .parquet (which the other commands read), .geojson, or .csv "
            "without outlines.",
        ),
    ] = Path("cells.parquet"),
    features: Features = None,
    latitude_column: LatitudeColumn = None,
    longitude_column: LongitudeColumn = None,
    group_column: GroupColumn = None,
    weight_column: Annotated[
        str | None,
        typer.Option(
            help="Column of how many photos a row stands for.",
            rich_help_panel=_TABLE,
            show_default="one each",
        ),
    ] = None,
    min_images: Annotated[
        int, typer.Option(help="Photos that a cell needs.", rich_help_panel=_CELLS)
    ] = 200,
    method: Annotated[
        str,
        typer.Option(
            metavar="[bottom_up|consolidated|top_down]",
            help="Hot spots claim their photos, the most alike first; or a quadtree whose short "
            "leaves go to their parents; or all its leaves.",
            rich_help_panel=_CELLS,
        ),
    ] = "bottom_up",
    max_images: Annotated[
        int | None,
        typer.Option(
            help="With top_down: split while a cell holds more than this.",
            rich_help_panel=_CELLS,
            show_default="split by --min-images",
        ),
    ] = None,
    min_cell_size: Annotated[
        float, typer.Option(help="Shortest side of a cell, in degrees.", rich_help_panel=_CELLS)
    ] = 0.01,
    grid: Annotated[
        str, typer.Option(metavar="[latlon|s2]", help="The quadtree.", rich_help_panel=_CELLS)
    ] = "latlon",
    overlap: Annotated[
        int,
        typer.Option(
            metavar="[1|2|4|8]",
            help="With bottom_up: heat-map windows a cell side.",
            rich_help_panel=_CELLS,
        ),
    ] = 2,
    competition: Annotated[
        str,
        typer.Option(
            metavar="[level|all]",
            help="With bottom_up: which hot spots compete at a time.",
            rich_help_panel=_CELLS,
        ),
    ] = "level",
    rank_by: Annotated[
        str,
        typer.Option(
            metavar="[mean_wcss|wcss|count]",
            help="With bottom_up: what makes a hot spot the first to claim.",
            rich_help_panel=_CELLS,
        ),
    ] = "mean_wcss",
    location: Annotated[
        str,
        typer.Option(
            metavar="[mean|medoid|mode]",
            help="The point that a cell answers with.",
            rich_help_panel=_CELLS,
        ),
    ] = "mean",
    leftover: Annotated[
        str,
        typer.Option(
            metavar="[nearest|cell|noise]",
            help="Where photos go that no cell could claim.",
            rich_help_panel=_CELLS,
        ),
    ] = "nearest",
    outside: Annotated[
        str,
        typer.Option(
            metavar="[nearest|noise|raise]",
            help="What `assign` answers far from every cell.",
            rich_help_panel=_CELLS,
        ),
    ] = "nearest",
    dask: DaskScheduler = None,
    feature_column: Annotated[
        list[str] | None,
        typer.Option(
            help="With --dask: the dataset's column of image features (lists), or several columns.",
            rich_help_panel=_CLUSTER,
            show_default="the coordinates",
        ),
    ] = None,
) -> None:
    """Build cells from a table of photos."""
    _check_output(output, TABLES)
    from geocells import CellBuilder

    builder = CellBuilder(
        min_images,
        method=method,
        max_images=max_images,
        min_cell_size=min_cell_size,
        grid=grid,
        overlap=overlap,
        competition=competition,
        rank_by=rank_by,
        location=location,
        leftover=leftover,
        outside=outside,
    )
    # A word that is no option is told before a long table is read.
    from geocells._options import Options

    Options.of(builder)
    if dask is not None:
        if features is not None:
            raise ValueError(
                "--features is a file for one machine; with --dask name a column of the dataset by "
                "--feature-column."
            )
        from geocells import distributed

        names = feature_column or None
        with _cluster(dask), _busy("building cells"):
            result = distributed.fit(
                builder,
                photos,
                names[0] if names and len(names) == 1 else names,
                group_column,
                weight_column,
                latitude_column=latitude_column,
                longitude_column=longitude_column,
            )
        cells = result.cells
        with _busy("writing cells"):
            _write(output, lambda draft: _write_cells(cells, draft))
        typer.echo(
            f"{cells.n_cells} cells of {result.n_rows} photos, {_span(cells.counts)} a cell: {output}"
        )
        return
    if feature_column:
        raise ValueError(
            "--feature-column belongs to --dask; name a file of features by --features."
        )
    path = Path(photos)
    wanted = [latitude_column, longitude_column, group_column, weight_column]
    table = _read_table(path, wanted)
    feats = None if features is None else _read_features(features, len(table), path)
    with _busy("building cells"):
        builder.fit(
            _coords(table, path, latitude_column, longitude_column),
            feats,
            groups=_column(table, path, group_column),
            sample_weight=_column(table, path, weight_column),
        )
    cells = builder.cells_
    with _busy("writing cells"):
        _write(output, lambda draft: _write_cells(cells, draft))
    short = int((builder.labels_ < 0).sum())
    left = f"; {short} photos belong to none" if short else ""
    typer.echo(
        f"{cells.n_cells} cells of {len(table)} photos, {_span(cells.counts)} a cell{left}: {output}"
    )


@app.command()
@_one_sentence_errors
def assign(
    cells: CellFile,
    photos: PhotosOrDataset,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="Where the table goes, with the columns cell, cell_latitude and cell_longitude "
            "added: .csv, .csv.gz, .parquet, or .geojson with the photos as points. With --dask: a "
            "new folder, or its URL, for a Parquet dataset.",
        ),
    ],
    latitude_column: LatitudeColumn = None,
    longitude_column: LongitudeColumn = None,
    group_column: GroupColumn = None,
    outside: Annotated[
        str | None,
        typer.Option(
            metavar="[nearest|noise|raise]",
            help="Far from every cell: the cell with the nearest mean, -1, or an error.",
            show_default="as the cells were built",
        ),
    ] = None,
    dask: DaskScheduler = None,
) -> None:
    """Tell the cell of every photo."""
    if dask is not None:
        from geocells import distributed

        partition = _load(cells)
        with _cluster(dask), _busy("assigning"):
            n_rows = distributed.assign(
                partition,
                photos,
                group_column,
                outside=outside,
                to=output,
                latitude_column=latitude_column,
                longitude_column=longitude_column,
            )
        typer.echo(f"{n_rows} photos: {output}")
        return
    path, target = Path(photos), Path(output)
    _check_output(target, TABLES)
    partition = _load(cells)
    table = _read_table(path, None)
    taken = [name for name in ("cell", "cell_latitude", "cell_longitude") if name in table.columns]
    if taken:
        raise ValueError(f"{photos} has a column {taken[0]!r} already; rename or drop it.")
    coords = _coords(table, path, latitude_column, longitude_column)
    groups = _column(table, path, group_column)
    labels = _assign(partition, coords, groups, outside)
    import numpy as np

    points = np.full((len(labels), 2), np.nan)
    points[labels >= 0] = partition.locations[labels[labels >= 0]]
    table["cell"] = labels
    table["cell_latitude"], table["cell_longitude"] = points.T
    with _busy("writing the table"):
        _write(target, lambda draft: _write_photos(table, coords, draft))
    none = int((labels < 0).sum())
    left = f", {none} in none" if none else ""
    typer.echo(
        f"{len(table)} photos in {len(np.unique(labels[labels >= 0]))} cells{left}: {output}"
    )


@app.command()
@_one_sentence_errors
def report(
    cells: CellFile,
    photos: Photos,
    features: Features = None,
    latitude_column: LatitudeColumn = None,
    longitude_column: LongitudeColumn = None,
    group_column: GroupColumn = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Also write the figures (.csv) or a picture of them (.png, .pdf, .svg).",
            show_default="only print",
        ),
    ] = None,
) -> None:
    """Measure cells on photos: how full, how wide, how far a perfect classifier would get."""
    if output is not None:
        _check_output(output, (".csv", ".png", ".pdf", ".svg"))
    partition = _load(cells)
    table = _read_table(photos, [latitude_column, longitude_column, group_column])
    feats = None if features is None else _read_features(features, len(table), photos)
    coords = _coords(table, photos, latitude_column, longitude_column)
    with _busy("measuring cells"):
        result = partition.report(coords, feats, groups=_column(table, photos, group_column))
    typer.echo(repr(result))
    if output is None:
        return
    if _suffix(output) == ".csv":
        _write(output, result.frame.to_csv)
    else:
        _write(output, lambda draft: _save_figure(result.plot()[0], draft))
    typer.echo(f"\nWritten: {output}")


@app.command(name="map")
@_one_sentence_errors
def map_(
    cells: CellFile,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="A picture (.png, .pdf, .svg), or a map for a browser (.html)."
        ),
    ],
    color_by: Annotated[
        str,
        typer.Option(
            metavar="[cell|count|level|group]", help="What a cell's colour says (group: .html)."
        ),
    ] = "cell",
    locations: Annotated[bool, typer.Option(help="Mark the points that cells answer with.")] = True,
    outlines: Annotated[
        Path | None,
        typer.Option(
            help="Outlines to draw in a picture, such as countries (GeoJSON, GeoParquet, "
            "Shapefile, GeoPackage).",
            show_default="none",
        ),
    ] = None,
    max_cells: Annotated[
        int, typer.Option(help="Cells that a map for a browser may show.")
    ] = 10_000,
) -> None:
    """Draw cells."""
    _check_output(output, MAPS)
    partition = _load(cells)
    with _busy("drawing cells"):
        if _suffix(output) == ".html":
            chart = partition.explore(color_by=color_by, locations=locations, max_cells=max_cells)
            _write(output, lambda draft: chart.save(str(draft)))
        else:
            lines = None if outlines is None else _read_outlines(outlines)
            axes = partition.plot(color_by=color_by, locations=locations, outlines=lines)
            _write(output, lambda draft: _save_figure(axes, draft))
    typer.echo(f"{partition.n_cells} cells: {output}")


# ------------------------------------------------------------------------------------------ reading


def _load(path: Path) -> CellPartition:
    from geocells import load_cells

    return load_cells(path)


def _read_table(path: Path, wanted: list[str | None] | None) -> pd.DataFrame:
    """Rows of a CSV or Parquet file: the wanted columns and those of coordinates, or all of them."""
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    suffix = _suffix(path)
    if suffix not in (".csv", ".csv.gz", ".parquet"):
        raise ValueError(f"{path} must be a .csv, .csv.gz or .parquet table.")
    read = _read_parquet if suffix == ".parquet" else _read_csv
    try:
        table = read(path, None if wanted is None else _picker(wanted))
    except MemoryError:
        raise
    except Exception as error:  # damage shows in many ways: zlib.error, EOFError, KeyError, ...
        raise ValueError(f"{path} is not a readable {suffix} table ({error}).") from error
    if not len(table) and len(table.columns):
        raise ValueError(f"{path} holds no rows.")
    return table


def _picker(wanted: list[str | None]) -> Callable[[str], bool]:
    from geocells.validation import LATITUDE_NAMES, LONGITUDE_NAMES

    names = {*filter(None, wanted)}
    guessed = {*LATITUDE_NAMES, *LONGITUDE_NAMES}
    return lambda column: column in names or column.strip().lower() in guessed


def _read_csv(path: Path, picks: Callable[[str], bool] | None) -> pd.DataFrame:
    import pandas as pd
    from tqdm import tqdm

    parts = []
    with (
        path.open("rb") as file,
        tqdm(
            total=path.stat().st_size,
            desc=f"reading {path.name}",
            unit="B",
            unit_scale=True,
            delay=2,
        ) as bar,
        pd.read_csv(
            file,
            usecols=picks,
            chunksize=ROWS_AT_A_TIME // 4,
            compression="gzip" if path.suffix == ".gz" else None,
            keep_default_na=False,
            na_values=MISSING,
        ) as reader,
    ):
        for part in reader:
            parts.append(part)
            bar.update(file.tell() - bar.n)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _read_parquet(path: Path, picks: Callable[[str], bool] | None) -> pd.DataFrame:
    import pandas as pd
    import pyarrow.parquet as pq
    from tqdm import tqdm

    file = pq.ParquetFile(path)
    names = [name for name in file.schema_arrow.names if picks is None or picks(name)]
    parts = []
    with tqdm(
        total=file.metadata.num_rows, desc=f"reading {path.name}", unit="row", delay=2
    ) as bar:
        for batch in file.iter_batches(ROWS_AT_A_TIME, columns=names):
            parts.append(batch.to_pandas())
            bar.update(batch.num_rows)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)


def _read_features(path: Path, n_rows: int, photos: Path) -> Any:
    import numpy as np

    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        feats = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path} is no .npy file of features ({error}).") from error
    if not isinstance(feats, np.ndarray) or feats.ndim != 2:
        raise ValueError(
            f"{path} must hold one row of features per photo in a .npy file; its shape is "
            f"{getattr(feats, 'shape', 'that of an .npz archive')}."
        )
    if len(feats) != n_rows:
        raise ValueError(
            f"{path} must hold one row of features for each of the {n_rows} photos of {photos}; "
            f"it has {len(feats)}."
        )
    return feats


def _read_outlines(path: Path) -> Any:
    import geopandas as gpd

    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        outlines = gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)
    except Exception as error:
        raise ValueError(f"{path} holds no outlines ({error}).") from error
    return outlines if outlines.crs is None else outlines.to_crs(4326)


def _coords(
    table: pd.DataFrame, path: Path, latitude: str | None, longitude: str | None
) -> np.ndarray:
    """Checked coordinates (n, 2) of the named columns, or of those that look like them."""
    from geocells.validation import LATITUDE_NAMES, LONGITUDE_NAMES, check_coords

    by_name = {str(column).strip().lower(): column for column in table.columns}
    columns = []
    for name, guesses, axis in (
        (latitude, LATITUDE_NAMES, "latitude"),
        (longitude, LONGITUDE_NAMES, "longitude"),
    ):
        if name is not None and name not in table.columns:
            raise ValueError(
                f"{path} has no column {name!r}; name the one of {axis}s by --{axis}-column."
            )
        found = name or next((by_name[guess] for guess in guesses if guess in by_name), None)
        if found is None:
            raise ValueError(
                f"{path} has no column of {axis}s ({', '.join(guesses)}); name it by "
                f"--{axis}-column."
            )
        columns.append(found)
    return check_coords(table[columns].to_numpy(), name=f"The coordinates in {path}").array


def _column(table: pd.DataFrame, path: Path, name: str | None) -> Any:
    if name is None:
        return None
    if name not in table.columns:
        raise ValueError(f"{path} has no column {name!r}.")
    return table[name].to_numpy()


def _assign(
    cells: CellPartition, coords: np.ndarray, groups: Any, outside: str | None
) -> np.ndarray:
    """Labels, a million rows at a time under a progress bar."""
    import numpy as np
    from tqdm import tqdm

    labels = np.empty(len(coords), dtype=np.int64)
    with tqdm(total=len(coords), desc="assigning", unit="photo", delay=2) as bar:
        for start in range(0, len(coords), ROWS_AT_A_TIME):
            rows = slice(start, start + ROWS_AT_A_TIME)
            own = None if groups is None else groups[rows]
            labels[rows] = cells.assign(coords[rows], own, outside=outside)
            bar.update(len(coords[rows]))
    return labels


# ------------------------------------------------------------------------------------------ writing


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return ".csv.gz" if name.endswith(".csv.gz") else path.suffix.lower()


def _check_output(path: Path, suffixes: tuple[str, ...]) -> None:
    """Refuse what cannot be written before any work is done."""
    if _suffix(path) not in suffixes:
        raise ValueError(f"The output must end in {', '.join(suffixes)}; got {path}.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} to write {path.name} to.")
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise PermissionError(f"{path} cannot be written.")


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    """Write beside the target and rename, so that nothing is ever half-written."""
    folder = path.absolute().parent
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{path.name}-") as drafts:
        draft = Path(drafts) / path.name
        write(draft)
        os.replace(draft, path)


def _write_cells(cells: CellPartition, draft: Path) -> None:
    suffix = _suffix(draft)
    if suffix == ".parquet":
        cells.save(draft)
    elif suffix == ".geojson":
        cells.to_geodataframe().reset_index().to_file(draft, driver="GeoJSON")
    else:
        cells.to_geodataframe().drop(columns="geometry").to_csv(draft)


def _write_photos(table: pd.DataFrame, coords: np.ndarray, draft: Path) -> None:
    suffix = _suffix(draft)
    if suffix == ".parquet":
        table.to_parquet(draft, index=False)
    elif suffix == ".geojson":
        import geopandas as gpd

        points = gpd.points_from_xy(coords[:, 1], coords[:, 0], crs=4326)
        gpd.GeoDataFrame(table, geometry=points).to_file(draft, driver="GeoJSON")
    else:
        table.to_csv(draft, index=False)


def _save_figure(axes: Any, draft: Path) -> None:
    axes.figure.savefig(draft, dpi=200)


def _span(counts: Any) -> str:
    return f"{int(counts.min())} to {int(counts.max())}" if len(counts) else "none"


@contextmanager
def _cluster(scheduler: str) -> Iterator[None]:
    """Workers at an address, or of this machine, for as long as a command takes."""
    try:
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError as error:
        raise ImportError(
            "--dask needs Dask, which is not installed: pip install 'geocells[dask]'."
        ) from error
    # What workers log is not for one who waits for a sentence.
    if not logger.isEnabledFor(logging.DEBUG):
        for name in [name for name in logging.root.manager.loggerDict if "distributed" in name]:
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        address: Any = scheduler
        if scheduler == "local":
            address = stack.enter_context(
                LocalCluster(
                    threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50
                )
            )
        try:
            stack.enter_context(Client(address, timeout="10s"))
        except (OSError, ValueError) as error:
            raise ValueError(f"No Dask scheduler answers at {scheduler} ({error}).") from None
        try:
            yield
        except KilledWorker as error:
            raise MemoryError(
                "Several workers died over one partition, most likely of too little memory: write the dataset in "
                f"smaller files, or give workers more memory ({error})."
            ) from error


@contextmanager
def _busy(what: str) -> Iterator[None]:
    """Say what goes on, and for how long, once it takes more than two seconds; only in a terminal."""
    from tqdm import tqdm

    bar = tqdm(
        desc=what,
        bar_format="{desc} {elapsed}",
        delay=2,
        leave=False,
        disable=not sys.stderr.isatty(),
    )
    done = threading.Event()

    def tell() -> None:
        pause = 2.0
        while not done.wait(pause):
            bar.refresh()
            pause = 1.0

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
        bar.close()


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
