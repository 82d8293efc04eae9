"""From a metadata file to trained models: the paper's way to its photos, step by step.

    python examples/prepare_photos.py

makes a metadata file in the layout of YFCC100M, chooses the photos of Sweden and Switzerland, downloads them from a
server on this machine that has lost a fifth of them and misbehaves otherwise, splits them, embeds them, trains on
nested subsets of them, and draws them on a map: docs/prepare.md shows what it prints. It takes a few minutes on two
cores. Everything is left in ``runs/prepare``. Stop it at any moment: the same command goes on. What is quick is done
again, with the same result; what takes long (download, embedding, training) is kept.

The photos are none: they are satellite crops around real places, see ``made_up_metadata.py``. For your own photos, run
the commands that it prints at the end.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from geoloc_models._errors import GeolocError
from geoloc_models._files import read_json, write_json
from geoloc_models.countries import load_countries
from geoloc_models.download import DownloadOptions, DownloadSummary, download_photos
from geoloc_models.evaluation import Evaluation
from geoloc_models.features.cache import row_keys
from geoloc_models.features.embedding import embed
from geoloc_models.models import ModelPlan, TrainingOptions
from geoloc_models.models.encoders import build_encoder
from geoloc_models.photos.images import FileImages
from geoloc_models.reports import figures, table_text
from geoloc_models.tables.leakage import find_leakage
from geoloc_models.tables.photo_table import read_photo_table
from geoloc_models.tables.select import select_photos
from geoloc_models.tables.split_file import split_photo_file
from geoloc_models.tables.split_options import SplitOptions
from geoloc_models.training import TableOptions, run_model, seed_run, split_source, table_source

sys.path.insert(0, str(Path(__file__).parent))
from made_up_metadata import Pictures, photos_to_be, write_metadata
from photo_server import (
    MIX,
    QUICK_MIX,
    Fault,
    PhotoServer,
    gone,
    mixed_faults,
    not_found,
    redirect_to_unavailable,
)

COUNTRIES = ("SE", "CH")
BLOCK_KM = 10.0
"""Places of one block are in one part of the split. A pixel of the satellite image is 7.4 km high."""
DEAD: tuple[Fault, ...] = (not_found, gone, redirect_to_unavailable)
"""Ways of the server to say that a photo is no more."""
PAPERS_DEAD_SHARE = "a fifth"

COMMANDS = """\
geoloc select metadata.tsv.gz --preset yfcc100m --countries SE,CH -o photos.parquet
geoloc download photos.parquet -o images --max-side 512 --user-agent "you@example.org"
geoloc split images/photos.parquet -o split.parquet --by user
geoloc leakage split.parquet
geoloc embed split.parquet --encoder efficientnet_lite0 -o features.npy
geoloc train split.parquet --features features.npy --min-images 200 \\
    --epochs 40 --batch-size 64 --learning-rate 1e-3 --schedule cosine --subset 10000"""


@dataclass(frozen=True)
class Size:
    """How much of everything there is: for the walk, or for a test of it."""

    n_a_country: int | None = None  # all
    n_elsewhere: int = 4000
    served_pixels: int = 256
    stored_pixels: int = 192
    encoder: str = "efficientnet_lite0"
    weights: str | None = "imagenet"
    image_size: int = 128
    subsets: tuple[int, ...] = (100, 400, 1000)
    min_images: int = 20
    epochs: int = 40
    faults: tuple[tuple[Fault, int], ...] = MIX


QUICK = Size(
    n_a_country=150,
    n_elsewhere=200,
    served_pixels=96,
    stored_pixels=64,
    encoder="tiny",
    weights=None,
    image_size=64,
    subsets=(40, 100),
    min_images=10,
    epochs=3,
    faults=QUICK_MIX,  # without the server's plea to wait for a second
)


@dataclass
class Walk:
    """Where the walk is, what it was told, and what it has found."""

    output: Path
    seed: int = 0
    size: Size = field(default_factory=Size)
    port: int = 0
    say: Callable[[str], None] = print
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def split_file(self) -> Path:
        return self.output / "split.parquet"

    @property
    def features_file(self) -> Path:
        return self.output / "features.npy"

    def head(self, number: int, title: str) -> None:
        self.say(f"\n{number}. {title}\n")


def walk(
    output: Path, *, seed: int = 0, size: Size | None = None, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Go all the way; the findings of every step by its name."""
    started = time.perf_counter()
    here = Walk(output, seed, size or Size(), say=say)
    _take_up(here)
    photos = photos_to_be(here.size.n_a_country, here.size.n_elsewhere, seed)
    make_metadata(here, photos)
    select(here)
    download(here, photos)
    split(here)
    embed_photos(here)
    train(here)
    draw(here)
    say(f"\nAll of it took {time.perf_counter() - started:.0f} s. Everything is in {output}.")
    say(f"\nWith photos of your own (the same steps, larger numbers):\n\n{COMMANDS}")
    return here.found


def _take_up(here: Walk) -> None:
    """Go on with what an earlier walk left, if it was the same; its addresses name its port."""
    settings = here.output / "settings.json"
    told = {"seed": here.seed, "places": here.size.n_a_country}
    if settings.is_file():
        before = read_json(settings)
        here.port = before.pop("port")
        if before != told:
            raise GeolocError(
                f"{here.output} holds a walk with {before}, not {told}. Choose another --output."
            )
    if not here.port or not _is_free(here.port):
        (here.output / "metadata.tsv.gz").unlink(missing_ok=True)
        here.port = _free_port()
    write_json(settings, {**told, "port": here.port})


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_metadata(here: Walk, photos: pd.DataFrame) -> None:
    """Write the metadata, as a data set of photos comes."""
    path = here.output / "metadata.tsv.gz"
    here.head(1, "Metadata")
    if not path.is_file():
        server = PhotoServer({}, port=here.port)
        write_metadata(photos, path, server.url, here.seed)
    here.say(
        f"{path}: {path.stat().st_size / 1e3:,.0f} kB, one line per photo in YFCC100M's layout\n"
        "(tabs, no header). The places are real; users, times and addresses are made up."
    )


def select(here: Walk) -> None:
    """Keep the photos of the two countries."""
    here.head(2, "Photos of Sweden and Switzerland")
    report = select_photos(
        here.output / "metadata.tsv.gz",
        here.output / "photos.parquet",
        preset="yfcc100m",
        countries=COUNTRIES,
    )
    here.found["select"] = report
    here.say(f"{report.n_read:>8,} rows read\n{report.n_kept:>8,} photos kept")
    for reason, n in report.dropped.items():
        here.say(f"{n:>8,} dropped: {reason}")
    here.say("\nPhotos per country:\n")
    for code, n in report.countries.items():
        here.say(f"{n:>8,} in {_name(code)}")


def download(here: Walk, photos: pd.DataFrame) -> None:
    """Fetch the photos, and once more, to see that nothing is fetched again."""
    here.head(3, "Download")
    faults = mixed_faults(photos["id"], seed=here.seed, mix=here.size.faults)
    ids = pd.read_parquet(here.output / "photos.parquet", columns=["id"])["id"]
    n_dead = sum(faults.get(photo_id) in DEAD for photo_id in ids)
    pictures = Pictures(photos, here.size.served_pixels)
    with PhotoServer(pictures, faults, port=here.port) as server:
        here.say(
            f"The server is on this machine ({server.root}). It has lost {n_dead} of the {len(ids)} "
            f"photos;\n{sum(i in faults for i in ids) - n_dead} more are damaged, huge, forbidden, "
            "lead astray or come only when asked again.\n"
        )
        first = _fetch(here)
        asked = sum(server.requests.values())
        here.say(first.text())
        here.say(
            f"\n{100 * first.dead_share:.1f} % of the links are dead; of the paper's, "
            f"{PAPERS_DEAD_SHARE} were. The server was asked {asked:,} times."
        )
        again = _fetch(here)
        asked_again = sum(server.requests.values()) - asked
    here.say(f"The same once more: the server was asked {asked_again} times.")
    here.found["download"] = {
        "first": first,
        "again": again,
        "n_dead": n_dead,
        "asked": asked,
        "asked_again": asked_again,
        "requests": dict(server.requests),
    }


def _fetch(here: Walk) -> DownloadSummary:
    options = DownloadOptions(
        max_side=here.size.stored_pixels,
        allow_networks=("127.0.0.0/8",),  # else no address of one's own machine is asked
        rate=0,  # one's own server may be asked as fast as it answers; a stranger's may not
        backoff=0.05,
    )
    with tqdm(unit=" photos", disable=None, leave=False) as bar:

        def show(n_new: int, n_left: int) -> None:
            if not n_new:
                bar.reset(total=n_left)
            bar.update(n_new)

        return download_photos(
            here.output / "photos.parquet", here.output / "images", options, progress=show
        )


def split(here: Walk) -> None:
    """Split by place, and look for what leaks."""
    here.head(4, "Training, validation, test")
    report = split_photo_file(
        here.output / "images" / "photos.parquet",
        here.split_file,
        SplitOptions(by="place", block_km=BLOCK_KM, subsets=here.size.subsets, seed=here.seed),
    )
    here.say(
        f"Photos of one {BLOCK_KM:g} km block are in one part. A city is one block or two, so that "
        "parts of so\nfew photos stray from 80, 10 and 10 %.\n"
    )
    here.say(_with_sums(report.parts))
    here.say("\nSubsets of the training part, each inside the next:\n")
    here.say(_with_sums(report.subsets))
    leakage = find_leakage(here.split_file)
    leakage.save(here.output / "leakage.parquet")
    here.say(f"\nOf the {leakage.n_photos['test']:,} test photos, those with a twin to train on:\n")
    for reason in leakage.reasons:
        here.say(f"{leakage.count(reason, 'test', 'train'):>8,} {reason}")
    here.say(
        "\nThe blocks keep equal places together. Satellite crops of neighbours across a block's "
        "border\noverlap, and may look alike. Users have photos in many blocks: `geoloc split --by "
        "user` would\nkeep those together instead."
    )
    here.found.update(split=report, leakage=leakage)


def embed_photos(here: Walk) -> None:
    """Run the encoder over every photo, once."""
    here.head(5, "Features")
    photos = read_photo_table(here.split_file.resolve())
    seed_run(here.seed)  # for an encoder of random numbers
    encoder = build_encoder(
        here.size.encoder, weights=here.size.weights, image_size=here.size.image_size
    )
    images = FileImages(photos.frame["path"].to_numpy(), min_side=here.size.image_size)
    record = embed(images, row_keys(photos), encoder, here.features_file, progress=_shows_bars())
    here.say(
        f"{len(record.cache):,} photos, {record.cache.dim} numbers each, of {encoder.name} "
        f"({'ImageNet weights' if here.size.weights else 'random weights'}) at "
        f"{here.size.image_size} pixels."
    )
    if record.n_embedded:
        here.say(
            f"{record.n_embedded:,} were embedded now, {record.images_per_second:.0f} a second."
        )
    else:
        here.say("All were there already.")
    here.found["embed"] = record


def train(here: Walk) -> None:
    """Train the classifier of cells on each subset, and test all on the same photos."""
    here.head(6, "Cells and models")
    options = TrainingOptions(
        encoder=here.size.encoder,
        weights=here.size.weights,
        image_size=here.size.image_size,
        epochs=here.size.epochs,
        batch_size=64,
        learning_rate=1e-3,
        schedule="cosine",
        seed=here.seed,
    )
    evaluations: dict[str, Evaluation] = {}
    reference: Mapping[str, float] = {}
    for subset in (*here.size.subsets, None):
        columns = TableOptions(features=here.features_file, subset=subset)
        source = table_source(here.split_file, columns, image_size=here.size.image_size)
        parts = split_source(source)
        began = time.perf_counter()
        run = run_model(
            source,
            parts,
            ModelPlan("cells", "consolidated", here.size.min_images),
            options,
            here.output / f"cells_{subset or 'all'}",
            resume=True,
            progress=_shows_bars(),
        )
        if run.cells is not None:
            counts = run.cells.counts
            here.say(
                f"{len(parts.train):>8,} training photos: {len(counts)} cells of {counts.min()} to "
                f"{counts.max()} photos ({time.perf_counter() - began:.0f} s)"
            )
        evaluations[f"{'' if subset else 'all '}{len(parts.train):,} photos"] = run.evaluation
        reference = run.reference
    here.say(f"\n{table_text(evaluations, reference)}")
    here.found["evaluations"] = evaluations


def draw(here: Walk) -> None:
    """Draw the paper's Figure 1: where the photos are."""
    here.head(7, "Map")
    photos = read_photo_table(here.split_file.resolve())
    polygons = load_countries()
    figure = figures.map_of_photos(
        photos.coords,
        photos.countries,
        polygons,
        figures.panels_of_countries(polygons, COUNTRIES),
        part=photos.frame["part"].to_numpy(),
    )
    path = here.output / "photos_map.png"
    figures.save_figure(figure, path)
    here.say(f"The {photos.n_rows:,} photos on a map: {path}")
    here.found["map"] = path


def _with_sums(counts: pd.DataFrame) -> str:
    """Photos by country, with a line of sums, as text."""
    table = counts.rename(index=_name).rename(columns=str)
    table.loc["all"] = table.sum()
    table.index.name = None
    return table.to_string()


def _name(code: str) -> str:
    return str(load_countries().loc[code, "name"])


def _shows_bars() -> bool:
    return sys.stderr.isatty()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/prepare"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--quick", action="store_true", help="few photos and a tiny encoder, for tests"
    )
    options = parser.parse_args(arguments)
    try:
        walk(options.output, seed=options.seed, size=QUICK if options.quick else Size())
    except GeolocError as error:
        raise SystemExit(f"Error: {error}") from None


if __name__ == "__main__":
    main()
