"""Compute the features of all photos once, for training without an encoder's cost."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from geocells.output import echo
from geoloc_models.cli.common import command_line, report_skipped
from geoloc_models.errors import GeolocError
from geoloc_models.features.embed_options import EmbedOptions

_DEFAULTS = EmbedOptions()


def embed(
    table: Path,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("features.npy"),
    encoder: str = "efficientnet_lite0",
    weights: str = "imagenet",
    image_size: int | None = None,
    options: Annotated[EmbedOptions, Parameter(name="*")] = _DEFAULTS,
    path_column: str | None = None,
    latitude_column: str | None = None,
    longitude_column: str | None = None,
    quoting: bool = True,
    root: Path | None = None,
) -> None:
    """Compute an encoder's features of all photos, once.

    The same command continues after a stop. Training on the features takes seconds or minutes.

    Parameters
    ----------
    table : Path
        CSV, TSV, JSON lines or Parquet: one row per photo, with its image file.
    output : Path
        The .npy file of features.
    encoder : str
        efficientnet_lite0, resnet50, vit_b_16, tiny, or timm:NAME.
    weights : str
        imagenet, or a file with a state dict.
    image_size : int, optional
        Side of the square images, in pixels. Default: the encoder's.
    path_column : str, optional
        Column of the image files.
    latitude_column : str, optional
        Column of latitudes, in degrees.
    longitude_column : str, optional
        Column of longitudes, in degrees.
    quoting : bool
        Whether double quotes enclose text. In files such as GBIF's they are plain characters.
    root : Path, optional
        Folder that relative image paths start from. Default: the table's own.
    """
    from geocells.tables import columns_note
    from geoloc_models.features.cache import FeatureFiles, row_keys
    from geoloc_models.features.embedding import embed as embed_photos
    from geoloc_models.models.encoders import build_encoder
    from geoloc_models.photos.images import FileImages
    from geoloc_models.tables.photo_table import read_photo_table

    if weights == "none":
        raise GeolocError(
            "Random weights are others in every command, so nothing could be trained on these features. Name a file "
            "of weights, or an encoder with ImageNet weights."
        )
    files = FeatureFiles(output)  # refuses a bad name before anything is read
    image_encoder = build_encoder(encoder, weights=weights, image_size=image_size)
    photos = read_photo_table(
        table.resolve(),  # as train does, so that paths are equal as keys
        path_column=path_column,
        latitude_column=latitude_column,
        longitude_column=longitude_column,
        quoting=quoting,
        root=None if root is None else root.resolve(),
        countries=False,
    )
    echo(columns_note(photos.columns))
    size = image_encoder.preprocessing.image_size
    images = FileImages(photos.frame["path"].to_numpy(), min_side=size)
    record = embed_photos(images, row_keys(photos), image_encoder, output, options)
    card = record.cache.card
    echo(
        f"{card.n_rows:,} photos, {card.dim} numbers each, of {card.title}, in {record.cache.path}."
    )
    if record.n_embedded:
        images_word = "image" if record.n_embedded == 1 else "images"
        echo(
            f"{record.n_embedded:,} {images_word} in {record.seconds:.1f} s: "
            f"{record.images_per_second:.0f} images a second, {record.batch_size} at a time."
        )
    else:
        echo("All had been embedded before.")
    report_skipped(record.broken, files.broken)
    if record.missing_shards:
        missing = ", ".join(map(str, record.missing_shards))
        echo(f"\nStill missing before {output} is merged: shards {missing}.")
    else:
        columns = {
            "--path-column": path_column,
            "--latitude-column": latitude_column,
            "--longitude-column": longitude_column,
            "--root": root,
        }
        words = ("geoloc", "train", table, *([] if quoting else ["--no-quoting"]))
        echo(f"\nTrain on them: {command_line(*words, **{'--features': output}, **columns)}")
