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

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cyclopts
import pandas as pd

from geoloc_models.countries import load_countries
from geoloc_models.download import DownloadOptions, download_photos
from geoloc_models.evaluation import Evaluation
from geoloc_models.features import EmbeddingRecord, embed, row_keys
from geoloc_models.models import ModelPlan, TrainingOptions, build_encoder
from geoloc_models.photos import FileImages
from geoloc_models.reports import figures, table_text
from geoloc_models.tables import (
    SelectOptions,
    SplitOptions,
    find_leakage,
    read_photo_table,
    select_photos,
    split_photo_file,
)
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
    """How much of everything there is: in full, or for a test."""

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


def prepare(output: Path, size: Size, seed: int = 0) -> dict[str, Any]:
    """Do every step in the folder ``output``; what each of them reports, by its name."""
    started = time.perf_counter()
    split_file, features_file = output / "split.parquet", output / "features.npy"
    photos = photos_to_be(size.n_a_country, size.n_elsewhere, seed)
    faults = mixed_faults(photos["id"], seed=seed, mix=size.faults)
    reports: dict[str, Any] = {}
    with PhotoServer(Pictures(photos, size.served_pixels), faults) as server:
        make_metadata(output / "metadata.tsv.gz", photos, server, seed)
        reports["select"] = select(output)
        reports["download"] = download(output, server, size.stored_pixels)
    reports["split"], reports["leakage"] = split(output, split_file, size, seed)
    reports["embed"] = embed_photos(split_file, features_file, size, seed)
    reports["evaluations"] = train(output, split_file, features_file, size, seed)
    draw(split_file, output / "photos_map.png")
    print(f"\nAll of it took {time.perf_counter() - started:.0f} s. Everything is in {output}.")
    print(f"\nWith photos of your own (the same steps, larger numbers):\n\n{COMMANDS}")
    return reports


def make_metadata(path: Path, photos: pd.DataFrame, server: PhotoServer, seed: int) -> None:
    """Write the metadata, as a data set of photos comes."""
    print("\n1. Metadata\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_metadata(photos, path, server.url, seed)
    print(
        f"{path}: {path.stat().st_size / 1e3:,.0f} kB, one line per photo in YFCC100M's layout\n"
        "(tabs, no header). The places are real; users, times and addresses are made up."
    )


def select(output: Path) -> Any:
    """Keep the photos of the two countries."""
    print("\n2. Photos of Sweden and Switzerland\n")
    report = select_photos(
        output / "metadata.tsv.gz",
        output / "photos.parquet",
        SelectOptions(preset="yfcc100m", countries=COUNTRIES),
    )
    print(f"{report.n_read:>8,} rows read\n{report.n_kept:>8,} photos kept")
    for reason, n in report.dropped.items():
        print(f"{n:>8,} dropped: {reason}")
    print("\nPhotos per country:\n")
    for code, n in report.countries.items():
        print(f"{n:>8,} in {country_name(code)}")
    return report


def download(output: Path, server: PhotoServer, stored_pixels: int) -> dict[str, Any]:
    """Fetch the photos, and once more, to see that nothing is fetched again."""
    print("\n3. Download\n")
    faults = server.faults
    ids = pd.read_parquet(output / "photos.parquet", columns=["id"])["id"]
    n_dead = sum(faults.get(photo_id) in DEAD for photo_id in ids)
    print(
        f"The server is on this machine ({server.root}). It has lost {n_dead} of the {len(ids)} "
        f"photos;\n{sum(each in faults for each in ids) - n_dead} more are damaged, huge, "
        "forbidden, lead astray or come only when asked again.\n"
    )
    options = DownloadOptions(
        max_side=stored_pixels,
        allow_networks=("127.0.0.0/8",),  # else no address of one's own machine is asked
        rate=0,  # one's own server may be asked as fast as it answers; a stranger's may not
        backoff=0.05,
    )
    first = download_photos(output / "photos.parquet", output / "images", options)
    n_requests = sum(server.requests.values())
    print(first.text())
    print(
        f"\n{100 * first.dead_share:.1f} % of the links are dead; of the paper's, a fifth were. "
        f"The server was asked {n_requests:,} times."
    )
    again = download_photos(output / "photos.parquet", output / "images", options)
    n_requests_again = sum(server.requests.values()) - n_requests
    print(f"The same once more: the server was asked {n_requests_again} times.")
    return {
        "first": first,
        "again": again,
        "n_dead": n_dead,
        "asked": n_requests,
        "asked_again": n_requests_again,
        "requests": dict(server.requests),
    }


def split(output: Path, split_file: Path, size: Size, seed: int) -> tuple[Any, Any]:
    """Split by place, and look for what leaks."""
    print("\n4. Training, validation, test\n")
    report = split_photo_file(
        output / "images" / "photos.parquet",
        split_file,
        SplitOptions(by="place", block_km=BLOCK_KM, subsets=size.subsets, seed=seed),
    )
    print(
        f"Photos of one {BLOCK_KM:g} km block are in one part. A city is one block or two, so that "
        "parts of so\nfew photos stray from 80, 10 and 10 %.\n"
    )
    print(with_sums(report.parts))
    print("\nSubsets of the training part, each inside the next:\n")
    print(with_sums(report.subsets))
    leakage = find_leakage(split_file)
    leakage.save(output / "leakage.parquet")
    print(f"\nOf the {leakage.n_photos['test']:,} test photos, those with a twin to train on:\n")
    for reason in leakage.reasons:
        print(f"{leakage.count(reason, 'test', 'train'):>8,} {reason}")
    print(
        "\nThe blocks keep equal places together. Satellite crops of neighbours across a block's "
        "border\noverlap, and may look alike. Users have photos in many blocks: `geoloc split --by "
        "user` would\nkeep those together instead."
    )
    return report, leakage


def embed_photos(split_file: Path, features_file: Path, size: Size, seed: int) -> EmbeddingRecord:
    """Run the encoder over every photo, once."""
    print("\n5. Features\n")
    photos = read_photo_table(split_file.resolve())
    seed_run(seed)  # for an encoder of random numbers
    encoder = build_encoder(size.encoder, weights=size.weights, image_size=size.image_size)
    images = FileImages(photos.frame["path"].to_numpy(), min_side=size.image_size)
    record = embed(images, row_keys(photos), encoder, features_file)
    print(
        f"{len(record.cache):,} photos, {record.cache.dim} numbers each, of {encoder.name} "
        f"({'ImageNet weights' if size.weights else 'random weights'}) at {size.image_size} pixels."
    )
    if record.n_embedded:
        print(f"{record.n_embedded:,} were embedded now, {record.images_per_second:.0f} a second.")
    else:
        print("All were there already.")
    return record


def train(
    output: Path, split_file: Path, features_file: Path, size: Size, seed: int
) -> dict[str, Evaluation]:
    """Train the classifier of cells on each subset, and test all on the same photos."""
    print("\n6. Cells and models\n")
    plan = ModelPlan("cells", "consolidated", size.min_images)
    options = TrainingOptions(
        encoder=size.encoder,
        weights=size.weights,
        image_size=size.image_size,
        epochs=size.epochs,
        batch_size=64,
        learning_rate=1e-3,
        schedule="cosine",
        seed=seed,
    )
    evaluations: dict[str, Evaluation] = {}
    reference: Mapping[str, float] = {}
    for subset in (*size.subsets, None):
        columns = TableOptions(features=features_file, subset=subset)
        source = table_source(split_file, columns, image_size=size.image_size)
        parts = split_source(source)
        folder = output / f"cells_{subset or 'all'}"
        began = time.perf_counter()
        run = run_model(source, parts, plan, options, folder, resume=True)
        if run.cells is not None:
            counts = run.cells.counts
            print(
                f"{len(parts.train):>8,} training photos: {len(counts)} cells of {counts.min()} to "
                f"{counts.max()} photos ({time.perf_counter() - began:.0f} s)"
            )
        evaluations[f"{'' if subset else 'all '}{len(parts.train):,} photos"] = run.evaluation
        reference = run.reference
    print(f"\n{table_text(evaluations, reference)}")
    return evaluations


def draw(split_file: Path, path: Path) -> None:
    """Draw the paper's Figure 1: where the photos are."""
    print("\n7. Map\n")
    photos = read_photo_table(split_file.resolve())
    polygons = load_countries()
    figure = figures.map_of_photos(
        photos.coords,
        photos.countries,
        polygons,
        figures.panels_of_countries(polygons, COUNTRIES),
        part=photos.frame["part"].to_numpy(),
    )
    figures.save_figure(figure, path)
    print(f"The {photos.n_rows:,} photos on a map: {path}")


def with_sums(counts: pd.DataFrame) -> str:
    """Photos by country, with a line of sums, as text."""
    table = counts.rename(index=country_name).rename(columns=str)
    table.loc["all"] = table.sum()
    table.index.name = None
    return table.to_string()


def country_name(code: str) -> str:
    """English name of a country."""
    return str(load_countries().loc[code, "name"])


def main(*, output: Path = Path("runs/prepare"), seed: int = 0, quick: bool = False) -> None:
    """Go from a metadata file to trained models.

    Parameters
    ----------
    output : Path
        Folder for everything; another seed needs another.
    seed : int
        Of ids, users, faults, the split and the training.
    quick : bool
        Take few photos and a tiny encoder.
    """
    prepare(output, QUICK if quick else Size(), seed)


if __name__ == "__main__":
    cyclopts.run(main)
