"""Photos, their places and countries, from files to batches.

Names are imported when they are first used: only those of ``dataset`` need torch, only those of
``images`` need pillow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoloc_models.data.countries import (
        country_code,
        country_of,
        load_countries,
        read_countries,
    )
    from geoloc_models.data.dataset import (
        IMAGENET_MEAN,
        IMAGENET_STD,
        BrokenImages,
        PhotoDataset,
        collate_photos,
        make_loader,
        make_transform,
    )
    from geoloc_models.data.demo import demo_images, demo_places
    from geoloc_models.data.exif import PhotoExif, read_exif
    from geoloc_models.data.feature_batches import FeatureBatches, FeatureDataset
    from geoloc_models.data.features import FeatureCache, row_keys
    from geoloc_models.data.images import FileImages, ImageSource
    from geoloc_models.data.index import PhotoIndex, index_photos, scan_photos
    from geoloc_models.data.leakage import LeakageReport, find_leakage
    from geoloc_models.data.metadata import METADATA_PRESETS, MetadataReport, select_photos
    from geoloc_models.data.parts import assign_parts, split_of_table, subset_ranks, subset_rows
    from geoloc_models.data.satellite import SatelliteCrops
    from geoloc_models.data.split_file import SplitReport, split_photo_file
    from geoloc_models.data.splits import Split, largest_block, place_blocks, split_rows
    from geoloc_models.data.strip import strip_file, strip_photo
    from geoloc_models.data.table import PhotoTable, read_photo_table

_MODULE_OF_NAME = {
    "country_code": "countries",
    "country_of": "countries",
    "load_countries": "countries",
    "read_countries": "countries",
    "METADATA_PRESETS": "metadata",
    "MetadataReport": "metadata",
    "select_photos": "metadata",
    "IMAGENET_MEAN": "dataset",
    "IMAGENET_STD": "dataset",
    "BrokenImages": "dataset",
    "PhotoDataset": "dataset",
    "collate_photos": "dataset",
    "make_loader": "dataset",
    "make_transform": "dataset",
    "demo_images": "demo",
    "demo_places": "demo",
    "PhotoExif": "exif",
    "read_exif": "exif",
    "FeatureBatches": "feature_batches",
    "FeatureDataset": "feature_batches",
    "FeatureCache": "features",
    "row_keys": "features",
    "FileImages": "images",
    "ImageSource": "images",
    "SatelliteCrops": "satellite",
    "PhotoIndex": "index",
    "index_photos": "index",
    "scan_photos": "index",
    "LeakageReport": "leakage",
    "find_leakage": "leakage",
    "assign_parts": "parts",
    "split_of_table": "parts",
    "subset_ranks": "parts",
    "subset_rows": "parts",
    "SplitReport": "split_file",
    "split_photo_file": "split_file",
    "Split": "splits",
    "largest_block": "splits",
    "place_blocks": "splits",
    "split_rows": "splits",
    "strip_file": "strip",
    "strip_photo": "strip",
    "PhotoTable": "table",
    "read_photo_table": "table",
}

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "METADATA_PRESETS",
    "BrokenImages",
    "FeatureBatches",
    "FeatureCache",
    "FeatureDataset",
    "FileImages",
    "ImageSource",
    "LeakageReport",
    "MetadataReport",
    "PhotoDataset",
    "PhotoExif",
    "PhotoIndex",
    "PhotoTable",
    "SatelliteCrops",
    "Split",
    "SplitReport",
    "assign_parts",
    "collate_photos",
    "country_code",
    "country_of",
    "demo_images",
    "demo_places",
    "find_leakage",
    "index_photos",
    "largest_block",
    "load_countries",
    "make_loader",
    "make_transform",
    "place_blocks",
    "read_countries",
    "read_exif",
    "read_photo_table",
    "row_keys",
    "scan_photos",
    "select_photos",
    "split_of_table",
    "split_photo_file",
    "split_rows",
    "strip_file",
    "strip_photo",
    "subset_ranks",
    "subset_rows",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULE_OF_NAME[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
