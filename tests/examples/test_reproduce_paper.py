"""The whole reproduction on a few photos: every row, ablation and figure; and nothing twice."""

import json
import re
from collections import Counter
from dataclasses import replace

import pytest
from command_line import run
from geoloc_models.examples.reproduce_paper import DECODED, SIZED, Reproduction, Settings
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
        self.work.run()
        self.lines = capsys.readouterr().out.splitlines()

    @property
    def markdown(self):
        return (self.output / "report.md").read_text()

    def trained(self):
        """When each model, and the features, were written."""
        paths = [*self.output.glob("features-*"), *self.output.rglob("model.safetensors")]
        return {path: path.stat().st_mtime_ns for path in paths}


def test_the_reproduction_has_every_row_ablation_and_figure_and_computes_nothing_twice(
    tmp_path, capsys
):
    # Every stage builds the frozen encoder anew, so its weights come from a file.
    save_file(build_encoder("tiny").backbone.state_dict(), tmp_path / "tiny.safetensors")
    table = small_table(60, folder=tmp_path)
    images = FileImages(table.frame["path"].to_numpy())
    source = PhotoSource(table, images, {"kind": "test"})
    done = Reproduced(source, tmp_path, capsys)
    names = [line.split()[1] for line in done.lines[1:]]
    assert done.lines[0] == "Features of 60 images by the frozen tiny"
    assert len(set(names)) == len(names) == len(done.work.jobs())
    assert {"pooled-seed1", "country-n16", "offset_alpha_0.1", "augment_simclr"} <= set(names)

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

    before, report = done.trained(), done.markdown
    again = Reproduced(source, tmp_path, capsys)
    assert again.trained() == before
    assert again.markdown == report

    # Another option trains only what depends on it.
    changed = Reproduced(source, tmp_path, capsys, pixels=replace(TRAINING, epochs=2))
    new = sorted(path.parts[-3].rpartition("-")[0] for path in changed.trained().keys() - before)
    assert new == ["augment_crop", "augment_none", "augment_simclr"]
    assert before.items() <= changed.trained().items()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--data"),
        (["--demo", "--data", "photos.csv"], "--demo"),
        (["--demo", "--seeds", 0], "seed"),
        (["--demo", "--sizes", 400, 100], "Sizes must grow"),
        (["--demo", "--encoder", "poet"], "poet"),
    ],
)
def test_the_command_asks_for_what_it_needs(tmp_path, arguments, words):
    result = run(main, "reproduce", "-o", tmp_path / "paper", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output
