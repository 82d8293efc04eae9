"""A folder as it lies after the first steps of the how-to pages: what examples of docstrings and pages stand in."""

import command_line
from geoloc_models_small import save_small_photos

STEPS = (
    "geocells build photos.csv --min-images 10 -o cells.parquet",
    "geoloc split photos.csv -o split.parquet",
    "geoloc embed split.parquet --encoder tiny --weights tiny.safetensors --image-size 32 -o features.npy",
    "geoloc train split.parquet --features features.npy --task cells --min-images 10 --epochs 2 -o runs/mine",
)


def make_workplace(folder, monkeypatch):
    """Photos, cells, parts, features, and a model that learned little."""
    monkeypatch.chdir(folder)
    save_small_photos(folder, 160, user=[f"user-{row % 20}" for row in range(160)])
    for step in STEPS:
        program, *words = step.split()
        getattr(command_line, program)(*words)
    return folder
