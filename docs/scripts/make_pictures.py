"""Draw the pictures of docs/constructions.md from real photo coordinates: python docs/scripts/make_pictures.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from geocells import CellBuilder, CellPartition, ClusteredCells, RegionCells
from geoloc_models.countries import load_countries

FOLDER = Path(__file__).parents[1] / "pictures"
BOX = (45.5, 5.5, 48.0, 11.0)
MIN_IMAGES = 25


def places() -> np.ndarray:
    """Photo coordinates in and around Switzerland, of the gallery that the package geoclip carries."""
    spec = importlib.util.find_spec("geoclip")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            "The pictures need the gallery of geoclip: pip install '.[demo]' in the source folder."
        )
    path = Path(spec.submodule_search_locations[0]) / "model/gps_gallery/coordinates_100K.csv"
    coords = pd.read_csv(path)[["LAT", "LON"]].to_numpy(dtype=np.float64)
    south, west, north, east = BOX
    inside = (coords >= (south, west)).all(axis=1) & (coords <= (north, east)).all(axis=1)
    return coords[inside]


def draw(name: str, title: str, coords: np.ndarray, cells: CellPartition) -> None:
    """One construction on the map, its images as grey dots."""
    figure, ax = plt.subplots(figsize=(8, 5.2), layout="constrained")
    cells.plot(ax, outlines=load_countries().loc[["CH", "DE", "FR", "IT", "AT", "LI"]], dots=False)
    ax.plot(coords[:, 1], coords[:, 0], ".", color="#444444", markersize=1.2, alpha=0.5, zorder=4)
    ax.set_xlim(BOX[1], BOX[3])
    ax.set_ylim(BOX[0], BOX[2])
    short = int((cells.counts < MIN_IMAGES).sum())
    ax.set_title(f"{title}: {cells.n_cells} cells, {short} of them short of {MIN_IMAGES} images")
    figure.savefig(FOLDER / f"{name}.png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    print(name, cells)


def main() -> None:
    """Draw all of them."""
    FOLDER.mkdir(exist_ok=True)
    coords = places()
    countries = load_countries().loc[["CH", "DE", "FR", "IT", "AT", "LI"]]
    quadtree = {"min_images": MIN_IMAGES, "bounds": BOX, "leftover": "cell"}
    builders = {
        "top_down": ("Top-down", CellBuilder(method="top_down", **quadtree)),
        "consolidated": ("Consolidated", CellBuilder(method="consolidated", **quadtree)),
        "bottom_up": ("Bottom-up, overlap 2", CellBuilder(**quadtree)),
        "s2": ("Bottom-up on S2", CellBuilder(MIN_IMAGES, grid="s2")),
        "clustered": (
            "Clustered",
            ClusteredCells(KMeans(50, n_init=1, random_state=0), 0.0, MIN_IMAGES),
        ),
        "regions": ("Regions", RegionCells(countries, MIN_IMAGES, 4 * MIN_IMAGES)),
    }
    for name, (title, builder) in builders.items():
        draw(name, title, coords, builder.fit(coords).cells_)


if __name__ == "__main__":
    main()
