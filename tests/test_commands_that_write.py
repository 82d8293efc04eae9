"""Every command that writes: a full disk, another process at the output, an input as output are one sentence each."""

import contextlib
import shutil
from pathlib import Path

import pytest
from command_line import full_disk, geocells, geocells_refuses, geoloc, geoloc_refuses
from geoloc_models_small import small_table
from safetensors.torch import save_file

from geocells.files import locked, replacing
from geoloc_models.models.encoders import build_encoder

TRAIN = "--encoder tiny --image-size 32 --epochs 1 --min-images 5 --hidden 8"
# What a command writes, and its words behind the name of the program.
COMMANDS = {
    "cells.parquet": "geocells build photos.csv -o",
    "cells.geojson": "geocells build photos.csv -o",
    "cells.csv": "geocells build photos.csv -o",
    "cells.fgb": "geocells build photos.csv -o",
    "cells.gpkg": "geocells build photos.csv -o",
    "assigned.csv.gz": "geocells assign made.parquet photos.csv -o",
    "assigned.geojson": "geocells assign made.parquet photos.csv -o",
    "report.csv": "geocells report made.parquet photos.csv -o",
    "by_cell": "geocells partition photos.csv --min-rows 5 -o",
    "map.html": "geocells map made.parquet -o",
    "map.png": "geocells map made.parquet -o",
    "index.parquet": "geoloc index photos --coordinates photos.csv -o",
    "select.parquet": "geoloc select photos.csv -o",
    "split.parquet": "geoloc split photos.csv -o",
    "leakage.parquet": "geoloc leakage parts.parquet -o",
    "features.npy": "geoloc embed photos.csv --encoder tiny --weights tiny.safetensors -o",
    "answers.csv": "geoloc predict photos/1.jpg --model run -o",
    "answers.json": "geoloc predict photos/1.jpg --model run -o",
    "model.onnx": "geoloc export run -o",
    "stripped/": "geoloc strip photos -o",
    "again/": f"geoloc train photos.csv {TRAIN} -o",
    "judged/": "geoloc evaluate run -o",
}

# Commands that would replace a file that they read, and that file.
REPLACING = {
    "geocells build photos.csv -o photos.csv": "photos.csv",
    "geocells build parts.parquet --features ./made.parquet -o made.parquet": "made.parquet",
    "geocells report made.parquet photos.csv -o photos.csv": "photos.csv",
    "geocells assign made.parquet photos.csv -o made.parquet": "made.parquet",
    "geoloc index photos --coordinates parts.parquet -o parts.parquet": "parts.parquet",
    "geoloc index photos --coordinates without_position.csv -o new.parquet": "without_position.csv",
    "geoloc select photos.csv parts.parquet -o parts.parquet": "parts.parquet",
    "geoloc leakage parts.parquet -o parts.parquet": "parts.parquet",
    "geoloc predict photos/1.jpg photos/2.jpg --model run -o photos/2.jpg": "photos/2.jpg",
}


@pytest.fixture(scope="module", autouse=True)
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    frame = small_table(60, folder=folder / "photos").frame
    with contextlib.chdir(folder):
        paths = [f"photos/{row}.jpg" for row in range(60)]
        frame.assign(path=paths).to_csv("photos.csv", index=False)
        geocells("build", "photos.csv", "--min-images", 5, "-o", "made.parquet")
        geoloc("train", "photos.csv", *TRAIN.split(), "-o", "run")
        geoloc("split", "photos.csv", "-o", "parts.parquet")
        shutil.copy("photos.csv", "without_position.csv")
        save_file(build_encoder("tiny").backbone.state_dict(), "tiny.safetensors")
        yield folder


def refuse(command, *output):
    program, *words = command.split()
    refused = geocells_refuses if program == "geocells" else geoloc_refuses
    return refused(*words, *output)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_told_in_a_sentence(name, tmp_path):
    output = tmp_path / name
    with full_disk():
        words = refuse(COMMANDS[name], output)
    assert "too large" in words
    assert "Errno" not in words
    assert str(output.with_suffix("")) in words
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"features.npy"}))
def test_another_process_at_the_output_is_told_in_a_sentence(name, tmp_path):
    output = tmp_path / name
    with locked(output) if name.endswith("/") else replacing(output) as draft:
        words = refuse(COMMANDS[name], output)
        if draft:
            draft.touch()
    assert "Another process is writing" in words
    assert str(output) in words


@pytest.mark.parametrize(("command", "name"), REPLACING.items())
def test_a_file_that_is_read_is_not_replaced(command, name):
    before = Path(name).read_bytes()
    assert f"{name} is both read and written" in refuse(command)
    assert Path(name).read_bytes() == before
