"""Draw the pictures of docs/constructions.md from real photo coordinates: python docs/scripts/make_pictures.py."""

from __future__ import annotations

from pathlib import Path

from sklearn.cluster import KMeans

from geocells import CellBuilder, ClusteredCells, RegionCells
from geoloc_models.countries import load_countries
from geoloc_models.reports import figures
from geoloc_models.tables.demo import gallery_coordinates

FOLDER = Path(__file__).parents[1] / "pictures"
AROUND_SWITZERLAND = figures.MapPanel("", (45.5, 5.5, 48.0, 11.0))
MIN_IMAGES = 25


def main() -> None:
    """Draw all of them."""
    coords = gallery_coordinates()
    coords = coords[AROUND_SWITZERLAND.holds(coords)]
    countries = load_countries()
    near = countries.loc[["CH", "DE", "FR", "IT", "AT", "LI"]]
    quadtree = {
        "min_images": MIN_IMAGES,
        "bounds": AROUND_SWITZERLAND.bounds,
        "leftover": "cell",
    }
    builders = {
        "top_down": ("Top-down", CellBuilder(method="top_down", **quadtree)),
        "consolidated": ("Consolidated", CellBuilder(method="consolidated", **quadtree)),
        "bottom_up": ("Bottom-up, overlap 2", CellBuilder(**quadtree)),
        "s2": ("Bottom-up on S2", CellBuilder(MIN_IMAGES, grid="s2")),
        "clustered": (
            "Clustered",
            ClusteredCells(KMeans(50, n_init=1, random_state=0), 0.0, MIN_IMAGES),
        ),
        "regions": ("Regions", RegionCells(near, MIN_IMAGES, 4 * MIN_IMAGES)),
    }
    for name, (title, builder) in builders.items():
        cells = builder.fit(coords).cells_
        n_short = (cells.counts < MIN_IMAGES).sum()
        about = f"{title}: {cells.n_cells} cells, {n_short} of them short of {MIN_IMAGES} images"
        figure = figures.map_of_cells(cells, coords, countries, [AROUND_SWITZERLAND], title=about)
        figures.save_figure(figure, FOLDER / f"{name}.png")
        print(name, cells)


if __name__ == "__main__":
    main()
