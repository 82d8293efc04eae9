"""Systems of the field beside this package's own, trained on the demo's data: what each adds to a plain model.

- *Two branches* (TransLocator [1]): a semantic map beside the image, cross-attention between the two, and a head that
  tells the scene. Maps come from a segmentation network of torchvision (``--segmentation lraspp_mobilenet_v3_large``,
  with weights that torchvision downloads) or, by default, from colours: satellite crops show land cover, and no street.
- *A head for each scene* (ISN [2]): scenes are a column of numbers; here, clusters of the images' colours. An answer
  weighs the heads by how likely each scene is.
- *Near false locations count more* in retrieval: ``1 + lambda e^(-d / sigma)`` in place of 1.

All are trained from random numbers on pixels as the demo's small network is, with the demo's consolidated cells, and
answer as ``predict`` does. ``python examples/more_systems.py`` takes about 25 minutes on two cores for three seeds.

[1] Pramanick, Nowara, Gleason, Castillo, Chellappa (2022), Where in the world is this image? ECCV.
[2] Mueller-Budack, Pustu-Iren, Ewerth (2018), Geolocation estimation of photos using a hierarchical model. ECCV.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cyclopts
import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn

from geocells import CellBuilder, CellPartition, decoding
from geoloc_models.evaluation import (
    Predictions,
    errors_km,
    evaluate,
    over_seeds,
    read_predictions,
    write_predictions,
)
from geoloc_models.inference import run_network
from geoloc_models.models import LocationEncoder, TrainingOptions, build_encoder
from geoloc_models.models.encoders import ImageEncoder
from geoloc_models.models.heads import MLPHead
from geoloc_models.models.losses import false_weights
from geoloc_models.models.tasks import CellTask, PlaceTask, RetrievalTask, labels_of_cells
from geoloc_models.models.tasks.base import Batch, Scored, score_of_labels
from geoloc_models.photos import PhotoDataset
from geoloc_models.photos.dataset import make_loader, normalised
from geoloc_models.reports import Table, markdown_table, results_table
from geoloc_models.tables import Split
from geoloc_models.training import PhotoSource, demo_source, seed_run, split_source
from geoloc_models.training.fit import fit_task

N_SCENES, N_COLOURS, HIDDEN = 3, 8, 256
RADII_KM = np.array([1.0, 25.0, 200.0, 750.0])


# ------------------------------------------------------------------------------ the systems


class Colours(nn.Module):
    """Semantic maps by colour: the nearest of some colours of the training images, at each pixel."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        pixels = images.transpose(1, 3).reshape(-1, 3)[::97].numpy()
        found = KMeans(N_COLOURS, n_init=4, random_state=0).fit(pixels).cluster_centers_
        self.register_buffer("colours", torch.from_numpy(found).float())

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised to (B, K, H, W), one of K classes a pixel."""
        nearest = torch.cdist(image.permute(0, 2, 3, 1), self.colours).argmin(dim=-1)
        return nn.functional.one_hot(nearest, N_COLOURS).permute(0, 3, 1, 2).float()


class Segmentation(nn.Module):
    """Semantic maps by a network of torchvision, which is not trained on."""

    def __init__(self, name: str, weights: str | None = "DEFAULT") -> None:
        import torchvision

        super().__init__()
        network = torchvision.models.get_model(name, weights=weights, weights_backbone=None)
        self.network = network.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised to (B, K, H, W), the probability of K classes."""
        return torch.softmax(self.network.eval()(image)["out"], dim=1)


class TwoBranches(ImageEncoder):
    """The image and its semantic map, each through a network of its own; each looks at the other."""

    def __init__(self, segment: nn.Module) -> None:
        tiny, of_map = build_encoder("tiny"), build_encoder("tiny").backbone
        super().__init__(
            tiny.backbone, dim=2 * tiny.dim, name="tiny", preprocessing=tiny.preprocessing
        )
        n_classes = segment(torch.zeros(1, 3, 64, 64)).shape[1]
        of_map.stem[0] = nn.Conv2d(n_classes, 32, 5, stride=2, padding=2, bias=False)
        self.segment, self.of_map = segment, of_map
        self.image_asks = nn.MultiheadAttention(tiny.dim, 4, batch_first=True)
        self.map_asks = nn.MultiheadAttention(tiny.dim, 4, batch_first=True)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 to (B, D)."""
        pixels = normalised(image, self.preprocessing.mean, self.preprocessing.std)
        seen, mapped = (
            network.blocks(network.stem(values)).flatten(2).transpose(1, 2)  # (B, places, D / 2)
            for network, values in ((self.backbone, pixels), (self.of_map, self.segment(pixels)))
        )
        both = [
            seen + self.image_asks(seen, mapped, mapped, need_weights=False)[0],
            mapped + self.map_asks(mapped, seen, seen, need_weights=False)[0],
        ]
        return torch.cat([tokens.mean(dim=1) for tokens in both], dim=1)


class SceneCells(CellTask):
    """Cells and scene of an image: one head for the cells, or one for each scene."""

    def __init__(self, encoder: ImageEncoder, cells: CellPartition, *, by_scene: bool) -> None:
        super().__init__(encoder, cells, hidden=HIDDEN)
        self.scene_head = MLPHead(encoder.dim, N_SCENES, HIDDEN)
        heads = [MLPHead(encoder.dim, cells.n_cells, HIDDEN) for _ in range(N_SCENES * by_scene)]
        self.head = nn.ModuleList(heads or [self.head])

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the cells by each head, (B, heads, C), and of the scenes, (B, S)."""
        embedding = self.encoder(image)
        return torch.stack([head(embedding) for head in self.head], 1), self.scene_head(embedding)

    def score(self, batch: Batch) -> Scored:
        """Cross entropies of the cell, by the head of the true scene, and of the scene."""
        by_head, scenes = self(batch["image"])
        scene = batch["cell"][:, 1] % len(self.head)
        logits = by_head[torch.arange(len(scene)), scene]
        return score_of_labels([logits, scenes], batch["cell"], accuracy_of=0)

    def probabilities(self, image: Tensor) -> Tensor:
        """Of the cells (B, C): those of each head, weighed by how likely its scene is."""
        by_head, scenes = self(image)
        weights = torch.softmax(scenes, 1) if len(self.head) > 1 else torch.ones(len(image), 1)
        return (torch.softmax(by_head, 2) * weights[:, :, None]).sum(dim=1)


class PlainCells(CellTask):
    """The package's classifier, on labels that hold the scene too."""

    def score(self, batch: Batch) -> Scored:
        """Loss of the cell alone."""
        return super().score({**batch, "cell": batch["cell"][:, 0]})


class NearRetrieval(RetrievalTask):
    """Retrieval in which a false location counts 1 + near e^(-d / 100 km)."""

    near = 0.0

    def weigh(self, coords: Tensor, false: Tensor) -> Tensor:
        """(B, M), and 0 for the very same place."""
        return false_weights(coords, false, mask_km=1e-6, near=self.near, sigma_km=100.0)


# ------------------------------------------------------------------------------ the comparison


@dataclass
class Data:
    """The demo's photos with cells and scenes."""

    source: PhotoSource
    split: Split
    cells: CellPartition
    labels: np.ndarray  # (n, 2): cell, scene
    train_images: Tensor  # normalised

    @classmethod
    def of(cls, source: PhotoSource, split: Split, min_images: int = 20) -> Data:
        """Cells of the training photos; scenes of all, by the mean and deviation of their colours."""
        table, train = source.table, split.train
        builder = CellBuilder(min_images, method="consolidated")
        cells = builder.fit(table.coords[train], groups=table.countries[train]).cells_
        seen = build_encoder("tiny").preprocessing
        frame = seen.transform()
        pixels = torch.stack([frame(source.images.load(row)) for row in range(table.n_rows)])
        images = normalised(pixels, seen.mean, seen.std)
        colours = torch.cat([images.mean(dim=(2, 3)), images.std(dim=(2, 3))], dim=1).numpy()
        scenes = KMeans(N_SCENES, n_init=4, random_state=0).fit(colours[train]).predict(colours)
        labels = labels_of_cells(cells, table.coords, table.countries)
        return cls(source, split, cells, np.stack([labels, scenes], axis=1), images[train])

    def photos(self, rows: np.ndarray, augment: str = "none") -> PhotoDataset:
        """Some photos, as tasks take them."""
        table = self.source.table
        transform = build_encoder("tiny").preprocessing.transform(augment=augment)
        country = np.zeros(table.n_rows, dtype=np.int64)  # no task here asks for it
        return PhotoDataset(
            self.source.images, table.coords, country, transform, cell_labels=self.labels, rows=rows
        )


def systems(data: Data, segmentation: str | None) -> dict[str, Callable[[], PlaceTask]]:
    """What is trained, by name; a row is compared with the last one above it that begins anew."""
    table, train = data.source.table, data.split.train

    def cells() -> CellTask:
        return PlainCells(build_encoder("tiny"), data.cells, hidden=HIDDEN)

    def by_map() -> TwoBranches:
        return TwoBranches(
            Segmentation(segmentation) if segmentation else Colours(data.train_images)
        )

    def retrieval(near: float) -> NearRetrieval:
        task = NearRetrieval(
            build_encoder("tiny"),
            LocationEncoder("rff", hidden=HIDDEN),
            table.coords[train],
            table.countries[train],
            n_false=256,
            hidden=HIDDEN,
        )
        task.near = near
        return task

    return {
        "Cells": cells,
        "+ scene": lambda: SceneCells(build_encoder("tiny"), data.cells, by_scene=False),
        "+ a head for each scene (ISN)": lambda: SceneCells(
            build_encoder("tiny"), data.cells, by_scene=True
        ),
        "+ a second branch of the image": lambda: PlainCells(
            TwoBranches(nn.Identity()), data.cells, hidden=HIDDEN
        ),
        "+ a second branch of the map": lambda: PlainCells(by_map(), data.cells, hidden=HIDDEN),
        "+ map and scene (TransLocator)": lambda: SceneCells(by_map(), data.cells, by_scene=False),
        "Retrieval": lambda: retrieval(0.0),
        "+ near count more, lambda 1": lambda: retrieval(1.0),
        "+ near count more, lambda 10": lambda: retrieval(10.0),
    }


def answers(task: PlaceTask, data: Data) -> Predictions:
    """Of the test photos: cells by expected utility, retrieval by the likest place."""
    loader = make_loader(data.photos(data.split.test), batch_size=64)
    outputs = run_network(task, loader, progress=False)
    plain = task.answer(outputs.arrays, outputs.rows)
    if not isinstance(task, CellTask):
        return plain
    train = data.split.train
    decoder = decoding.ExpectedUtility(data.cells)
    decoder.fit(data.source.table.coords[train], data.labels[train, 0])
    points = decoder.predict(outputs.arrays["probabilities"])
    return Predictions(points, plain.countries, None, plain.rows)


def tables(found: dict[str, list[Predictions]], source: PhotoSource) -> str:
    """Means over seeds, and what each row gains over the plain one above it."""
    coords, countries = source.table.coords, source.table.countries
    evaluations = {
        name: over_seeds([evaluate(p, coords[p.rows], countries[p.rows]) for p in runs])
        for name, runs in found.items()
    }
    rng = np.random.default_rng(0)
    rows, plain = [], np.empty(0)
    for name, runs in found.items():
        hits = np.mean(
            [errors_km(p, coords[p.rows])[:, None] <= RADII_KM for p in runs], axis=0
        )  # (photos, radii)
        if not name.startswith("+"):
            plain = hits
            continue
        gain = 100.0 * (hits - plain)
        draws = rng.integers(len(gain), size=(1000, len(gain)))
        low, high = np.percentile(gain[draws].mean(axis=1), [2.5, 97.5], axis=0)
        each = zip(gain.mean(axis=0), low, high, strict=True)
        rows.append([name, *(f"{value:+.1f} [{a:+.1f}, {b:+.1f}]" for value, a, b in each)])
    gains = Table(["Gain, points", *(f"{radius:g} km" for radius in RADII_KM)], rows)
    return f"{markdown_table(results_table(evaluations))}\n\n{markdown_table(gains)}"


def compare(
    source: PhotoSource,
    output: Path,
    options: TrainingOptions,
    seeds: int,
    segmentation: str | None,
) -> str:
    """Train every system with every seed; what is trained already is read."""
    data = Data.of(source, split_source(source, seed=0))
    found: dict[str, list[Predictions]] = {}
    for seed in range(seeds):
        for name, build in systems(data, segmentation).items():
            folder = output / f"{re.sub(r'[^a-zA-Z0-9]+', '_', name).strip('_')}-seed{seed}"
            path = folder / "predictions.parquet"
            if not path.is_file():
                seed_run(seed)
                task = build()
                train = data.photos(data.split.train, options.augment)
                held_out = data.photos(data.split.validation)
                how = TrainingOptions.from_dict({**options.to_dict(), "seed": seed})
                fit_task(task, train, held_out, how, folder, description=f"{name}, seed {seed}")
                write_predictions(path, answers(task, data))
            found.setdefault(name, []).append(read_predictions(path))
    return tables(found, source)


def main(
    *,
    seeds: int = 3,
    epochs: int = 12,
    segmentation: str | None = None,
    output: Path = Path("runs/more_systems"),
) -> None:
    """Train the systems on the demo's data and print what each adds.

    Parameters
    ----------
    seeds : int
        Runs of each.
    epochs : int
        Of each.
    segmentation : str, optional
        A segmentation network of torchvision; by default maps are made of colours.
    output : Path
        Folder of the runs.
    """
    options = TrainingOptions(
        encoder="tiny",
        image_size=64,
        learning_rate=1e-3,
        schedule="cosine",
        epochs=epochs,
        augment="crop",
    )
    print(compare(demo_source(), output, options, seeds, segmentation))


if __name__ == "__main__":
    cyclopts.run(main)
