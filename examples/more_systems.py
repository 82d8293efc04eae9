"""Systems of the field beside this package's own, trained on the demo's data: what each adds to a plain model.

- *Two branches* (TransLocator [1]): a semantic map beside the image, cross-attention between the two, and a head that
  tells the scene. Maps come from a segmentation network of torchvision (``--segmentation lraspp_mobilenet_v3_large``,
  with weights that torchvision downloads) or, by default, from colours: satellite crops show land cover, and no street.
- *A head for each scene* (ISN [2]): scenes are a column of numbers; here, clusters of the images' features. An answer
  weighs the heads by how likely each scene is.
- *Near false locations count more* in retrieval: ``1 + lambda e^(-d / sigma)`` in place of 1.

All see the demo's crops through the frozen EfficientNet-Lite0 whose weights come in a package, with the demo's
consolidated cells, and answer as ``predict`` does: ``python examples/more_systems.py``, some minutes on two cores.

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
from geoloc_models.features import EmbedOptions, FeatureCache, FeatureDataset, embed, row_keys
from geoloc_models.inference import run_network
from geoloc_models.models import LocationEncoder, TrainingOptions, build_encoder
from geoloc_models.models.encoders import ImageEncoder
from geoloc_models.models.heads import MLPHead
from geoloc_models.models.losses import haversine_km
from geoloc_models.models.tasks import CellTask, PlaceTask, RetrievalTask, labels_of_cells
from geoloc_models.models.tasks.base import Batch, Scored, score_of_labels
from geoloc_models.photos import ImageSource
from geoloc_models.photos.framing import IMAGENET_MEAN, IMAGENET_STD, normalised
from geoloc_models.reports import Table, markdown_table, results_table
from geoloc_models.tables import Split
from geoloc_models.training import PhotoSource, demo_source, seed_run, split_source
from geoloc_models.training.fit import fit_task

N_SCENES, N_COLOURS = 3, 8
# Quarters of an image, numbers of each, and what attention sees of them.
N_PLACES, DIM, WIDTH = 4, 1280, 256
RADII_KM = np.array([1.0, 25.0, 200.0, 750.0])


# ------------------------------------------------------------------------------ what is frozen


class Colours(nn.Module):
    """Semantic maps by colour: each pixel becomes the nearest of some colours of the images."""

    def __init__(self, images: ImageSource, rows: np.ndarray) -> None:
        super().__init__()
        pixels = np.concatenate([np.asarray(images.load(row)).reshape(-1, 3)[::97] for row in rows])
        colours = KMeans(N_COLOURS, n_init=4, random_state=0).fit(pixels / 255.0).cluster_centers_
        self.register_buffer("colours", torch.from_numpy(colours).float())

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 to the same."""
        nearest = torch.cdist(image.permute(0, 2, 3, 1), self.colours).argmin(dim=-1)
        return self.colours[nearest].permute(0, 3, 1, 2)


class Segmentation(nn.Module):
    """Semantic maps by a network of torchvision, each class a colour of its own."""

    def __init__(self, name: str, weights: str | None = "DEFAULT") -> None:
        import torchvision

        super().__init__()
        self.network = torchvision.models.get_model(name, weights=weights, weights_backbone=None)
        self.register_buffer(
            "colours", torch.rand(256, 3, generator=torch.Generator().manual_seed(0))
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 to the same."""
        classes = self.network.eval()(normalised(255 * image, IMAGENET_MEAN, IMAGENET_STD))[
            "out"
        ].argmax(dim=1)
        return self.colours[classes].permute(0, 3, 1, 2)


class BothBranches(ImageEncoder):
    """Features of the quarters of an image, and of the quarters of its semantic map."""

    def __init__(self, segment: nn.Module, frozen: ImageEncoder) -> None:
        super().__init__(
            frozen.backbone,
            dim=2 * N_PLACES * DIM,
            name=frozen.name,
            preprocessing=frozen.preprocessing,
            weights=frozen.weights,
        )
        self.segment = segment

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 to (B, 2 * 4 * 1280)."""
        seen = self.preprocessing
        branches = []
        for pixels in (image / 255.0, self.segment(image / 255.0)):
            features = self.backbone.forward_features(normalised(255 * pixels, seen.mean, seen.std))
            branches.append(nn.functional.adaptive_avg_pool2d(features, 2).flatten(2))
        return torch.stack(branches, dim=1).transpose(2, 3).flatten(1)


# ------------------------------------------------------------------------------ what is trained


class OneBranch(ImageEncoder):
    """The features of the image alone."""

    def __init__(self) -> None:
        super().__init__(nn.Identity(), dim=DIM, name="efficientnet_lite0")

    def forward(self, features: Tensor) -> Tensor:
        """(B, 2 * 4 * 1280) to (B, 1280)."""
        return features.reshape(len(features), 2, N_PLACES, DIM)[:, 0].mean(dim=1)


class TwoBranches(ImageEncoder):
    """Image and map, each looking at the other; or the image twice, to tell what the map adds."""

    def __init__(self, second: int) -> None:
        super().__init__(nn.Identity(), dim=DIM + 2 * WIDTH, name="efficientnet_lite0")
        self.second = second
        self.narrow = nn.ModuleList(nn.Linear(DIM, WIDTH) for _ in range(2))
        self.asks = nn.ModuleList(
            nn.MultiheadAttention(WIDTH, 4, batch_first=True) for _ in range(2)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, 2 * 4 * 1280) to (B, 1280 + 2 * 256)."""
        branches = features.reshape(len(features), 2, N_PLACES, DIM)
        image, other = branches[:, 0], branches[:, self.second]
        a, b = self.narrow[0](image), self.narrow[1](other)
        a_of_b = a + self.asks[0](a, b, b, need_weights=False)[0]
        b_of_a = b + self.asks[1](b, a, a, need_weights=False)[0]
        return torch.cat([tokens.mean(dim=1) for tokens in (image, a_of_b, b_of_a)], dim=1)


class PlainCells(CellTask):
    """The package's classifier, on labels that hold the scene too."""

    def score(self, batch: Batch) -> Scored:
        """Loss of the cell alone."""
        return super().score({**batch, "cell": batch["cell"][:, 0]})


class SceneCells(CellTask):
    """Cells and scene of an image: one head for the cells, or one for each scene."""

    def __init__(
        self, encoder: ImageEncoder, cells: CellPartition, *, by_scene: bool, **shape: float
    ) -> None:
        super().__init__(encoder, cells, **shape)
        self.scene_head = MLPHead(encoder.dim, N_SCENES, **shape)
        heads = [MLPHead(encoder.dim, cells.n_cells, **shape) for _ in range(N_SCENES * by_scene)]
        self.heads = nn.ModuleList(heads or [self.head])
        del self.head

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the cells by each head, (B, heads, C), and of the scenes, (B, S)."""
        return self.by_head(self.encoder(image))

    def by_head(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The same of (B, D) embeddings."""
        return torch.stack([head(features) for head in self.heads], 1), self.scene_head(features)

    def score(self, batch: Batch) -> Scored:
        """Cross entropies of the cell, by the head of the true scene, and of the scene."""
        by_head, scenes = self(batch["image"])
        scene = batch["cell"][:, 1] % len(self.heads)
        logits = by_head[torch.arange(len(scene)), scene]
        return score_of_labels([logits, scenes], batch["cell"], accuracy_of=0)

    def outputs(self, features: Tensor) -> dict[str, Tensor]:
        """``probabilities`` (B, C): those of each head, weighed by how likely its scene is."""
        by_head, scenes = self.by_head(features)
        weights = torch.softmax(scenes, 1) if len(self.heads) > 1 else torch.ones(len(scenes), 1)
        return {"probabilities": (torch.softmax(by_head, 2) * weights[:, :, None]).sum(dim=1)}


class NearRetrieval(RetrievalTask):
    """Retrieval in which a false location counts 1 + near e^(-d / 100 km)."""

    near = 0.0

    def weigh(self, coords: Tensor, false: Tensor) -> Tensor:
        """(B, M), and 0 for the very same place."""
        nearer = self.near * torch.exp(-haversine_km(coords, false) / 100.0)
        return super().weigh(coords, false) * (1.0 + nearer).float()


# ------------------------------------------------------------------------------ the comparison


@dataclass
class Data:
    """The demo's photos with features, cells and scenes."""

    source: PhotoSource
    split: Split
    features: FeatureCache
    cells: CellPartition
    labels: np.ndarray  # (n, 2): cell, scene

    @classmethod
    def from_source(
        cls, source: PhotoSource, folder: Path, segmentation: str | None = None
    ) -> Data:
        """Features of all photos, cells of the training ones, scenes of all by their features."""
        table, split = source.table, split_source(source)
        train, countries = split.train, table.countries
        segment = Segmentation(segmentation) if segmentation else Colours(source.images, train)
        frozen = build_encoder("efficientnet_lite0", weights="imagenet", image_size=128)
        path, how = folder / f"{segmentation or 'colours'}.npy", EmbedOptions(dtype="float16")
        encoder = BothBranches(segment, frozen).eval()
        cache = embed(source.images, row_keys(table), encoder, path, how).cache
        features = OneBranch()(torch.from_numpy(cache.gather(np.arange(table.n_rows))).float())
        scenes = KMeans(N_SCENES, n_init=4, random_state=0).fit(features[train]).predict(features)
        builder = CellBuilder(20, method="consolidated")
        cells = builder.fit(table.coords[train], groups=countries[train]).cells_
        labels = np.stack([labels_of_cells(cells, table.coords, countries), scenes], axis=1)
        return cls(source, split, cache, cells, labels)

    def photos(self, rows: np.ndarray) -> FeatureDataset:
        """Some photos, as tasks take them."""
        table, keys = self.source.table, row_keys(self.source.table)
        country = np.zeros(table.n_rows, dtype=np.int64)  # no task here asks for it
        return FeatureDataset(
            self.features, keys, table.coords, country, cell_labels=self.labels, rows=rows
        )


def systems(data: Data, shape: dict[str, float]) -> dict[str, Callable[[], PlaceTask]]:
    """What is trained, by name; a row with + is compared with the last one above it without."""
    coords, countries = data.source.table.coords, data.source.table.countries
    train = data.split.train

    def plain(encoder: ImageEncoder) -> CellTask:
        return PlainCells(encoder, data.cells, **shape)

    def scenes(encoder: ImageEncoder, *, by_scene: bool = False) -> CellTask:
        return SceneCells(encoder, data.cells, by_scene=by_scene, **shape)

    def retrieval(near: float) -> NearRetrieval:
        where = LocationEncoder("rff", hidden=WIDTH)
        task = NearRetrieval(
            OneBranch(), where, coords[train], countries[train], n_false=256, **shape
        )
        task.near = near
        return task

    return {
        "Cells": lambda: plain(OneBranch()),
        "+ scene": lambda: scenes(OneBranch()),
        "+ a head for each scene (ISN)": lambda: scenes(OneBranch(), by_scene=True),
        "+ the image as second branch": lambda: plain(TwoBranches(0)),
        "+ the map as second branch": lambda: plain(TwoBranches(1)),
        "+ map and scene (TransLocator)": lambda: scenes(TwoBranches(1)),
        "Retrieval": lambda: retrieval(0.0),
        "+ near ones count more, lambda 1": lambda: retrieval(1.0),
        "+ near ones count more, lambda 10": lambda: retrieval(10.0),
    }


def answers(task: PlaceTask, data: Data) -> Predictions:
    """Of the test photos: cells by expected utility, retrieval by the likest place."""
    batches = data.photos(data.split.test).batches(batch_size=256)
    outputs = run_network(task, batches, progress=False)
    plain = task.answer(outputs.arrays, outputs.rows)
    if not isinstance(task, CellTask):
        return plain
    train = data.split.train
    decoder = decoding.ExpectedUtility(data.cells)
    decoder.fit(data.source.table.coords[train], data.labels[train, 0])
    points = decoder.predict(outputs.arrays["probabilities"])
    return Predictions(points, plain.countries, None, plain.rows)


def tables(found: dict[str, list[Predictions]], source: PhotoSource) -> str:
    """Means over seeds; and what each row gains over the plain one above it, by test photo."""
    coords, countries = source.table.coords, source.table.countries
    evaluations = {
        name: over_seeds([evaluate(p, coords[p.rows], countries[p.rows]) for p in runs])
        for name, runs in found.items()
    }
    rows, plain, rng = [], np.empty(0), np.random.default_rng(0)
    for name, runs in found.items():
        hits = np.mean([errors_km(p, coords[p.rows])[:, None] <= RADII_KM for p in runs], axis=0)
        if not name.startswith("+"):
            plain = hits  # (photos, radii)
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
    *,
    seeds: int = 3,
    epochs: int | None = None,
    segmentation: str | None = None,
) -> str:
    """Train every system with every seed; what is trained already is read."""
    data = Data.from_source(source, output, segmentation)
    options = TrainingOptions(epochs=epochs).resolve(data.features.card)
    shape = {"hidden": options.hidden, "dropout": options.dropout}
    found: dict[str, list[Predictions]] = {}
    for seed in range(seeds):
        how = TrainingOptions.from_dict({**options.to_dict(), "seed": seed})
        for name, build in systems(data, shape).items():
            folder = output / f"{re.sub('[^a-zA-Z0-9]+', '_', name)}-seed{seed}"
            path = folder / "predictions.parquet"
            if not path.is_file():
                seed_run(seed)
                task = build()
                train, held_out = (
                    data.photos(p) for p in (data.split.train, data.split.validation)
                )
                fit_task(task, train, held_out, how, folder, description=f"{name}, seed {seed}")
                write_predictions(path, answers(task, data))
            found.setdefault(name, []).append(read_predictions(path))
    return tables(found, source)


def main(
    *, seeds: int = 3, segmentation: str | None = None, output: Path = Path("runs/more_systems")
) -> None:
    """Train the systems on the demo's data and print what each adds.

    Parameters
    ----------
    seeds : int
        Runs of each.
    segmentation : str, optional
        A segmentation network of torchvision; by default maps are made of colours.
    output : Path
        Folder of features and runs.
    """
    print(compare(demo_source(), output, seeds=seeds, segmentation=segmentation))


if __name__ == "__main__":
    cyclopts.run(main)
