"""What an installed wheel must do; ``build_and_try.py`` runs it with the interpreter of its environment.

It prints a line for each thing that it tried, and stops at the first that fails. It stands in an empty
folder, so that what it imports can come from the installation alone.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np

import geocells
import geoloc_models
from geocells import CellBuilder, decoding, load_cells


class SmokeError(RuntimeError):
    """Something that the installed wheel ought to do, and does not."""


def require(holds: bool, what: str) -> None:
    """Print what holds; stop where it does not."""
    if not holds:
        raise SmokeError(f"This does not hold: {what}.")
    print(f"  ok  {what}")


def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the installed commands."""
    path = Path(sysconfig.get_path("scripts")) / command
    return subprocess.run([str(path), *arguments], capture_output=True, text=True, check=False)


def try_installation() -> None:
    """The packages are those of the wheel, with all that lies beside the modules."""
    site = Path(sysconfig.get_path("purelib")).resolve()
    version = importlib.metadata.version("geocells")
    for package in (geocells, geoloc_models):
        home = Path(package.__file__).resolve().parent
        require(home.parent == site, f"{package.__name__} is imported from the installation")
        require(package.__version__ == version, f"{package.__name__} {version} says its version")
        require((home / "py.typed").is_file(), f"{package.__name__} says that it is typed")
    files = {str(path) for path in importlib.metadata.files("geocells") or []}
    for name in (
        "geocells/countries.parquet",
        "geocells/leaflet/LICENSE.leaflet",
        "geoloc_models/inference/leaflet/LICENSE.markercluster",
    ):
        require(name in files, f"{name} is in the wheel")
    require(any(name.endswith("licenses/LICENSE") for name in files), "the licence is in the wheel")
    ours = {name.split("/")[0] for name in files if not name.startswith("..")}
    known = {"geocells", "geoloc_models", f"geocells-{version}.dist-info"}
    require(ours == known, "nothing else is in the wheel")


def photos() -> tuple[np.ndarray, np.ndarray]:
    """Coordinates around Bern and Stockholm, and their countries."""
    rng = np.random.default_rng(0)
    centres = np.array([(46.9, 7.4), (59.3, 18.1)])
    which = rng.integers(2, size=3_000)
    return centres[which] + rng.normal(0, 0.5, size=(3_000, 2)), np.array(["CH", "SE"])[which]


def try_cells() -> None:
    """Every construction on both grids; a file; a decoder."""
    coords, countries = photos()
    for method in ("top_down", "consolidated", "bottom_up"):
        for grid in ("latlon", "s2"):
            builder = CellBuilder(50, method=method, grid=grid).fit(coords, groups=countries)
            same = np.array_equal(builder.labels_, builder.assign(coords, groups=countries))
            require(
                same and builder.n_cells_ > 2,
                f"{method} on {grid}: {builder.n_cells_} cells, fit and assign agree",
            )
    builder.cells_.save("cells.parquet")
    loaded = load_cells("cells.parquet")
    require(
        np.array_equal(loaded.assign(coords, groups=countries), builder.labels_),
        "cells survive their file",
    )
    guesses = decoding.argmax(np.eye(loaded.n_cells), loaded)
    require(np.array_equal(guesses, loaded.locations), "the likeliest cell answers")
    require("torch" not in sys.modules, "cells need no torch")


def try_countries() -> None:
    """The country polygons that the wheel brings."""
    from geoloc_models.countries import country_of

    found = country_of(np.array([(46.95, 7.45), (59.33, 18.07), (0.0, -30.0)]))
    require(
        list(found[:2]) == ["CH", "SE"] and found[2] is None,
        "Bern, Stockholm and the sea are told apart",
    )


def try_commands() -> None:
    """Both commands explain themselves, do something, and refuse bad input in a sentence."""
    for command in ("geocells", "geoloc"):
        told = run(command, "--help")
        require(told.returncode == 0 and "Usage" in told.stdout, f"{command} --help")
    coords, countries = photos()
    rows = [f"{lat},{lon},{country}" for (lat, lon), country in zip(coords, countries, strict=True)]
    Path("photos.csv").write_text("latitude,longitude,country\n" + "\n".join(rows) + "\n")
    built = run(
        "geocells", "build", "photos.csv", "--output", "built.parquet", "--min-images", "50"
    )
    require(
        built.returncode == 0 and Path("built.parquet").is_file(),
        "geocells build makes cells of a CSV",
    )
    for command, arguments in (
        ("geocells", ["build", "no.csv", "--output", "x.parquet"]),
        ("geoloc", ["index", "no"]),
    ):
        refused = run(command, *arguments)
        require(
            refused.returncode == 2 and "Traceback" not in refused.stderr,
            f"{command} {arguments[0]} of a missing file ends with a sentence and exit code 2",
        )


def try_demo() -> None:
    """One epoch of the demo, from places to pictures; where torch and the demo's data are installed."""
    if importlib.util.find_spec("torch") is None:
        print("  --  geoloc demo was not tried: torch is not installed here")
        return
    ran = run("geoloc", "demo", "--epochs", "1", "--output", "demo")
    if ran.returncode:
        print(ran.stderr[-2000:])
    require(ran.returncode == 0, "geoloc demo --epochs 1 ends with exit code 0")
    require(any(Path("demo").rglob("*.safetensors")), "the demo's models are saved")


def main() -> None:
    """Try everything, in order."""
    print(f"Python {sys.version.split()[0]}, numpy {np.__version__}, from {Path.cwd().name}")
    for step in (try_installation, try_cells, try_countries, try_commands, try_demo):
        step()
    print("The wheel holds.")


if __name__ == "__main__":
    main()
