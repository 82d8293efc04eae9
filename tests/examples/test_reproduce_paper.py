"""The whole reproduction on a few photos: every row, ablation and figure; and nothing twice."""

import json
import re
from collections import Counter
from dataclasses import replace

import pytest
from command_line import run
from geoloc_models.examples.reproduce_paper import (
    DECODED,
    SIZED,
    Reproduction,
    Settings,
    Stage,
    run_stages,
)
from geoloc_models_small import small_table
from PIL import Image
from safetensors.torch import save_file

from geoloc_models.cli import main
from geoloc_models.models import TrainingOptions
from geoloc_models.models.encoders import build_encoder
from geoloc_models.photos.images import FileImages
from geoloc_models.tables.split import place_blocks
from geoloc_models.training import PhotoSource

TRAINING = TrainingOptions(
    encoder="tiny", image_size=32, batch_size=16, learning_rate=1e-3, epochs=1, hidden=8
)


class Reproduced:
    """A reproduction, what it printed, and when each of its files was written."""

    def __init__(self, source, folder, capsys, **changes):
        self.output = folder / "paper"
        training = replace(TRAINING, train_encoder="none", weights=str(folder / "tiny.safetensors"))
        few = {"min_images": 4, "seeds": 2, "sizes": (16, 1000), "location_hidden": 8, "n_false": 8}
        self.work = Reproduction(
            source, Settings(training, **{"pixels": TRAINING, **few, **changes}), self.output
        )
        self.folders = self.work.run()
        self.lines = capsys.readouterr().out.splitlines()

    @property
    def markdown(self):
        return (self.output / "report.md").read_text()

    def times(self):
        return {path: path.stat().st_mtime_ns for path in self.output.rglob("*") if path.is_file()}


def test_the_reproduction_has_every_row_ablation_and_figure_and_computes_nothing_twice(
    tmp_path, capsys
):
    # Every stage builds the frozen encoder anew, so its weights come from a file.
    save_file(build_encoder("tiny").backbone.state_dict(), tmp_path / "tiny.safetensors")
    table = small_table(60, folder=tmp_path)
    images = FileImages(table.frame["path"].to_numpy())
    source = PhotoSource(table, images, {"kind": "test"})
    done = Reproduced(source, tmp_path, capsys)
    n_stages = len(done.folders)
    assert done.lines[0] == f"[1/{n_stages}] Features of 60 images by the frozen tiny"

    titles = ["Country (baseline)", "Regression, multi-task", "Cells, bottom-up", "Retrieval, RFF"]
    titles += ["Nearest images", "expected utility, all four", "# Calibration\n"]
    titles += [ablation.title for ablation in done.work.ablations]
    assert all(title in done.markdown.replace("\\", "") for title in titles)
    pictures = re.findall(r"\]\(([^)]+\.png)\)", done.markdown)
    assert len(pictures) == 11
    for picture in pictures:
        with Image.open(done.output / picture) as image:
            assert min(image.size) > 200
    assert (done.output / "report.html").read_text().count("data:image/png;base64,") == 11

    split, blocks = done.work.split, place_blocks(table.coords).tolist()
    validated = {blocks[row] for row in split.validation}
    n_known = sum(blocks[row] in validated for row in split.test)
    fullest = max(Counter(blocks[row] for row in split.test).values())
    text = " ".join(done.markdown.split())
    assert f"Of the {len(split.test)} test images {n_known} lie in a block of 10 km" in text
    assert f"the fullest block has {fullest} of them" in text

    results = json.loads((done.output / "results.json").read_text())
    assert set(results["models"]) == set(done.work.table_plans) | set(done.work.ablation_plans)
    assert all(len(runs) == 2 for runs in results["seeds"].values())
    assert set(results["sizes"]) == {"16", "48"}  # 1000 is more than there are to train on
    assert set(results["sizes"]["16"]) == set(SIZED)
    assert set(results["decoders"]) == set(DECODED)
    assert next(iter(results["decoders"]["hierarchy"])) == "mean"
    assert {"mode", "utility_1", "utility_all"} <= set(results["decoders"]["hierarchy"])
    assert set(results["calibration_reports"]) == set(done.work.table_plans)
    assert set(results["augmentation"]) == {"augment_none", "augment_crop", "augment_simclr"}

    before = done.times()
    again = Reproduced(source, tmp_path, capsys)
    assert again.lines == [f"{n_stages} of {n_stages} stages are done already."]
    assert again.times() == before

    # Another option computes only what depends on it.
    changed = Reproduced(source, tmp_path, capsys, pixels=replace(TRAINING, epochs=2))
    assert changed.lines == [
        f"{n_stages - 4} of {n_stages} stages are done already.",
        *(
            f"[{number}/4] End to end, augmentation {augment} (tiny)"
            for number, augment in enumerate(("none", "crop", "simclr"), start=1)
        ),
        "[4/4] Tables, figures and the report",
    ]


class Counted:
    """Three stages, c after a; counts how often each is done."""

    def __init__(self, root, broken=None, **options):
        self.done = []
        self.broken = broken
        stages = [
            Stage("a", "First", {"x": options.get("a", 1)}, self.make("a")),
            Stage("b", "Second", {"x": options.get("b", 1)}, self.make("b")),
            Stage("c", "Third", {}, self.make("c"), needs=["a"]),
        ]
        self.folders = run_stages(root, stages)

    def make(self, name):
        def work(folder, folders):
            self.done.append(name)
            (folder / "result").write_text(name)
            if name == self.broken:
                raise KeyboardInterrupt
            if name == "c":
                assert (folders["a"] / "result").read_text() == "a"

        return work


def test_a_stage_is_done_once_and_again_only_when_what_it_depends_on_has_changed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Counted(tmp_path, broken="b")
    assert Counted(tmp_path).done == ["b", "c"]  # the interrupted one is done again
    assert Counted(tmp_path).done == []
    assert Counted(tmp_path, b=2).done == ["b"]
    assert Counted(tmp_path, a=2).done == ["a", "c"]
    assert Counted(tmp_path).done == []  # the first ones are still there


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--data"),
        (["--demo", "--data", "photos.csv"], "--demo"),
        (["--data", "nothing.parquet"], "nothing.parquet"),
        (["--demo", "--seeds", 0], "seed"),
        (["--demo", "--sizes", 400, 100], "Sizes must grow"),
        (["--demo", "--sizes", "many"], "sizes"),
        (["--demo", "--encoder", "poet"], "poet"),
    ],
)
def test_the_command_asks_for_what_it_needs(tmp_path, arguments, words):
    result = run(main, "reproduce", "-o", tmp_path / "paper", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output
